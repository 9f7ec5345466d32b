"""neurogloss label, neurogloss score, neurogloss run"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

import neurogloss as ng
from neurogloss.cli import progress, render
from neurogloss.cli.options import EngineOption, JsonOption, MethodOption, RunArgument, chosen, takes
from neurogloss.presentation import EXPLAINING
from neurogloss.settings import LabelSettings, read_config


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
    if not dry_run:
        return label_and_report(run, settings, json, engine)
    with progress.Bars() as bars:
        plan = ng.plan(run, settings, progress=bars)
    render.tell(json, [plan], render.plan_text(plan))
    return 0


@takes(LabelSettings, without={EXPLAINING.group})
def score(
    run: RunArgument,
    method: MethodOption = None,
    engine: EngineOption = "local",
    json: JsonOption = False,
    **given: Any,
) -> int:
    """Score stored explanations, labelled or imported, by scorers that have not scored them yet."""
    settings = chosen(LabelSettings, given)
    with progress.Bars() as bars:
        summary = ng.score(run, method, settings, engine=engine, progress=bars)
    return report(run, summary, json)


def run(
    config: Annotated[Path, typer.Argument(help="TOML file: run, and the tables [collect] and [label].")],
    set: Annotated[list[str] | None, typer.Option(help="Override, e.g. label.units=all. May be repeated.")] = None,
    engine: EngineOption = "local",
    json: JsonOption = False,
) -> int:
    """Collect and label as one resumable batch, as a file says."""
    # All settings are checked before the first long step.
    settings = read_config(config, map(_override, set or []))
    folder = Path(settings.run)
    with progress.Bars() as bars:
        ng.collect(folder, settings.collect, engine=engine, progress=bars)
    return label_and_report(folder, settings.label, json, engine)


def label_and_report(run: Path, settings: LabelSettings, json: bool, engine: str) -> int:
    """Label, print the result, and return the exit code."""
    with progress.Bars() as bars:
        summary = ng.label(run, settings, engine=engine, progress=bars)
    return report(run, summary, json)


def report(run: Path, summary: ng.results.Summary, json: bool) -> int:
    """Print the result of labelling or scoring, and return the exit code."""
    states = ", ".join(f"{n} {render.state_text(state)}" for state, n in summary.states.items())
    told = [f"{summary.method}: {states or 'none done'}. See them:  neurogloss status {run} --labels"]
    if summary.usage.requests or summary.usage.stored:
        told.append(render.usage_text(summary.usage, summary.cost))
    if summary.waiting:
        told.append(f"{summary.waiting} units wait; the same command takes them up again.")
    render.tell(json, [summary], *told)
    return 1 if summary.failed or summary.waiting else 0


def _override(text: str) -> tuple[str, str, Any]:
    """Table, name and value: a list or a string in TOML, or a word or number as it is."""
    name, _, value = text.partition("=")
    table, _, key = name.strip().partition(".")
    if table not in ("collect", "label") or not key or not value.strip():
        raise ng.UserError(f"Expected --set collect.NAME=VALUE or label.NAME=VALUE, found {text!r}.")
    value = value.strip()
    if value[0] not in "[\"'":
        return table, key, value
    try:
        return table, key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError as error:
        raise ng.UserError(f"Expected a value in TOML in --set {text}, found: {error}.") from None
