"""neurogloss label"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from neurogloss.cli.options import JsonOption, RunArgument


def label(
    run: RunArgument,
    units: Annotated[str | None, typer.Option(help="all, sample:N, 0-99,512- or full unit ids.")] = None,
    explainer: Annotated[str | None, typer.Option(help="pmi or llm.")] = None,
    llm: Annotated[str | None, typer.Option(help="URL of an OpenAI-compatible server, or scripted:FILE.")] = None,
    model: Annotated[str | None, typer.Option(help="Model on that server.")] = None,
    judge: Annotated[str | None, typer.Option(help="similarity, likelihood or llm.")] = None,
    scorers: Annotated[str | None, typer.Option(help="Names, separated by commas.")] = None,
    candidates: Annotated[int | None, typer.Option(help="Explanations asked of an LLM, to choose among.")] = None,
    floors: Annotated[int | None, typer.Option(help="Explanations of other units asked as a floor.")] = None,
    questions: Annotated[int | None, typer.Option(help="Questions a scorer at most.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Units in flight.")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides every sample and draw.")] = None,
    json: JsonOption = False,
) -> int:
    """Explain units and score the explanations, each score beside its floor.

    Units that are done are not done again; units that a server failed are taken up by the next run.
    """
    given: dict[str, Any] = {
        "units": units,
        "explainer": explainer,
        "llm": llm,
        "model": model,
        "judge": judge,
        "scorers": tuple(scorers.split(",")) if scorers else None,
        "candidates": candidates,
        "floors": floors,
        "questions": questions,
        "concurrency": concurrency,
        "seed": seed,
    }
    return label_and_report(run, {key: value for key, value in given.items() if value is not None}, json)


def label_and_report(run: Path, values: dict[str, Any], json: bool) -> int:
    """Label, print what came of it, and return the exit code."""
    import neurogloss as ng
    from neurogloss.cli import render
    from neurogloss.cli.progress import Bars
    from neurogloss.settings import LabelSettings, make

    settings = make(LabelSettings, values)
    with Bars() as bars:
        summary = ng.label(run, settings, progress=bars)
    if json:
        render.print_json([summary])
    else:
        states = ", ".join(f"{n} {state.value}" for state, n in summary.states.items()) or "none done"
        render.console().print(f"{summary.method}: {states}. See them:  neurogloss status {run} --labels")
    if summary.waiting:
        render.console().print(
            f"{summary.waiting} units wait; the same command takes them up again.", soft_wrap=True
        )
    return 1 if summary.failed or summary.waiting else 0
