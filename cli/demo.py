"""neurogloss demo"""

from __future__ import annotations

import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neurogloss.cli.options import DEFAULT_RUN, JsonOption

if TYPE_CHECKING:
    from neurogloss.records import Label
    from neurogloss.runs.run import Run

NEURONS = tuple(f"model.layers.{layer}.mlp.down_proj.input" for layer in (4, 14, 24))
"""Neurons of an early, a middle and a late layer of 30."""
SAES = ("sae-0", "sae-1")
"""Two sparse autoencoders of the residual stream, trained alike but for the seed."""
HOOKPOINTS = (*NEURONS, *["model.layers.14"] * len(SAES))
DICTIONARIES = (*["neurons"] * len(NEURONS), *SAES)
TOKENS = 64_000
UNITS = "sample:24"
QUERY = "words about people and how they feel"


OTHERS = {"vision": "neurogloss.cli.demo_vision", "brain": "neurogloss.cli.demo_brain"}
"""Demos of other kinds of unit: modules with a function `demo(run, units, json)`."""


def demo(
    run: Annotated[
        Path | None,
        typer.Option("--run", help="Run folder.", show_default=f"{DEFAULT_RUN}, or {DEFAULT_RUN}-KIND"),
    ] = None,
    tokens: Annotated[int, typer.Option(help="Tokens of the shipped corpus to read.", min=1_000)] = TOKENS,
    units: Annotated[str, typer.Option(help="Units to label.")] = UNITS,
    vision: Annotated[bool, typer.Option("--vision", help="Channels of an image classifier instead.")] = False,
    brain: Annotated[bool, typer.Option("--brain", help="Simulated voxels over sentences instead.")] = False,
    json: JsonOption = False,
) -> int:
    """The main job on a real model: what do 24 random neurons and SAE features of SmolLM2 respond to?

    Collects, explains, scores, stores and searches, with nothing but this machine. Run again, it resumes.
    """
    other = next((kind for kind, wanted in (("vision", vision), ("brain", brain)) if wanted), None)
    if other is not None:
        return int(import_module(OTHERS[other]).demo(run or Path(f"{DEFAULT_RUN}-{other}"), units, json))
    return _texts(run or DEFAULT_RUN, tokens, units, json)


def _texts(run: Path, tokens: int, units: str, json: bool) -> int:
    import neurogloss as ng
    from neurogloss.cli import progress, render

    began = time.monotonic()
    with progress.shown() as bars:
        ng.collect(run, hookpoints=HOOKPOINTS, dictionaries=DICTIONARIES, tokens=tokens, progress=bars)
        summary = ng.label(run, units=units, progress=bars)
    opened = ng.open_run(run)
    labels = list(opened.labels(method=summary.method))
    if json:
        render.print_json(labels)
    else:
        _tell(run, opened, labels, time.monotonic() - began)
    return 1 if summary.failed or summary.waiting else 0


def _tell(run: Path, opened: Run, labels: list[Label], seconds: float) -> None:
    from neurogloss.cli import render
    from neurogloss.cli.search import results_table
    from neurogloss.cli.show import show_unit
    from neurogloss.cli.units import names

    out = render.console()
    title = (
        "Neurons and SAE features drawn at random, none picked. Detection is a correlation, the others are AUROC."
    )
    out.print(render.labels_table(labels, title=title))
    out.print("bold: the score lies above its floor (what other units' explanations score there)\n", style="dim")
    best = max(labels, key=detection_excess)
    show_unit(opened, best, opened.evidence(best.unit), contexts=4)
    out.print()
    out.print(results_table(QUERY, opened.search(QUERY, 3)))
    out.print(
        f"\n{seconds:.0f} seconds. Next:\n"
        f"  neurogloss search 'numbers and dates' --run {run}\n"
        f"  neurogloss show {names(label.unit for label in labels).of(best.unit)} --run {run}\n"
        f"  neurogloss label {run} --units sample:48\n"
        f"  neurogloss similar {run} {run} --dictionary-a {SAES[0]} --dictionary-b {SAES[1]}\n"
        f"  neurogloss label {run} --units sample:24 --llm http://localhost:8000",
        soft_wrap=True,
    )


def detection_excess(label: Label) -> float:
    """How far detection lies above its floor, for choosing what is shown."""
    found = [score.excess.value for score in label.scores if score.scorer == "detection" and score.excess.defined]
    return found[0] if found else -1.0
