"""How good the embedded default is: explanations and judge without an instruction-tuned model, on real neurons.

    python -m benchmarks.embedded [--run runs/demo] [--json]

It takes the demo's run (and makes it first where it is not there). Scores are those in its ledger; figures of
other judges and other explanations are measured on the same units and questions, with the same floors.
The interval is a bootstrap over units.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import bootstrap

import neurogloss as ng
from benchmarks.table import Row, report
from neurogloss.agent.explainers import words
from neurogloss.agent.models import Models
from neurogloss.agent.nodes.explain import split
from neurogloss.cli.demo import DICTIONARIES, HOOKPOINTS, TOKENS, UNITS
from neurogloss.ids import derive_seed
from neurogloss.protocols import Embedder, HeldOut, Judge, Material, Quiet
from neurogloss.records import Answer, Evidence, Label, Passage, Question
from neurogloss.scorers.choice import draw
from neurogloss.scorers.detection import Detection
from neurogloss.scorers.judges.embedded import LikelihoodJudge, SimilarityJudge
from neurogloss.scorers.metrics import auroc
from neurogloss.settings import LabelSettings

FEW_UNITS, FEW_QUESTIONS = 12, 8
"""Where the likelihood judge is compared, which reads each passage several times with SmolLM2."""


@dataclass(frozen=True)
class SentenceJudge:
    """The field's embedding scorer: the cosine of two sentence vectors."""

    embedder: Embedder
    name: str = "sentence"

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"judge": self.name}

    async def ask(self, task: str, explanation: str, questions: Sequence[Question]) -> list[Answer]:
        vectors = self.embedder.embed([explanation, *(question.passages[0].text for question in questions)])
        return [Answer(float(cosine / 2 + 0.5)) for cosine in np.clip(vectors[1:] @ vectors[0], -1, 1)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("runs/demo"))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    ng.collect(arguments.run, hookpoints=HOOKPOINTS, dictionaries=DICTIONARIES, tokens=TOKENS)
    summary = ng.label(arguments.run, units=UNITS)
    run = ng.open_run(arguments.run)
    labels = [label for label in run.labels(method=summary.method) if label.scores]
    rows = [*_scores(labels), *asyncio.run(_comparisons(run, labels))]
    title = f"{len(labels)} units drawn at random; detection in correlation, all else in AUROC"
    return report(title, rows, arguments.json)


def _scores(labels: Sequence[Label]) -> list[Row]:
    """Each scorer's mean over units, beside its floor."""
    rows = []
    for name in ("detection", "fuzzing", "intervention"):
        scores = [s for label in labels for s in label.scores if s.scorer == name and s.excess.defined]
        own, floor = ([getattr(score, side).value for score in scores] for side in ("score", "floor"))
        goal = "interval above 0" if name == "detection" else ""
        rows.append(_row(f"{name}, beside its floor", own, floor, goal))
    return rows


async def _comparisons(run: ng.Run, labels: Sequence[Label]) -> list[Row]:
    """Other judges and other explanations on the same units."""
    models = Models(run.cache, LabelSettings(), Quiet())
    background = [Passage(run.cache.context(int(h)).tokens) for h in run.cache.hashes("explain")[:64]]
    similarity = SimilarityJudge(models.embedder, background)
    likelihood = LikelihoodJudge(models.causal, background[:2])
    evidence = {label.unit: run.evidence(label.unit) for label in labels}
    texts = {label.unit: label.explanation.text for label in labels if label.explanation}
    listed = {unit: _active_words(found) for unit, found in evidence.items()}

    async def excess(
        judge: Judge, chosen: Mapping[ng.UnitId, str], n: int, units: int | None = None
    ) -> list[float]:
        return [
            await _excess(judge, label, labels, evidence[label.unit], chosen[label.unit], n)
            for label in labels[:units]
        ]

    ours, few = await excess(similarity, texts, 100), await excess(similarity, texts, FEW_QUESTIONS, FEW_UNITS)
    return [
        _row(
            "word pieces judge, beside sentence cosine",
            ours,
            await excess(SentenceJudge(models.embedder), texts, 100),
        ),
        _row(
            "word pieces judge, beside likelihood ratio",
            few,
            await excess(likelihood, texts, FEW_QUESTIONS, FEW_UNITS),
        ),
        _row("PMI label, beside the list of active words", ours, await excess(similarity, listed, 100)),
    ]


async def _excess(
    judge: Judge, label: Label, labels: Sequence[Label], evidence: Evidence, text: str, n: int
) -> float:
    """Detection of one text minus the floor of one other explanation, on the unit's questions."""
    assert label.explanation is not None
    seed = derive_seed(0, str(label.unit))
    questions = Detection(n).questions(HeldOut(label.unit, evidence.score, (), seed))
    others = [other.explanation for other in labels if other.explanation]
    floor = draw(label.explanation, others, 1, seed)[0].text
    truths = [question.truth for question in questions]
    values = []
    for asked in (text, floor):
        answers = await judge.ask("detection", asked, questions)
        values.append(auroc(truths, [answer.probability or 0.0 for answer in answers]))
    own, other = values
    return own - other


def _active_words(evidence: Evidence) -> str:
    """The words under the active tokens, most active first: the plainest label there is."""
    shown, _ = split(evidence.explain)
    material = Material(evidence.unit, shown, None, 0)
    return words.active_list(material)


def _row(what: str, figures: Sequence[float], beside: Sequence[float], goal: str = "") -> Row:
    difference = np.array(figures) - np.array(beside)
    mean: Callable[..., Any] = np.mean
    found = bootstrap((difference,), mean, rng=np.random.default_rng(0), method="percentile")
    low, high = (float(x) for x in found.confidence_interval)
    met = low > 0 if goal else None
    return Row(
        what,
        float(np.mean(figures)),
        float(np.mean(beside)),
        difference=float(difference.mean()),
        low=low,
        high=high,
        goal=goal,
        met=met,
    )


if __name__ == "__main__":
    sys.exit(main())
