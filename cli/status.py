"""neurogloss status"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

import neurogloss as ng
from neurogloss.cli import render
from neurogloss.cli.options import JsonOption, RunArgument

if TYPE_CHECKING:
    from neurogloss.scorers.summary import ScorerSummary


def status(
    run: RunArgument,
    labels: Annotated[bool, typer.Option("--labels", help="List every label of the newest method.")] = False,
    json: JsonOption = False,
) -> None:
    """Show what a run holds: tokens read, units by state, and scores with their floors; or every label."""
    opened = ng.open_run(run)
    if labels:
        found = list(opened.labels())
        render.tell(json, found, render.labels_table(found, title=str(run)))
    else:
        _tell(opened, json)


def _tell(opened: ng.Run, json: bool) -> None:
    from neurogloss.scorers.summary import by_scorer
    from neurogloss.sources.cache import read_manifest

    run, out = opened.folder.path, render.console()
    # A run that was only imported has no cache.
    manifest = read_manifest(opened.folder.cache) if opened.folder.cache.is_dir() else None
    complete = bool(manifest and manifest.get("complete"))
    methods = opened.status() if opened.folder.ledger.is_file() else {}
    usage = {method: opened.usage(method) for method in methods}
    scores = {
        method: by_scorer(s for each in opened.labels(method=method) for s in each.scores) for method in methods
    }
    if json:
        counts = manifest["counts"] if manifest else None
        told = {"run": str(run), "complete": complete, "collected": counts, "methods": methods}
        render.print_json([{**told, "usage": usage, "scores": scores}])
        return
    if manifest:
        counts, measure = manifest["counts"], manifest["measure"]
        out.print(f"{run}: {counts[measure]:,} {measure}, {counts['contexts']:,} contexts", soft_wrap=True)
    else:
        out.print(f"{run}: labels only, nothing was collected", soft_wrap=True)
    for method, states in methods.items():
        found = ", ".join(f"{n} {render.state_text(state)}" for state, n in states.items()) or "nothing yet"
        out.print(f"  {method}: {found}", soft_wrap=True)
        for stage, used in usage[method].items():
            if used.requests or used.stored:
                out.print(f"    {stage}: {render.usage_text(used)}", soft_wrap=True)
        if scores[method]:
            out.print(_scores_table(scores[method]))
    if manifest and not complete:
        wanted = f"{limit:,}" if (limit := manifest.get("limit")) else "more"
        out.print(f"  not finished, {wanted} {measure} are wanted. Give the same collect command again.")
    elif not methods:
        out.print(f"  no labels yet. Next:  neurogloss label {run} --units sample:24", soft_wrap=True)


def _scores_table(scorers: Sequence[ScorerSummary]) -> Table:
    """One row per scorer: means over units of the score, its floor and their difference."""
    columns = map(render.figures, ("units", "score", "floor", "above its floor", "p"))
    caption = "means over units, 95 % intervals; p: paired over units"
    table = render.new_table(caption=caption, headings=("scorer", *columns))
    for each in scorers:
        table.add_row(
            Text.assemble(each.scorer, (f"\n{each.metric.replace('_', ' ')}", "dim")),
            str(each.score.n),
            render.interval(each.score.mean),
            render.number(each.floor.mean.value),
            render.interval(each.excess.mean),
            render.chance(each.p_value),
        )
    return table
