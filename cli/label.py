"""neurogloss label"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurogloss.cli.options import JsonOption, RunArgument

if TYPE_CHECKING:
    from neurogloss.settings import LabelSettings


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
        "scorers": tuple(filter(None, map(str.strip, scorers.split(",")))) if scorers else None,
        "candidates": candidates,
        "floors": floors,
        "questions": questions,
        "concurrency": concurrency,
        "seed": seed,
    }
    from neurogloss.settings import LabelSettings, make

    settings = make(LabelSettings, {key: value for key, value in given.items() if value is not None})
    return label_and_report(run, settings, json)


def label_and_report(run: Path, settings: LabelSettings, json: bool) -> int:
    """Label, print what came of it, and return the exit code."""
    import neurogloss as ng
    from neurogloss.cli import progress, render

    with progress.shown() as bars:
        summary = ng.label(run, settings, progress=bars)
    out = render.console()
    if json:
        render.print_json([summary])
    else:
        states = ", ".join(f"{n} {render.state_text(state)}" for state, n in summary.states.items())
        out.print(
            f"{summary.method}: {states or 'none done'}. See them:  neurogloss status {run} --labels",
            soft_wrap=True,
        )
        if summary.waiting:
            out.print(f"{summary.waiting} units wait; the same command takes them up again.")
    return 1 if summary.failed or summary.waiting else 0
