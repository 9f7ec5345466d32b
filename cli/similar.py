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
    k: Annotated[int, typer.Option("-k", help="Neighbours a unit.", min=1)] = 1,
    json: JsonOption = False,
) -> None:
    """Each unit's nearest units of another run or hookpoint, by explanation text, beside a floor."""
    import neurogloss as ng
    from neurogloss.cli import render

    found = ng.similar(run_a, run_b, hookpoint_a, hookpoint_b, k)
    if json:
        render.print_json(found.pairs)
        return
    from rich.table import Table

    table = Table("unit", "explanation", "nearest", "its explanation", "similarity / floor", expand=True)
    for pair in sorted(found.pairs, key=lambda pair: -pair.similarity):
        texts = [side.explanation.text if side.explanation else "" for side in (pair.a, pair.b)]
        near = f"{render.number(pair.similarity)} / {render.number(pair.floor)}"
        table.add_row(render.short(pair.a.unit), texts[0], render.short(pair.b.unit), texts[1], near)
    out = render.console()
    out.print(table)
    out.print(f"mean similarity {render.number(found.mean)}, of random pairs {render.number(found.floor)}")
