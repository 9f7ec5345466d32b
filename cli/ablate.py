"""neurogloss ablate"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

import neurogloss as ng
from neurogloss.cli import progress, render
from neurogloss.cli.options import JsonOption, RunArgument
from neurogloss.settings import ImageSettings

if TYPE_CHECKING:
    from neurogloss.sources.vision.ablation import Ablated

SHOWN = 5
"""Most and least changed classes to print."""


def ablate(
    run: RunArgument,
    where: Annotated[
        str,
        typer.Option(help="Filter on labels, as in search: 'explanation ~ \"red\" and detection > 0.2'."),
    ] = "",
    units: Annotated[str, typer.Option(help="Units instead: 3,7-9, sample:N or full ids.")] = "",
    pictures: Annotated[
        Path | None,
        typer.Option(help="Folder of images with a subfolder a class.", show_default="that of the run"),
    ] = None,
    images: Annotated[int, typer.Option(help="Images to classify.", min=1)] = 500,
    value: Annotated[float, typer.Option(help="Value to set the units' activations to.")] = 0.0,
    draws: Annotated[int, typer.Option(help="Sets of random units to ablate.", min=0)] = 20,
    seed: Annotated[int, typer.Option(help="Seed of the random units.")] = 0,
    json: JsonOption = False,
) -> None:
    """Ablate units of an image classifier, and compare with as many random units."""
    from neurogloss.sources.vision import ablation
    from neurogloss.sources.vision.loading import subject_of

    if bool(where) == bool(units):
        raise ng.UserError("Expected units to ablate, by --where or by --units; found neither or both.")
    opened = ng.open_run(run)
    if opened.cache.measure != "images":
        raise ng.UserError(f"Expected a run of images in {run}, found one of something else. Collect one first.")
    subject = subject_of(ImageSettings(**opened.cache.manifest["settings"]))
    if subject.fingerprint != opened.cache.manifest["subject"]["fingerprint"]:
        raise ng.UserError(
            f"Expected the subject that {run} was collected with, found other weights in "
            f"{opened.cache.manifest['settings']['subject']}. Bring back those."
        )
    folder = pictures or Path(opened.cache.manifest["pictures"])
    chosen = _chosen(opened, where, units, seed)
    with progress.Bars() as bars:
        labelled = ablation.labelled(folder, subject, images, bars)
        found = ablation.ablate(
            opened.cache, subject, chosen, labelled, value=value, draws=draws, seed=seed, progress=bars
        )
    if json:
        render.print_json([{**dataclasses.asdict(found), "units": sorted(map(str, chosen))}])
    else:
        _tell(found)


def _chosen(opened: ng.Run, where: str, units: str, seed: int) -> list[ng.UnitId]:
    """The chosen units, sorted."""
    from neurogloss.runs.select import select
    from neurogloss.store.search import units_where

    if units:
        return list(select(opened.cache, units, 1, seed))
    with opened.ledger() as ledger:
        return sorted(units_where(ledger.documents, where))


def _tell(found: Ablated) -> None:
    out = render.console()
    out.print(f"{found.n_units} units, {found.n_images} images; {found.kept:.0%} of the images found alike stay")
    for name, effect in (("accuracy", found.accuracy), ("precision of what is found alike", found.precision)):
        drop = f"{effect.drop.value:+.3f} [{effect.drop.low:+.3f}, {effect.drop.high:+.3f}]"
        out.print(f"{name} {effect.before:.3f} before, {effect.after:.3f} after; drop {drop} (95 % over images)")
        if effect.random:
            low, middle, high = (sorted(effect.random)[i] for i in (0, len(effect.random) // 2, -1))
            out.print(
                f"  {found.n_units} random units, {len(effect.random)} draws: drop {middle:+.3f} in the middle, "
                f"from {low:+.3f} to {high:+.3f}; p = {effect.p_value:.3f}"
            )
    table = Table("class", "logit", "its images told right", "found alike", title="Classes most changed")
    for each in [*found.classes[:SHOWN], *found.classes[max(SHOWN, len(found.classes) - SHOWN) :]]:
        right = f"{each.right:+.3f}" if each.right == each.right else ""
        table.add_row(each.name, f"{each.logit:+.2f}", right, f"{each.found:+.3f}")
    out.print(table)
    for changed in found.retrievals:
        beside, now = ", ".join(changed.before), ", ".join(changed.after)
        out.print(f"{changed.image}: beside it {beside}; now {now}", soft_wrap=True)
