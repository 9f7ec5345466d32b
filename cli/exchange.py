"""neurogloss export, neurogloss import, neurogloss diff"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

import neurogloss as ng
from neurogloss.cli import render, units
from neurogloss.cli.options import JsonOption, MethodOption, RunArgument


def export(
    run: RunArgument,
    out: Annotated[Path, typer.Argument(help="File or folder to make.", metavar="OUT")],
    format: Annotated[
        str, typer.Option(help="jsonl, parquet, dataset, neuronpedia or circuit-tracer.", show_default=False)
    ],
    method: MethodOption = None,
    hookpoint: Annotated[str | None, typer.Option(help="Only units of this hookpoint.")] = None,
    dictionary: Annotated[str | None, typer.Option(help="Only units of this dictionary.")] = None,
    json: JsonOption = False,
) -> None:
    """Write a run's labels in a format that other tools read."""
    n = ng.export(run, out, format, method=method, hookpoint=hookpoint, dictionary=dictionary)
    render.tell(json, [{"out": str(out), "format": format, "labels": n}], f"{n:,} labels in {out}")


def import_(
    run: RunArgument,
    file: Annotated[Path, typer.Argument(help="File or folder to read.", metavar="FILE")],
    format: Annotated[str, typer.Option(help="jsonl, parquet, neuronpedia or delphi.", show_default=False)],
    at: Annotated[
        list[str] | None,
        typer.Option(help="Place of its units, SUBJECT/HOOKPOINT/DICTIONARY, or NAME=PLACE for one of its names."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Import explanations that others made into a run, to search, compare and score them."""
    imported = ng.import_labels(run, file, format, at=at or ())
    lines = [f"{method}: {n:,} explanations" for method, n in imported.methods.items()]
    if imported.without_text:
        lines.append(f"{imported.without_text:,} units have none in {file}")
    following = f"Make them searchable:  neurogloss index rebuild {run}"
    render.tell(json, [imported], "\n".join([*lines, following]))


def diff(
    run_a: RunArgument,
    run_b: RunArgument,
    method_a: MethodOption = None,
    method_b: MethodOption = None,
    json: JsonOption = False,
) -> None:
    """Compare the labels of two runs, or of two methods of one run: explanations, states and scores."""
    found = ng.diff(run_a, run_b, method_a, method_b)
    counts = (
        f"{len(found.changes)} changed, {found.unchanged} the same; {len(found.only_a)} only in {run_a}, "
        f"{len(found.only_b)} only in {run_b}"
    )
    render.tell(json, [found], *([_table(found)] if found.changes else []), counts)


def _table(found: ng.results.Difference) -> Table:
    """Two rows per unit, before and after. The second row leaves out what did not change."""
    named = units.names(change.a.unit for change in found.changes)
    headings = ("unit", "explanation", "state", "scores")
    table = render.new_table(caption=f"units of {named.common}", headings=headings)
    for change in found.changes:
        scores = [
            [f"{s.scorer} {render.interval(side)}" for s, side in ((s, getattr(s, end)) for s in change.scores)]
            for end in ("before", "after")
        ]
        before = (render.words(change.a), render.state_text(change.a.state), "\n".join(scores[0]))
        after = (
            render.words(change.b) if change.text else "",
            render.state_text(change.b.state) if change.state else "",
            "\n".join(scores[1]),
        )
        table.add_row(named.of(change.a.unit), *before)
        table.add_row("", *after)
    return table
