"""neurogloss export, neurogloss import, neurogloss diff"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neurogloss.cli.options import JsonOption, RunArgument

if TYPE_CHECKING:
    from rich.table import Table

    from neurogloss.store.exchange.diff import Difference


def export(
    run: RunArgument,
    out: Annotated[Path, typer.Argument(help="File or folder to make.", metavar="OUT")],
    format: Annotated[
        str, typer.Option(help="jsonl, parquet, dataset, neuronpedia or circuit-tracer.", show_default=False)
    ],
    method: Annotated[str | None, typer.Option(help="Labelling method; by default the newest.")] = None,
    hookpoint: Annotated[str | None, typer.Option(help="Only units of this hookpoint.")] = None,
    dictionary: Annotated[str | None, typer.Option(help="Only units of this dictionary.")] = None,
    json: JsonOption = False,
) -> None:
    """Write a run's labels in a format that other tools read."""
    from neurogloss.cli import render
    from neurogloss.runs import exchange

    n = exchange.export(run, out, format, method=method, hookpoint=hookpoint, dictionary=dictionary)
    if json:
        render.print_json([{"out": str(out), "format": format, "labels": n}])
    else:
        render.console().print(f"{n:,} labels in {out}", soft_wrap=True)


def import_(
    run: RunArgument,
    file: Annotated[Path, typer.Argument(help="File or folder to read.", metavar="FILE")],
    format: Annotated[str, typer.Option(help="jsonl, parquet, neuronpedia or delphi.", show_default=False)],
    at: Annotated[
        list[str] | None,
        typer.Option(
            help="Where its units are: SUBJECT/HOOKPOINT/DICTIONARY, or NAME= and that for one of its names."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Take explanations that others made into a run, to be searched, compared and scored beside its own."""
    from neurogloss.cli import render
    from neurogloss.runs import exchange

    imported = exchange.import_labels(run, file, format, at=at or ())
    if json:
        render.print_json([imported])
        return
    out = render.console()
    for method, n in imported.methods.items():
        out.print(f"{method}: {n:,} explanations", soft_wrap=True)
    if imported.without_text:
        out.print(f"{imported.without_text:,} units have none in {file}", soft_wrap=True)
    out.print(f"Make them searchable:  neurogloss index rebuild {run}", soft_wrap=True)


def diff(
    run_a: RunArgument,
    run_b: RunArgument,
    method_a: Annotated[str | None, typer.Option(help="Method of RUN_A; by default its newest.")] = None,
    method_b: Annotated[str | None, typer.Option(help="Method of RUN_B; by default its newest.")] = None,
    json: JsonOption = False,
) -> None:
    """What changed between two runs, or two methods of one run: explanations, states, scores."""
    from neurogloss.cli import render
    from neurogloss.runs import exchange

    found = exchange.diff(run_a, run_b, method_a, method_b)
    if json:
        render.print_json([found])
        return
    out = render.console()
    if found.changes:
        out.print(_table(found))
    out.print(
        f"{len(found.changes)} changed, {found.unchanged} the same; {len(found.only_a)} only in {run_a}, "
        f"{len(found.only_b)} only in {run_b}",
        soft_wrap=True,
    )


def _table(found: Difference) -> Table:
    """Two rows a unit, before and after: what is the same in both is said once."""
    from neurogloss.cli import render, units

    named = units.names(change.a.unit for change in found.changes)
    table = render.new_table(caption=f"units of {named.common}")
    for heading in ("unit", "explanation", "state", "scores"):
        table.add_column(heading, overflow="fold")
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
