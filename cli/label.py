"""neurogloss label"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurogloss.cli.options import EmbedderOption, EngineOption, JsonOption, RunArgument, said

if TYPE_CHECKING:
    from neurogloss.runs.sweep import Summary
    from neurogloss.settings import LabelSettings


def label(
    run: RunArgument,
    units: Annotated[str | None, typer.Option(help="all, sample:N, 0-99,512- or full unit ids.")] = None,
    explainer: Annotated[str | None, typer.Option(help="pmi, default, contrastive, facets …")] = None,
    effort: Annotated[str | None, typer.Option(help="low, medium or high: what explaining may cost.")] = None,
    generator: Annotated[
        str | None,
        typer.Option(help="What draws images for experiments (effort high), your own.", metavar="MODULE:CLASS"),
    ] = None,
    llm: Annotated[
        str | None, typer.Option(help="URL of an OpenAI-compatible server, several by commas, or scripted:FILE.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model on that server.")] = None,
    embedder: EmbedderOption = "",
    judge: Annotated[str | None, typer.Option(help="similarity, likelihood or llm.")] = None,
    scorers: Annotated[str | None, typer.Option(help="Names, separated by commas.")] = None,
    candidates: Annotated[int | None, typer.Option(help="Explanations asked of an LLM, to choose among.")] = None,
    per_prompt: Annotated[int | None, typer.Option(help="Questions that an LLM judge is asked at once.")] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="One question a prompt, with its probability.")
    ] = False,
    pictures: Annotated[str | None, typer.Option(help="auto: seen where they can be; or captions.")] = None,
    floors: Annotated[int | None, typer.Option(help="Explanations of other units asked as a floor.")] = None,
    questions: Annotated[int | None, typer.Option(help="Questions a scorer at most.")] = None,
    min_active: Annotated[int | None, typer.Option(help="Active contexts a unit needs in each half.")] = None,
    stop: Annotated[str | None, typer.Option(help="width or settled: ask no more once a score is.")] = None,
    stop_width: Annotated[float | None, typer.Option(help="Width of an interval that is narrow enough.")] = None,
    stop_error: Annotated[float | None, typer.Option(help="Chance that such intervals do not hold.")] = None,
    unit_tokens: Annotated[int | None, typer.Option(help="Tokens after which a unit is refined no more.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Units in flight.")] = None,
    max_attempts: Annotated[int | None, typer.Option(help="Runs in which a unit may fail for transport.")] = None,
    prompt_price: Annotated[float | None, typer.Option(help="Money per million prompt tokens.")] = None,
    completion_price: Annotated[float | None, typer.Option(help="Money per million tokens of answers.")] = None,
    trace: Annotated[bool, typer.Option(help="Keep what was asked and answered for `show --trace`.")] = True,
    seed: Annotated[int | None, typer.Option(help="Decides every sample and draw.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would cost, and stop.")] = False,
    engine: EngineOption = "local",
    json: JsonOption = False,
) -> int:
    """Explain units and score the explanations, each score beside its floor.

    Units that are done are not done again; units that a server failed are taken up by the next run.
    """
    given: dict[str, Any] = {
        "units": units,
        "explainer": explainer,
        "effort": effort,
        "generator": generator,
        "llm": llm,
        "model": model,
        "embedder": embedder or None,
        "judge": judge,
        "scorers": comma_separated(scorers),
        "candidates": candidates,
        "per_prompt": per_prompt,
        "probabilities": probabilities,
        "pictures": pictures,
        "floors": floors,
        "questions": questions,
        "min_active": min_active,
        "stop": stop,
        "stop_width": stop_width,
        "stop_error": stop_error,
        "unit_tokens": unit_tokens,
        "concurrency": concurrency,
        "max_attempts": max_attempts,
        "prompt_price": prompt_price,
        "completion_price": completion_price,
        "trace": trace,
        "seed": seed,
    }
    from neurogloss.settings import LabelSettings, make

    settings = make(LabelSettings, said(given))
    return plan_and_report(run, settings, json) if dry_run else label_and_report(run, settings, json, engine)


def comma_separated(names: str | None) -> tuple[str, ...] | None:
    """The names in an option that takes several."""
    return tuple(filter(None, map(str.strip, names.split(",")))) if names else None


def plan_and_report(run: Path, settings: LabelSettings, json: bool) -> int:
    """Print what labelling would cost, and return the exit code."""
    import neurogloss as ng
    from neurogloss.cli import progress, render

    with progress.shown() as bars:
        plan = ng.plan(run, settings, progress=bars)
    if json:
        render.print_json([plan])
    else:
        render.console().print(render.plan_text(plan), soft_wrap=True)
    return 0


def label_and_report(run: Path, settings: LabelSettings, json: bool, engine: str = "local") -> int:
    """Label, print what came of it, and return the exit code."""
    import neurogloss as ng
    from neurogloss.cli import progress

    with progress.shown() as bars:
        summary = ng.label(run, settings, engine=engine, progress=bars)
    return report(run, summary, json)


def report(run: Path, summary: Summary, json: bool) -> int:
    """Print what labelling or scoring came to, and return the exit code."""
    from neurogloss.cli import render

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
