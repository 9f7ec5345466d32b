"""neurogloss collect, collect-images, collect-responses"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

import neurogloss as ng
from neurogloss.cli import progress, render
from neurogloss.cli.options import EngineOption, JsonOption, RunArgument, chosen, said, takes
from neurogloss.errors import UserError
from neurogloss.folder import RunFolder
from neurogloss.settings import CollectSettings, ImageSettings, ResponseSettings


@takes(CollectSettings)
def collect(
    run: RunArgument,
    merge: Annotated[
        list[Path] | None, typer.Option(help="Finished runs over other documents, to merge into RUN. Give each.")
    ] = None,
    engine: EngineOption = "local",
    json: JsonOption = False,
    **given: Any,
) -> None:
    """Read a corpus with a model once, and keep every unit's evidence.

    Give the same command again to resume a pass that was stopped.
    """
    if merge:
        if others := said(CollectSettings, given):
            raise UserError(
                f"Expected --merge alone, found {', '.join(others)} too. Merged runs keep their settings."
            )
        manifest = ng.merge(run, merge)
    else:
        settings = chosen(CollectSettings, given)
        with progress.Bars() as bars:
            manifest = ng.collect(run, settings, engine=engine, progress=bars)
    counts = manifest["counts"]
    read = f"{counts['tokens']:,} tokens of {counts['documents']:,} documents, {counts['contexts']:,} contexts"
    _tell(run, manifest, json, f"{read}, {_units(manifest)}", "")


@takes(ImageSettings)
def collect_images(
    run: RunArgument,
    exemplars: Annotated[
        Path | None,
        typer.Option(help="Read a layer's images, masks and activations, as MILAN writes them, without a model."),
    ] = None,
    json: JsonOption = False,
    **given: Any,
) -> None:
    """Read images with a vision model once, and keep every unit's evidence.

    Give the same command again to resume a pass that was stopped.
    """
    if exemplars:
        others = said(ImageSettings, given)
        if others.keys() & {"pictures", "weights", "dictionaries"}:
            raise UserError("Expected --exemplars without --pictures, --weights and --dictionary. Leave them out.")
        name = f":{others['subject']}" if "subject" in others else ""
        given |= {"subject": f"exemplars{name}", "pictures": str(exemplars)}
        given["hookpoints"] = given["hookpoints"] or [exemplars.resolve().name]
    settings = chosen(ImageSettings, given)
    with progress.Bars() as bars:
        manifest = ng.collect_images(run, settings, progress=bars)
    read = f"{manifest['counts']['images']:,} images, {_units(manifest)}"
    _tell(run, manifest, json, read, " --scorers detection")


@takes(ResponseSettings)
def collect_responses(run: RunArgument, json: JsonOption = False, **given: Any) -> None:
    """Read the responses of voxels to stimuli, fit encoding models, and keep every voxel's evidence."""
    from neurogloss.sources.brain.collect import summary

    settings = chosen(ResponseSettings, given)
    with progress.Bars() as bars:
        manifest = ng.collect_responses(run, settings, progress=bars)
    read = f"{manifest['counts']['stimuli']:,} stimuli, {summary(RunFolder(run))}"
    _tell(run, manifest, json, read, " --explainer lavca --scorers detection,voxel-prediction")


def _units(manifest: Mapping[str, Any]) -> str:
    from neurogloss.sources.cache import Site

    return f"{sum(Site.of(site).sides for site in manifest['sites']):,} units"


def _tell(run: Path, manifest: Mapping[str, Any], json: bool, read: str, options: str) -> None:
    """Print the manifest, or what was read and the next command."""
    following = f"neurogloss label {run} --units sample:24{options}"
    render.tell(json, [manifest], f"{read} in {run}. Next:  {following}")
