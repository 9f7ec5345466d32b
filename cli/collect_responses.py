"""neurogloss collect-responses"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from neurogloss.cli.options import JsonOption, RunArgument, said


def collect_responses(
    run: RunArgument,
    subject: Annotated[str, typer.Option(help="Name of the participant.")],
    stimuli: Annotated[str, typer.Option(help="Table with text or path, id, split, session, onset.")],
    responses: Annotated[
        list[str] | None,
        typer.Option(help="(rows, voxels): .npy, .npz, .h5, .zarr, .nii; FILE:KEY; may be given often."),
    ] = None,
    predicted_by: Annotated[
        str | None, typer.Option(help="Run whose encoding model predicts the responses instead.")
    ] = None,
    dictionary: Annotated[
        list[str] | None, typer.Option(help="voxels, or a file of directions over all of them.")
    ] = None,
    pictures: Annotated[str | None, typer.Option(help="Folder that paths of the table start from.")] = None,
    mask: Annotated[str | None, typer.Option(help="NIfTI mask of NIfTI responses.")] = None,
    rois: Annotated[str | None, typer.Option(help="Regions: JSON, .npz or NIfTI labels.")] = None,
    ceiling: Annotated[str | None, typer.Option(help="Noise ceilings; else from repeats.")] = None,
    ceiling_kind: Annotated[str | None, typer.Option(help="ncsnr or percent.")] = None,
    scale: Annotated[str | None, typer.Option(help="nsd: stored betas, divided by 300.")] = None,
    standardize: Annotated[str | None, typer.Option(help="session: z-score within each.")] = None,
    tr: Annotated[float | None, typer.Option(help="Seconds a scan; the table then holds words.")] = None,
    first_tr: Annotated[int | None, typer.Option(help="Scan that the first row is.")] = None,
    features: Annotated[
        list[str] | None, typer.Option(help="Features of the stimuli; else embedded texts. May be given often.")
    ] = None,
    predict: Annotated[bool | None, typer.Option(help="Fit encoding models.", show_default="predict")] = None,
    alpha: Annotated[float | None, typer.Option(help="False discovery rate of voxels that are predicted.")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides the split into halves and every sample.")] = None,
    json: JsonOption = False,
) -> None:
    """Read the responses of voxels to stimuli, fit encoding models, and keep every voxel's evidence."""
    import neurogloss as ng
    from neurogloss.cli import progress, render
    from neurogloss.folder import RunFolder
    from neurogloss.sources.brain import collect as brain

    given: dict[str, Any] = {
        "subject": subject,
        "stimuli": stimuli,
        "responses": tuple(responses) if responses else None,
        "predicted_by": predicted_by,
        "hookpoints": ("predicted",) if predicted_by else None,
        "dictionaries": tuple(dictionary) if dictionary else None,
        "pictures": pictures,
        "mask": mask,
        "rois": rois,
        "ceiling": ceiling,
        "ceiling_kind": ceiling_kind,
        "scale": scale,
        "standardize": standardize,
        "tr": tr,
        "first_tr": first_tr,
        "features": tuple(features) if features else None,
        "predict": predict,
        "alpha": alpha,
        "seed": seed,
    }
    with progress.shown() as bars:
        manifest = ng.collect_responses(run, progress=bars, **said(given))
    if json:
        render.print_json([manifest])
        return
    summary = brain.summary(RunFolder(run))
    render.console().print(
        f"{manifest['counts']['stimuli']:,} stimuli, {summary} in {run}. Next:  neurogloss label {run} "
        "--units sample:24 --explainer lavca --scorers detection,voxel-prediction",
        soft_wrap=True,
    )
