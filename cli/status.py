"""neurogloss status"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from neurogloss.cli.options import JsonOption, RunArgument

if TYPE_CHECKING:
    from neurogloss.agent.run import Run


def status(
    run: RunArgument,
    labels: Annotated[bool, typer.Option("--labels", help="List every label of the newest method.")] = False,
    json: JsonOption = False,
) -> None:
    """What a run holds: tokens read, units by state, or every label."""
    import neurogloss as ng
    from neurogloss.cli import render

    opened = ng.open_run(run)
    if labels:
        found = opened.labels()
        if json:
            render.print_json(found)
        else:
            render.console().print(render.labels_table(list(found), title=str(run)))
        return
    _tell(opened, json)


def _tell(opened: Run, json: bool) -> None:
    from neurogloss.cli import render
    from neurogloss.sources.cache import read_manifest

    run, out = opened.folder.path, render.console()
    # A run that was only imported has no cache.
    manifest = read_manifest(opened.folder.cache) if opened.folder.cache.is_dir() else None
    complete = bool(manifest and manifest.get("complete"))
    methods = opened.status() if opened.folder.ledger.is_file() else {}
    usage = {method: opened.usage(method) for method in methods}
    if json:
        counts = manifest["counts"] if manifest else None
        told = {"run": str(run), "complete": complete, "collected": counts, "methods": methods, "usage": usage}
        render.print_json([told])
        return
    if manifest:
        counts = manifest["counts"]
        out.print(f"{run}: {counts['tokens']:,} tokens, {counts['contexts']:,} contexts", soft_wrap=True)
    else:
        out.print(f"{run}: labels only, nothing was collected", soft_wrap=True)
    for method, states in methods.items():
        found = ", ".join(f"{n} {render.state_text(state)}" for state, n in states.items()) or "nothing yet"
        out.print(f"  {method}: {found}", soft_wrap=True)
        for stage, used in usage[method].items():
            if used.requests or used.stored:
                out.print(f"    {stage}: {render.usage_text(used)}", soft_wrap=True)
    if manifest and not complete:
        wanted = manifest["settings"]["tokens"]
        out.print(f"  not finished, {wanted:,} tokens are wanted. Give the same collect command again.")
    elif not methods:
        out.print(f"  no labels yet. Next:  neurogloss label {run} --units sample:24", soft_wrap=True)
