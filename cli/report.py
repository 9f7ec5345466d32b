"""neurogloss report"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neurogloss.cli.options import JsonOption, RunArgument


def report(
    run: RunArgument,
    out: Annotated[Path | None, typer.Option(help="File to write; by default report.html in the run.")] = None,
    method: Annotated[str | None, typer.Option(help="Labelling method; by default the newest.")] = None,
    floor_run: Annotated[
        Path | None,
        typer.Option(
            help="A run with nothing to explain, on a randomised dictionary say: its scores beside these."
        ),
    ] = None,
    units: Annotated[int, typer.Option(help="Best, middle and worst units shown, of each.", min=0)] = 4,
    json: JsonOption = False,
) -> None:
    """One HTML page about a run: scores beside floors, agreement, cost, states, units to look at."""
    import neurogloss as ng
    from neurogloss.cli import render

    path = ng.report(run, out, method=method, units=units, floor_run=floor_run)
    if json:
        render.print_json([{"report": str(path)}])
    else:
        render.console().print(f"{path}", soft_wrap=True)
