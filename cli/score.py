"""neurogloss score"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from neurogloss.cli.options import EngineOption, JsonOption, RunArgument, said


def score(
    run: RunArgument,
    method: Annotated[str | None, typer.Option(help="Whose explanations; by default the newest.")] = None,
    units: Annotated[str | None, typer.Option(help="all, sample:N, 0-99,512- or full unit ids.")] = None,
    scorers: Annotated[str | None, typer.Option(help="Names or module:Class, separated by commas.")] = None,
    llm: Annotated[
        str | None, typer.Option(help="URL of an OpenAI-compatible server, several by commas, or scripted:FILE.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model on that server.")] = None,
    judge: Annotated[str | None, typer.Option(help="similarity, likelihood or llm.")] = None,
    pictures: Annotated[str | None, typer.Option(help="auto: seen where they can be; or captions.")] = None,
    floors: Annotated[int | None, typer.Option(help="Explanations of other units asked as a floor.")] = None,
    questions: Annotated[int | None, typer.Option(help="Questions a scorer at most.")] = None,
    stop: Annotated[str | None, typer.Option(help="width or settled: ask no more once a score is.")] = None,
    stop_width: Annotated[float | None, typer.Option(help="Width of an interval that is narrow enough.")] = None,
    stop_error: Annotated[float | None, typer.Option(help="Chance that such intervals do not hold.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Units in flight.")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides every sample and draw.")] = None,
    engine: EngineOption = "local",
    json: JsonOption = False,
) -> int:
    """Score explanations that are there, labelled or imported, by scorers that they have no scores of yet."""
    import neurogloss as ng
    from neurogloss.cli import progress
    from neurogloss.cli.label import comma_separated, report
    from neurogloss.settings import LabelSettings, make

    given: dict[str, Any] = {
        "units": units,
        "scorers": comma_separated(scorers),
        "llm": llm,
        "model": model,
        "judge": judge,
        "pictures": pictures,
        "floors": floors,
        "questions": questions,
        "stop": stop,
        "stop_width": stop_width,
        "stop_error": stop_error,
        "concurrency": concurrency,
        "seed": seed,
    }
    settings = make(LabelSettings, said(given))
    with progress.shown() as bars:
        summary = ng.score(run, method, settings, engine=engine, progress=bars)
    return report(run, summary, json)
