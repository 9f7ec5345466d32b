"""neurogloss demo: collects, explains, scores and searches, with nothing but this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated, ClassVar

import typer

import neurogloss as ng
from neurogloss.cli import progress, render
from neurogloss.cli.options import DEFAULT_RUN, JsonOption, setting
from neurogloss.cli.search import results_table
from neurogloss.cli.show import show_unit
from neurogloss.cli.units import names
from neurogloss.records import Label
from neurogloss.settings import CollectSettings, LabelSettings

NEURONS = tuple(f"model.layers.{layer}.mlp.down_proj.input" for layer in (4, 14, 24))
"""Neurons of an early, a middle and a late layer of 30."""
SAES = ("sae-0", "sae-1")
"""Two sparse autoencoders of the residual stream, trained with different seeds."""
HOOKPOINTS = (*NEURONS, *["model.layers.14"] * len(SAES))
DICTIONARIES = (*["neurons"] * len(NEURONS), *SAES)
TOKENS = 64_000
UNITS = "sample:24"
KINDS = {"": "demo:TextDemo", "vision": "demo_vision:VisionDemo", "brain": "demo_brain:BrainDemo"}


@dataclass
class TextDemo:
    """Neurons and SAE features of a small language model. Base class of the other demos."""

    run: Path
    units: str
    tokens: int

    title: ClassVar[str] = (
        "Neurons and SAE features drawn at random, none picked. Detection is a correlation, the others are AUROC."
    )
    query: ClassVar[str] = "words about people and how they feel"

    def label(self, progress: ng.protocols.Progress) -> ng.results.Summary:
        """Collect and label."""
        ng.collect(
            self.run, hookpoints=HOOKPOINTS, dictionaries=DICTIONARIES, tokens=self.tokens, progress=progress
        )
        return ng.label(self.run, units=self.units, progress=progress)

    def shown(self, labels: Sequence[Label]) -> Sequence[Label]:
        """The labels to list."""
        return labels

    def tell(self, opened: ng.Run, labels: Sequence[Label]) -> tuple[str, Sequence[str]]:
        """Print what is special about this demo. Returns a sentence and the commands to try next."""
        best = max(labels, key=detection_excess)
        show_unit(opened, best, opened.evidence(best.unit), contexts=4)
        return "", (
            f"search 'numbers and dates' --run {self.run}",
            f"show {names(label.unit for label in labels).of(best.unit)} --run {self.run}",
            f"label {self.run} --units sample:48",
            f"similar {self.run} {self.run} --dictionary-a {SAES[0]} --dictionary-b {SAES[1]}",
            f"label {self.run} --units sample:24 --llm http://localhost:8000",
        )

    def print(self, opened: ng.Run, labels: Sequence[Label], began: float) -> None:
        """Print labels, a search and the next commands."""
        out = render.console()
        out.print(render.labels_table(self.shown(labels), title=self.title))
        out.print("bold: the score lies above its floor (the scores of other units' explanations)\n", style="dim")
        sentence, commands = self.tell(opened, labels)
        out.print()
        out.print(results_table(self.query, opened.search(self.query, 3)))
        lines = "".join(f"\n  neurogloss {command}" for command in commands)
        out.print(f"\n{time.monotonic() - began:.0f} seconds. {sentence}Next:{lines}", soft_wrap=True)


def demo(
    run: Annotated[
        Path | None,
        typer.Option("--run", help="Run folder.", show_default=f"{DEFAULT_RUN}, or {DEFAULT_RUN}-KIND"),
    ] = None,
    tokens: Annotated[int, setting(CollectSettings, "tokens")] = TOKENS,
    units: Annotated[str, setting(LabelSettings, "units")] = UNITS,
    vision: Annotated[
        bool, typer.Option("--vision", help="Label channels of an image classifier instead.")
    ] = False,
    brain: Annotated[bool, typer.Option("--brain", help="Label simulated voxels over sentences instead.")] = False,
    json: JsonOption = False,
) -> int:
    """Label 24 random neurons and SAE features of SmolLM2 on this machine.

    Collects, explains, scores, stores and searches without a network. Give the same command again to resume.
    """
    began = time.monotonic()
    kind = "vision" if vision else "brain" if brain else ""
    folder = run or (Path(f"{DEFAULT_RUN}-{kind}") if kind else DEFAULT_RUN)
    chosen: TextDemo = resolve_name(f"neurogloss.cli.{KINDS[kind]}")(folder, units, tokens)
    with progress.Bars() as bars:
        summary = chosen.label(bars)
    opened = ng.open_run(chosen.run)
    labels = list(opened.labels(method=summary.method))
    if json:
        render.print_json(labels)
    else:
        chosen.print(opened, labels, began)
    return 1 if summary.failed or summary.waiting else 0


def detection_excess(label: Label) -> float:
    """Detection score minus its baseline, to choose the units to show."""
    found = [score.excess.value for score in label.scores if score.scorer == "detection" and score.excess.defined]
    return found[0] if found else -1.0
