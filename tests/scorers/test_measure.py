"""A score beside its floor: paired, honest about what was not answered, accepted only above the floor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, replace

import numpy as np
import pytest

from neurogloss.records import Answer, Failure, Passage, Question, Score
from neurogloss.scorers import metrics
from neurogloss.scorers.measure import accepted, measure

FAILED = Answer(None, Failure.UNPARSEABLE, "not JSON")
REFUSED = Answer(None, Failure.REFUSAL, "no")
TRUTHS = [True, False] * 10


def questions(truths: Sequence[bool]) -> list[Question]:
    return [Question((Passage((f"text {i}",)),), truth) for i, truth in enumerate(truths)]


def answers(probabilities: Sequence[float | None]) -> list[Answer]:
    return [FAILED if p is None else Answer(p) for p in probabilities]


def score(
    truths: Sequence[bool], own: Sequence[Answer], *floors: Sequence[Answer], density: float = 0.1, seed: int = 0
) -> Score:
    return measure("detection", "judge", questions(truths), own, floors, density, seed)


PERFECT = answers([float(truth) for truth in TRUTHS])
GUESSED = answers(np.random.default_rng(0).random(len(TRUTHS)).tolist())


def test_a_perfect_explanation_above_a_guessing_floor_is_accepted() -> None:
    found = score(TRUTHS, PERFECT, GUESSED)
    assert found.score.value == 1 and found.metrics["f1"] == 1
    assert found.excess.value == pytest.approx(1 - found.floor.value)
    assert 0 < found.excess.low <= found.excess.value <= found.excess.high
    assert accepted([found], 0.05)


@pytest.mark.parametrize("own", [PERFECT, GUESSED])
def test_an_explanation_that_answers_as_its_floor_has_no_excess(own: list[Answer]) -> None:
    found = score(TRUTHS, own, own)
    assert astuple(found.excess) == (0, 0, 0) and found.p_value == 1
    assert not accepted([found], 0.05)


def test_an_explanation_below_its_floor_is_not_accepted() -> None:
    found = score(TRUTHS, GUESSED, PERFECT)
    assert found.excess.high < 0 and found.p_value > 0.99
    assert not accepted([found], 0.05)


def test_without_floors_there_is_a_score_and_no_excess() -> None:
    found = score(TRUTHS, PERFECT)
    assert found.score.value == 1
    assert not found.floor.defined and not found.excess.defined and math.isnan(found.p_value)
    assert not accepted([found], 0.05)


def test_the_floor_is_the_mean_of_the_floors() -> None:
    always_wrong = answers([1.0 - truth for truth in TRUTHS])
    found = score(TRUTHS, PERFECT, PERFECT, always_wrong, always_wrong, always_wrong)
    assert found.floor.value == pytest.approx((1 + 0 + 0 + 0) / 4)
    assert found.excess.value == pytest.approx(0.75)


def test_failures_are_counted_and_in_no_metric() -> None:
    own = [Answer(0.8), FAILED, Answer(0.6), REFUSED, Answer(0.7), FAILED, Answer(0.1)]
    truths = [True, True, True, False, False, False, False]
    found = score(truths, own)
    assert found.n_questions == 7
    assert found.failures == {"unparseable": 2, "refusal": 1}
    assert found.score.value == pytest.approx(3 / 4), "0.8 and 0.6 against 0.7 and 0.1: one of four is wrong"
    answered = score([True, True, False, False], answers([0.8, 0.6, 0.7, 0.1]))
    assert found.metrics == answered.metrics and found.score == answered.score


def test_floors_are_compared_on_the_questions_that_all_answered() -> None:
    """The first two questions are in the score, and in neither floor nor excess."""
    truths = [True, False, True, True, False, False]
    own = answers([0.1, 0.9, 0.9, 0.8, 0.2, 0.1])
    floor = answers([None, 0.0, 0.6, 0.2, 0.4, 0.4])
    other = answers([1.0, None, 0.5, 0.5, 0.5, 0.5])
    found = score(truths, own, floor, other)
    assert found.score.value == pytest.approx((0.5 + 2.5 + 2) / 9), "0.1, 0.9 and 0.8 against 0.9, 0.2 and 0.1"
    assert found.floor.value == pytest.approx((2 / 4 + 1 / 2) / 2)
    assert found.excess.value == pytest.approx(1 - 0.5)
    assert found.failures == {}, "failures of the floors are not the explanation's"


def test_floors_without_any_answer_leave_the_excess_undefined() -> None:
    found = score(TRUTHS, PERFECT, [REFUSED] * len(TRUTHS))
    assert found.score.value == 1 and not found.floor.defined and math.isnan(found.p_value)


def test_no_question_leaves_all_undefined() -> None:
    found = score([], [], [])
    assert found.n_questions == 0 and not found.score.defined and not found.excess.defined
    assert all(math.isnan(value) for value in found.metrics.values())


def test_the_precision_is_that_at_the_density() -> None:
    rare, even = (score(TRUTHS, GUESSED, density=density).metrics for density in (0.01, 0.5))
    p = [answer.probability or 0.0 for answer in GUESSED]
    assert rare["precision_at_density"] == metrics.precision_at_rate(TRUTHS, p, 0.01)
    assert rare["precision_at_density"] < even["precision_at_density"]
    assert set(rare) == {"balanced_accuracy", "f1", "mcc", "auprc", "precision_at_density"}


def test_the_seed_decides_the_intervals_and_nothing_else() -> None:
    first, again, other = (score(TRUTHS, GUESSED, PERFECT[::-1], seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.score != other.score and first.score.value == other.score.value
    assert first.metrics == other.metrics


def test_a_length_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError):
        score(TRUTHS, PERFECT[:-1])


def with_p(p_value: float) -> Score:
    return replace(score([], []), p_value=p_value)


@pytest.mark.parametrize(
    ("p_values", "expected"),
    [
        ([0.05], True),
        ([0.051], False),
        ([0.02, 0.9], True),
        ([0.02, 0.9, 0.9], False),
        ([0.9, 0.016, 0.9], True),
        ([0.02, 0.9, math.nan], True),
        ([math.nan], False),
        ([], False),
    ],
)
def test_accepted_is_corrected_over_the_scores_that_were_tested(p_values: list[float], expected: bool) -> None:
    """At 0.05: one score needs 0.05, two need 0.025, three 0.0167; undefined ones are no test."""
    assert accepted([with_p(p) for p in p_values], 0.05) is expected
