"""neurogloss label, neurogloss score"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurogloss.cli import progress, render
from neurogloss.cli.options import EngineOption, JsonOption, MethodOption, RunArgument, chosen, takes
from neurogloss.presentation import EXPLAINING
from neurogloss.settings import LabelSettings

if TYPE_CHECKING:
    from neurogloss.runs.sweep import Summary


@takes(LabelSettings)
def label(
    run: RunArgument,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Estimate what it would cost, and stop.")] = False,
    engine: EngineOption = "local",
    json: JsonOption = False,
    **given: Any,
) -> int:
    """Explain units and score the explanations, each score next to its baseline.

    Finished units are not done again. The next run takes up units that a server failed.
    """
    settings = chosen(LabelSettings, given)
    return plan_and_report(run, settings, json) if dry_run else label_and_report(run, settings, json, engine)


@takes(LabelSettings, without={EXPLAINING.group})
def score(
    run: RunArgument,
    method: MethodOption = None,
    engine: EngineOption = "local",
    json: JsonOption = False,
    **given: Any,
) -> int:
    """Score stored explanations, labelled or imported, by scorers that have not scored them yet."""
    import neurogloss as ng

    settings = chosen(LabelSettings, given)
    with progress.shown() as bars:
        summary = ng.score(run, method, settings, engine=engine, progress=bars)
    return report(run, summary, json)


def plan_and_report(run: Path, settings: LabelSettings, json: bool) -> int:
    """Print what labelling would cost, and return the exit code."""
    import neurogloss as ng

    with progress.shown() as bars:
        plan = ng.plan(run, settings, progress=bars)
    render.tell(json, [plan], render.plan_text(plan))
    return 0


def label_and_report(run: Path, settings: LabelSettings, json: bool, engine: str = "local") -> int:
    """Label, print the result, and return the exit code."""
    import neurogloss as ng

    with progress.shown() as bars:
        summary = ng.label(run, settings, engine=engine, progress=bars)
    return report(run, summary, json)


def report(run: Path, summary: Summary, json: bool) -> int:
    """Print the result of labelling or scoring, and return the exit code."""

    out = render.console()
    if json:
        render.print_json([summary])
    else:
        states = ", ".join(f"{n} {render.state_text(state)}" for state, n in summary.states.items())
        out.print(
            f"{summary.method}: {states or 'none done'}. See them:  neurogloss status {run} --labels",
            soft_wrap=True,
        )
        if summary.usage.requests or summary.usage.stored:
            out.print(render.usage_text(summary.usage, summary.cost), soft_wrap=True)
        if summary.waiting:
            out.print(f"{summary.waiting} units wait; the same command takes them up again.")
    return 1 if summary.failed or summary.waiting else 0
