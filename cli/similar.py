"""neurogloss similar"""

from __future__ import annotations

from typing import Annotated

import typer

from neurogloss.cli.options import JsonOption, RunArgument


def similar(
    run_a: RunArgument,
    run_b: RunArgument,
    hookpoint_a: Annotated[str | None, typer.Option(help="Only units of this hookpoint of RUN_A.")] = None,
    hookpoint_b: Annotated[str | None, typer.Option(help="Only units of this hookpoint of RUN_B.")] = None,
    dictionary_a: Annotated[str | None, typer.Option(help="Only units of this dictionary of RUN_A.")] = None,
    dictionary_b: Annotated[str | None, typer.Option(help="Only units of this dictionary of RUN_B.")] = None,
    k: Annotated[int, typer.Option("-k", help="Neighbours a unit.", min=1)] = 1,
    json: JsonOption = False,
) -> None:
    """Each unit's nearest units of another run, hookpoint or dictionary, by explanation text, beside a floor."""
    import neurogloss as ng
    from neurogloss.cli import render, units

    found = ng.similar(run_a, run_b, (hookpoint_a, dictionary_a), (hookpoint_b, dictionary_b), k)
    if json:
        render.print_json(found.pairs)
        return
    named = units.names(label.unit for pair in found.pairs for label in (pair.a, pair.b))
    table = render.new_table(caption=f"units of {named.common}" if found.pairs else "")
    for heading in ("unit", "explanation", "nearest", "its explanation"):
        table.add_column(heading, overflow="fold")
    table.add_column("similarity\n/floor", justify="right", no_wrap=True)
    for pair in sorted(found.pairs, key=lambda pair: -pair.similarity):
        sides = [cell for label in (pair.a, pair.b) for cell in (named.of(label.unit), render.words(label))]
        table.add_row(*sides, render.beside_floor(pair.similarity, pair.floor))
    out = render.console()
    out.print(table)
    unmatched = f"; {found.unmatched} without a neighbour" if found.unmatched else ""
    out.print(
        f"mean similarity {render.number(found.mean)}, of random pairs {render.number(found.floor)}{unmatched}"
    )
