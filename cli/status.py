"""neurogloss status"""

from __future__ import annotations

from typing import Annotated

import typer

from neurogloss.cli.options import JsonOption, RunArgument


def status(
    run: RunArgument,
    labels: Annotated[bool, typer.Option("--labels", help="List every label of the newest method.")] = False,
    json: JsonOption = False,
) -> None:
    """What a run holds: tokens read, units by state, or every label."""
    import neurogloss as ng
    from neurogloss.cli import render

    opened = ng.open_run(run)
    out = render.console()
    if labels:
        found = opened.labels()
        if json:
            render.print_json(found)
        else:
            out.print(render.labels_table(list(found), title=str(run)))
        return
    collected = opened.cache.manifest["counts"]
    methods = opened.status() if opened.folder.ledger.is_file() else {}
    if json:
        render.print_json([{"run": str(run), "collected": collected, "methods": methods}])
        return
    out.print(f"{run}: {collected['tokens']:,} tokens, {collected['contexts']:,} contexts", soft_wrap=True)
    for method, states in methods.items():
        out.print(f"  {method}: " + ", ".join(f"{n} {state.value}" for state, n in states.items()))
    if not methods:
        out.print(f"  no labels yet. Next:  neurogloss label {run} --units sample:24", soft_wrap=True)
