"""neurogloss report"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neurogloss.cli import render
from neurogloss.cli.options import JsonOption, MethodOption, RunArgument


def report(
    run: RunArgument,
    out: Annotated[Path | None, typer.Option(help="File to write. Defaults to report.html in the run.")] = None,
    method: MethodOption = None,
    floor_run: Annotated[
        Path | None, typer.Option(help="Run to compare scores with, such as one on a randomised dictionary.")
    ] = None,
    units: Annotated[int, typer.Option(help="Best, middle and worst units to show, of each.", min=0)] = 4,
    json: JsonOption = False,
) -> None:
    """Write an HTML page about a run: scores and baselines, agreement, cost, states and sample units."""
    import neurogloss as ng

    path = ng.report(run, out, method=method, units=units, floor_run=floor_run)
    render.tell(json, [{"report": str(path)}], str(path))
