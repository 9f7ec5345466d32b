"""neurogloss similar"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Column

import neurogloss as ng
from neurogloss.cli import render, units
from neurogloss.cli.index import chosen
from neurogloss.cli.options import EmbedderOption, EngineOption, JsonOption, RunArgument
from neurogloss.cli.render import visible
from neurogloss.cli.units import Names

if TYPE_CHECKING:
    from neurogloss.runs.compare import Grid

SHOWN = 20
"""Pairs to print, and unmatched units of each side."""


def similar(
    run_a: RunArgument,
    run_b: RunArgument,
    by: Annotated[
        str, typer.Option(help="Evidence: text, decoder, coactivation, correlation, with commas.")
    ] = "text",
    match: Annotated[Literal["nearest", "mutual", "one-to-one", "clusters"], typer.Option()] = "nearest",
    hookpoint_a: Annotated[str | None, typer.Option(help="Only units of this hookpoint of RUN_A.")] = None,
    hookpoint_b: Annotated[str | None, typer.Option(help="Only units of this hookpoint of RUN_B.")] = None,
    dictionary_a: Annotated[str | None, typer.Option(help="Only units of this dictionary of RUN_A.")] = None,
    dictionary_b: Annotated[str | None, typer.Option(help="Only units of this dictionary of RUN_B.")] = None,
    roi_a: Annotated[
        str | None, typer.Option(help="Only voxels of this region of RUN_A; several with commas.")
    ] = None,
    roi_b: Annotated[str | None, typer.Option(help="Only voxels of this region of RUN_B.")] = None,
    k: Annotated[int, typer.Option("-k", help="Neighbours per unit, for nearest and clusters.", min=1)] = 1,
    min_active: Annotated[int, typer.Option(help="Contexts in which a unit must be active.", min=1)] = 5,
    out: Annotated[Path | None, typer.Option(help="Write all pairs to a new Parquet file.")] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw values with their floors, or a heat map with --grid (.svg, .png).")
    ] = None,
    grid: Annotated[
        bool, typer.Option("--grid", help="Compare hookpoint by hookpoint and dictionary by dictionary.")
    ] = False,
    embedder: EmbedderOption = "",
    engine: EngineOption = "local",
    json: JsonOption = False,
) -> None:
    """Match units with those of another run, hookpoint or dictionary, each kind of evidence with its floor."""
    from neurogloss.runs.compare import grid as place_by_place
    from neurogloss.store import pictures
    from neurogloss.store.exchange.files import require_new
    from neurogloss.store.similarity import write_parquet

    if picture:
        pictures.check(picture)
    if out:
        require_new(out)
    kinds: Any = [kind.strip() for kind in by.split(",")]
    if grid and (out or len(kinds) > 1):
        raise ng.UserError("--grid takes a single --by and no --out. Leave out the others, or --grid.")
    place_a, place_b = (hookpoint_a, dictionary_a, roi_a), (hookpoint_b, dictionary_b, roi_b)
    compared = (run_a, run_b, place_a, place_b)
    how: Any = {"min_active": min_active, "embedder": chosen(embedder), "engine": engine}
    if grid:
        cells = place_by_place(*compared, by=kinds[0], **how)
        if picture:
            title = f"mean {cells.kind} of the most alike"
            pictures.heat_map(cells.means, cells.rows, cells.columns, title, picture)
        _show_grid(cells, json)
        return
    found = ng.similar(*compared, k, by=kinds, match=match, **how)
    if out:
        write_parquet(out, found)
    if picture:
        pictures.distributions(found, picture)
    if json:
        render.print_json([*found.pairs, {"summary": found.summary(SHOWN)}])
    else:
        _show(found)


def _show(found: ng.results.Similarity) -> None:
    """Print the first pairs, the values of each kind with its floor, and the unmatched units of each side."""
    lone = [each for side in found.distinctive for each in side[:SHOWN] if each.text]
    shown = sorted(found.pairs, key=lambda pair: (not pair.matched, pair.a.text is None, -pair.similarity))[:SHOWN]
    named = units.names([*(m.unit for pair in shown for m in (pair.a, pair.b)), *(each.unit for each in lone)])
    out = render.console()
    other = found.match if found.match == "nearest" else "matched"
    kinds = [level.kind for level in found.levels if level.kind != found.ranked_by]
    values = [Column(kind, justify="right", overflow="fold") for kind in (found.ranked_by, *kinds)]
    headings = ("unit", "explanation", other, "its explanation", *values)
    table = render.new_table(caption=f"units of {named.common}" if shown else "", headings=headings)
    for pair in shown:
        sides = [cell for m in (pair.a, pair.b) for cell in (named.of(m.unit), visible(m.text or "–"))]
        numbers = (pair.similarity, *(pair.values[kind] for kind in kinds))
        table.add_row(*sides, *map(render.number, numbers), style="" if pair.matched else "dim")
    out.print(table)
    if len(found.pairs) > len(shown):
        out.print(f"{len(shown)} of {len(found.pairs):,} pairs; --out FILE.parquet or --json has all")
    _show_levels(found)
    for side, each in zip("AB", found.distinctive, strict=True):
        _show_distinctive(side, each, named)


def _show_levels(found: ng.results.Similarity) -> None:
    out = render.console()
    for level in found.levels:
        out.print(
            f"{level.kind}: mean {render.number(level.mean)} over {level.pairs:,} pairs, floor "
            f"{render.number(level.floor)} ({level.floor_is}); above its 95 % ({render.number(level.limit)}): "
            f"{level.share_a:.0%} of A, {level.share_b:.0%} of B"
        )
    for kind, reason in found.missing.items():
        out.print(f"{kind}: not at hand: {reason}")
    (a, b), (all_a, all_b) = found.matched, found.units
    out.print(
        f"matched by {found.ranked_by} above {render.number(found.limit)}: {a:,} of {all_a:,} units of A, "
        f"{b:,} of {all_b:,} of B"
    )
    for reason, n in found.left_out.items():
        if n:
            out.print(f"left out: {n:,} units of {reason}")
    calibration = found.calibration
    if calibration.brier == calibration.brier:
        out.print(
            f"probability calibrated on {calibration.pairs:,} pairs of units and planted copies: Brier score "
            f"{calibration.brier:.3f}, {calibration.brier_floor:.3f} of saying the same for all"
        )
    for kind, reason in calibration.missing.items():
        out.print(f"probability without {kind}: {reason}")


def _show_distinctive(side: str, lone: Sequence[ng.results.Lone], named: Names) -> None:
    out = render.console()
    out.print(f"{len(lone):,} units of {side} are like none of the other side")
    for each in lone[:SHOWN]:
        if each.text:
            out.print(f"  {render.number(each.similarity)} {named.of(each.unit)} {visible(each.text)}")


def _show_grid(cells: Grid, json: bool) -> None:
    if json:
        render.print_json(
            {
                "kind": cells.kind,
                "a": a,
                "b": b,
                "mean": float(cells.means[i, j]),
                "floor": float(cells.floors[i, j]),
            }
            for i, a in enumerate(cells.rows)
            for j, b in enumerate(cells.columns)
        )
        return
    columns = (Column(each, overflow="fold", justify="right") for each in cells.columns)
    caption = f"mean {cells.kind} of the units of A with the most alike of B / floor"
    table = render.new_table(caption=caption, headings=("A \\ B", *columns))
    for i, row in enumerate(cells.rows):
        values = zip(cells.means[i].tolist(), cells.floors[i].tolist(), strict=True)
        table.add_row(row, *(render.beside_floor(mean, floor) for mean, floor in values))
    out = render.console()
    out.print(table)
    for reason in cells.missing:
        out.print(f"not at hand: {reason}")
