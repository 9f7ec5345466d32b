"""neurogloss collect-images"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from neurogloss.cli.options import JsonOption, RunArgument, said


def collect_images(
    run: RunArgument,
    hookpoint: Annotated[list[str] | None, typer.Option(help="Module to listen at; may be given often.")] = None,
    subject: Annotated[
        str | None,
        typer.Option(help="Packaged name, folder of a Hugging Face image model, torchvision:NAME or timm:NAME."),
    ] = None,
    weights: Annotated[str | None, typer.Option(help="State dict of a torchvision or timm model.")] = None,
    dictionary: Annotated[
        list[str] | None,
        typer.Option(help="neurons, or an SAE's file or folder; one for all hookpoints, or one each."),
    ] = None,
    pictures: Annotated[
        str | None, typer.Option(help="Folder of images or of a saved data set, hub:NAME, or shapes, digits.")
    ] = None,
    exemplars: Annotated[
        str | None,
        typer.Option(help="Instead of a model: a layer's images, masks and activations, as MILAN writes them."),
    ] = None,
    captions: Annotated[str | None, typer.Option(help="CSV or JSON lines: path, caption.")] = None,
    image_column: Annotated[str | None, typer.Option(help="Column of a data set that is the image.")] = None,
    caption_column: Annotated[str | None, typer.Option(help="Column that is the caption.")] = None,
    images: Annotated[int | None, typer.Option(help="Images to read.")] = None,
    dtype: Annotated[str | None, typer.Option(help="auto, float32, bfloat16 or float16.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides the split into halves and every sample.")] = None,
    json: JsonOption = False,
) -> None:
    """Read images with a vision model once, and keep every unit's evidence.

    A pass that was stopped goes on where it was when the same command is given again.
    """
    import neurogloss as ng
    from neurogloss.cli import progress, render
    from neurogloss.errors import UserError
    from neurogloss.sources.cache import Site

    given: dict[str, Any] = {
        "hookpoints": tuple(hookpoint) if hookpoint else None,
        "subject": subject,
        "weights": weights,
        "dictionaries": tuple(dictionary) if dictionary else None,
        "pictures": pictures,
        "captions": captions,
        "image_column": image_column,
        "caption_column": caption_column,
        "images": images,
        "dtype": dtype,
        "device": device,
        "seed": seed,
    }
    if exemplars:
        if pictures or weights or dictionary:
            raise UserError("Expected no pictures, weights or dictionary beside --exemplars. Leave them out.")
        given |= {
            "subject": f"exemplars:{subject}" if subject else "exemplars",
            "pictures": exemplars,
            "hookpoints": tuple(hookpoint or [Path(exemplars).resolve().name]),
        }
    with progress.shown() as bars:
        manifest = ng.collect_images(run, progress=bars, **said(given))
    if json:
        render.print_json([manifest])
        return
    counts = manifest["counts"]
    units = sum(Site.of(site).sides for site in manifest["sites"])
    render.console().print(
        f"{counts['images']:,} images, {units:,} units in {run}. Next:  "
        f"neurogloss label {run} --units sample:24 --scorers detection",
        soft_wrap=True,
    )
