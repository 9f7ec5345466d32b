"""Voxel prediction against scipy, and what stands beside it, by hand."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import spearmanr

from neurogloss.ids import UnitId
from neurogloss.protocols import DetailedScorer, Float32, HeldOut, Instruments, Measured
from neurogloss.records import EvidenceHalf
from neurogloss.scorers.measure import measure
from neurogloss.scorers.voxels import VoxelPrediction

UNIT = UnitId("s1", "measured", "voxels", 0)
HELD_OUT = HeldOut(UNIT, EvidenceHalf((), (), ()), (), 0)


class OnACircle:
    """A text is a number: an angle. `warm` is the angle 0."""

    name = "circle"
    dimension = 2

    def embed(self, texts: Sequence[str]) -> Float32:
        angles = [0.0 if text == "warm" else float(text) for text in texts]
        return np.array([(math.cos(a), math.sin(a)) for a in angles], np.float32)


def instruments(measured: Measured) -> Instruments:
    return Instruments(embedder=OnACircle(), responses=lambda unit: measured)  # type: ignore[arg-type]


def measured(n: int = 40, noise: float = 0.3, blank: int = 0) -> Measured:
    rng = np.random.default_rng(0)
    angles = rng.uniform(0, math.pi, n)
    responses = np.cos(angles) + noise * rng.standard_normal(n)
    region = np.stack([np.cos(angles), -np.cos(angles), rng.standard_normal(n)])
    texts = tuple("" if i < blank else f"{angle:.6f}" for i, angle in enumerate(angles))
    return Measured(texts, responses.astype(np.float32), region.astype(np.float32), 0.8)


def test_the_score_is_spearmans_correlation() -> None:
    found, scorer = measured(), VoxelPrediction()
    answered = asyncio.run(scorer.answered("warm", HELD_OUT, instruments(found)))
    expected = spearmanr([math.cos(float(text)) for text in found.texts], found.responses).statistic
    score = measure(scorer.name, "circle", answered, [], 0.1, 0, scorer.metric)
    assert_allclose(score.score.value, expected, rtol=1e-6)
    assert score.score.low < expected < score.score.high


def test_what_stands_beside_it() -> None:
    found, scorer = measured(), VoxelPrediction()
    assert isinstance(scorer, DetailedScorer)
    answered = asyncio.run(scorer.answered("warm", HELD_OUT, instruments(found)))
    beside = scorer.further(answered, HELD_OUT, instruments(found))
    cosines = [math.cos(float(text)) for text in found.texts]
    own = spearmanr(cosines, found.responses).statistic
    others = [spearmanr(cosines, each).statistic for each in found.region]
    assert_allclose(beside["of_ceiling"], own / 0.8)
    assert_allclose(beside["region_floor"], np.mean(others), atol=1e-6)
    assert beside["region_p"] == 2 / 4, "one of three is predicted better"
    near = np.argsort(cosines)[-4:]
    rest = np.setdiff1d(np.arange(40), near)
    gap = found.responses[near].mean() - found.responses[rest].mean()
    assert_allclose(beside["gap_in_sigma"], gap / found.responses.std(), rtol=1e-5)


def test_stimuli_without_words_are_not_asked_about() -> None:
    answered = asyncio.run(VoxelPrediction().answered("warm", HELD_OUT, instruments(measured(blank=15))))
    assert len(answered) == 25
    assert asyncio.run(VoxelPrediction().answered("warm", HELD_OUT, instruments(measured(blank=31)))) == []


def test_fewer_stimuli_are_the_same_for_all_explanations() -> None:
    scorer, found = VoxelPrediction(n_questions=12), measured()
    first, second = (asyncio.run(scorer.answered(each, HELD_OUT, instruments(found))) for each in ("warm", "1.5"))
    assert [q for q, _ in first] == [q for q, _ in second] and len(first) == 12


@pytest.mark.parametrize("ceiling", [math.nan, 0.0])
def test_no_share_of_a_ceiling_that_is_none(ceiling: float) -> None:
    plain = measured()
    found = Measured(plain.texts, plain.responses, plain.region[:0], ceiling)
    answered = asyncio.run(VoxelPrediction().answered("warm", HELD_OUT, instruments(found)))
    beside = VoxelPrediction().further(answered, HELD_OUT, instruments(found))
    assert (
        math.isnan(beside["of_ceiling"]) and math.isnan(beside["region_floor"]) and math.isnan(beside["region_p"])
    )
