"""Small records by the handful, and an embedder whose cosines can be worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from neurogloss.ids import UnitId, hash64
from neurogloss.protocols import Float32, TokenVectors
from neurogloss.records import (
    Answer,
    Explanation,
    Failure,
    Interval,
    Outcome,
    Passage,
    Question,
    Score,
    UnitStatistics,
)

NAN = math.nan


class WordEmbedder:
    """Each word is an axis, chosen by hash: the cosine counts shared words. Remembers what it embedded."""

    def __init__(self, name: str = "words", dimension: int = 64) -> None:
        self.name, self.dimension = name, dimension
        self.embedded: list[str] = []

    def embed(self, texts: Sequence[str]) -> Float32:
        self.embedded.extend(texts)
        rows = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.split():
                row[hash64(word) % self.dimension] += 1
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def embed_tokens(self, texts: Sequence[str]) -> list[TokenVectors]:
        raise NotImplementedError


@pytest.fixture
def embedder() -> WordEmbedder:
    return WordEmbedder()


@pytest.fixture
def make_embedder() -> type[WordEmbedder]:
    return WordEmbedder


@pytest.fixture
def unit() -> Callable[..., UnitId]:
    def make(index: int = 0, sign: int = 1, hookpoint: str = "model.layers.14.mlp") -> UnitId:
        return UnitId("org/subject", hookpoint, "neurons", index, sign)

    return make


@pytest.fixture
def statistics() -> UnitStatistics:
    return UnitStatistics(n_contexts=200, n_active=10, threshold=0.5, maximum=3.25, mean=1.1, histogram=(7, 3, 0))


@pytest.fixture
def explanation(unit: Callable[..., UnitId]) -> Callable[..., Explanation]:
    def make(index: int = 0, text: str = "parts of the day", method: str = "m1", **more: Any) -> Explanation:
        place = {name: more.pop(name) for name in ("sign", "hookpoint") if name in more}
        return Explanation(unit(index, **place), text, method, **more)

    return make


@pytest.fixture
def score() -> Callable[..., Score]:
    def make(scorer: str = "detection", value: float = 0.8, low: float = 0.1) -> Score:
        return Score(
            scorer=scorer,
            judge="similarity",
            metric="auroc",
            score=Interval(value, value - 0.1, value + 0.1),
            floor=Interval(0.5, 0.4, 0.6),
            excess=Interval(value - 0.5, low, 0.5),
            p_value=0.01,
            metrics={"auprc": 0.7, "mcc": NAN},
            n_questions=4,
            failures={Failure.REFUSAL: 1},
        )

    return make


@pytest.fixture
def outcomes() -> Callable[..., list[Outcome]]:
    """Two questions, each asked with the unit's own explanation and with a floor's."""

    def make(own: str, scorer: str = "detection") -> list[Outcome]:
        first = Question((Passage(("At", " dawn"), (1,)),), True, "decile 9")
        second = Question((Passage(("a",)), Passage(("b", "ß\n"), (0, 1))), False)
        return [
            Outcome(scorer, own, first, Answer(0.9)),
            Outcome(scorer, own, second, Answer(None, Failure.UNPARSEABLE, "found 'perhaps'")),
            Outcome(scorer, "b2:floor", second, Answer(0.25)),
            Outcome(scorer, "b2:floor", first, Answer(0.0)),
        ]

    return make
