"""Explanations of planted units in order: right, too broad and too narrow, related, of another unit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.planted.labelling import MEMORY, PlantedModels
from benchmarks.planted.oracle import Oracle
from benchmarks.planted.run import texts_of, unit_id
from benchmarks.planted.units import Unit
from neurogloss.agent.models import Hard
from neurogloss.ids import UnitId, derive_seed
from neurogloss.protocols import DirectScorer, Embedder, Float32, HeldOut, Instruments, Judge, Scorer, TokenVectors
from neurogloss.records import Passage
from neurogloss.scorers import answering
from neurogloss.scorers.choice import prompt_texts
from neurogloss.scorers.detection import Detection, Discrimination, Fuzzing
from neurogloss.scorers.embedding import Embedding
from neurogloss.scorers.intervention import Intervention
from neurogloss.scorers.judges.embedded import SimilarityJudge
from neurogloss.scorers.judges.llm import LLMJudge
from neurogloss.scorers.measure import METRICS, headline
from neurogloss.scorers.rated import Faithfulness, Responsiveness
from neurogloss.scorers.written import Clarity
from neurogloss.settings import LabelSettings
from neurogloss.sources.cache import Cache

PROMPTS = 12
"""Steered texts."""
BACKGROUND = 64
HARD = frozenset({"neighbours", "lexical"})
"""Kinds of hard negatives; look-alikes would take an embedding of the whole corpus."""
KEPT = 2_000
"""Texts whose vectors are kept."""

WRONG = ("broad", "narrow", "related", "random")
Values = Mapping[str, float]
"""A scorer's headline by explanation; NaN where it is undefined."""
RELATIONS: Mapping[str, Callable[[Values], bool]] = {
    "right first": lambda v: v["right"] > max(v[kind] for kind in WRONG),
    "right first, ties allowed": lambda v: v["right"] >= max(v[kind] for kind in WRONG),
    "whole order": lambda v: (
        v["right"] > max(v["broad"], v["narrow"])
        and min(v["broad"], v["narrow"]) > v["related"]
        and v["related"] > v["random"]
    ),
    "whole order, ties allowed": lambda v: (
        v["right"] >= max(v["broad"], v["narrow"])
        and min(v["broad"], v["narrow"]) >= v["related"]
        and v["related"] >= v["random"]
    ),
}
"""What should hold. Related explanations, and those of other units, may hold of none of a unit's contexts."""


@dataclass(frozen=True)
class Bench:
    """A judge, what else there is to measure with, and the scorers that can be asked with it."""

    judge: Judge
    instruments: Instruments
    scorers: Sequence[Scorer]


class Kept:
    """An embedder that keeps the vectors of the last texts: each is asked about under several explanations."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._tokens: dict[str, TokenVectors] = {}
        self._sentences: dict[str, Float32] = {}
        self.name, self.dimension = embedder.name, embedder.dimension

    def embed(self, texts: Sequence[str]) -> Float32:
        self._sentences = _kept(self._sentences, texts, self._embedder.embed)
        return np.stack([self._sentences[text] for text in texts])

    def embed_tokens(self, texts: Sequence[str]) -> list[TokenVectors]:
        self._tokens = _kept(self._tokens, texts, self._embedder.embed_tokens)
        return [self._tokens[text] for text in texts]


def _kept(kept: dict[str, Any], texts: Sequence[str], embed: Callable[[Sequence[str]], Any]) -> dict[str, Any]:
    """With these texts; the others are let go where there are too many."""
    before = kept if len(kept) < KEPT else {}
    new = [text for text in dict.fromkeys(texts) if text not in before]
    return {**before, **dict(zip(new, embed(new), strict=True))} if new else before


async def shares(cache: Cache, planted: Sequence[Unit], n: int) -> dict[str, dict[str, dict[str, float]]]:
    """The share of units in which each relation holds, by scorer, relation and judge (`oracle`, `embedded`).

    Units of which a scorer measures nothing are not counted for it. `n`: questions a scorer.
    """
    models = PlantedModels(cache, LabelSettings(), planted)
    benches = _benches(cache, models, n)
    found: dict[str, dict[str, list[Values]]] = {}
    for i, unit in enumerate(planted):
        held_out, density = _held_out(models, unit_id(i), n)
        rules = {
            "right": unit.rule,
            "broad": unit.broader,
            "narrow": unit.narrower,
            "related": unit.related,
            "random": planted[(i + len(planted) // 2) % len(planted)].rule,
        }
        for name, bench in benches.items():
            for scorer in bench.scorers:
                values = {
                    kind: await _value(bench, scorer, r.words, held_out, density) for kind, r in rules.items()
                }
                if not any(map(math.isnan, values.values())):
                    found.setdefault(scorer.name, {}).setdefault(name, []).append(values)
    return {
        scorer: {
            relation: {name: sum(map(holds, values)) / len(values) for name, values in by_judge.items()}
            for relation, holds in RELATIONS.items()
        }
        for scorer, by_judge in found.items()
    }


def _benches(cache: Cache, models: PlantedModels, n: int) -> dict[str, Bench]:
    asked: list[Scorer] = [
        Detection(n),
        Detection(n, hard=0.5),
        Discrimination(n),
        Discrimination(n, "lexical"),
        Fuzzing(n),
        Fuzzing(n, "active"),
        Intervention(),
    ]
    oracle, embedder = Oracle(memory=texts_of(cache, "explain")[:MEMORY]), Kept(models.embedder)
    rated: list[Scorer] = [Responsiveness(n), Faithfulness(), Clarity(), Clarity(against="silent")]
    background = [Passage(cache.context(int(h)).tokens) for h in cache.hashes("explain")[:BACKGROUND]]
    return {
        "oracle": Bench(
            LLMJudge(oracle, per_prompt=25), Instruments(oracle, subject=lambda: models.live), [*asked, *rated]
        ),
        "embedded": Bench(
            SimilarityJudge(embedder, background), Instruments(embedder=embedder), [*asked, Embedding(n)]
        ),
    }


def _held_out(models: PlantedModels, unit: UnitId, n: int) -> tuple[HeldOut, float]:
    """What a scorer measures on, with all kinds of hard negatives and with steered texts; and the natural rate."""
    found, seed = models.evidence(unit, Hard(n // 2, HARD)), derive_seed(0, str(unit))
    steered = models.live.steer(unit, prompt_texts(found.score.negatives, PROMPTS), (), seed).texts
    return HeldOut(unit, found.score, steered, seed), found.statistics.density


async def _value(bench: Bench, scorer: Scorer, explanation: str, held_out: HeldOut, density: float) -> float:
    """The scorer's headline; NaN where it is undefined."""
    answered = await answering.ask(scorer, explanation, held_out, bench.judge, bench.instruments)
    given = [(question, answer) for question, answer in answered if answer.probability is not None]
    if isinstance(scorer, DirectScorer):
        metric = METRICS[scorer.metric]
    else:
        metric = METRICS[headline([question for question, _ in answered], density)]
    return metric.value(metric.tables(given, density))
