"""Metrics against scikit-learn, and against examples worked out by hand."""

from __future__ import annotations

import math
import warnings
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from neurogloss.records import Interval
from neurogloss.scorers import metrics

GRID = st.integers(0, 16).map(lambda i: i / 16)
"""Sixteenths: many ties, and 1 - p is exact."""
ANSWERED = st.lists(st.tuples(st.booleans(), GRID), min_size=1, max_size=40)
BOTH_KINDS = ANSWERED.filter(lambda answered: len({truth for truth, _ in answered}) == 2)


def split(answered: list[tuple[bool, float]]) -> tuple[list[bool], list[float]]:
    return [truth for truth, _ in answered], [p for _, p in answered]


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@settings(deadline=None)
@given(BOTH_KINDS)
def test_auroc_is_that_of_scikit_learn(answered: list[tuple[bool, float]]) -> None:
    truths, probabilities = split(answered)
    assert metrics.auroc(truths, probabilities) == pytest.approx(roc_auc_score(truths, probabilities), abs=1e-12)


@settings(deadline=None)
@given(BOTH_KINDS)
def test_auroc_turns_over_with_the_truths_or_with_the_probabilities(answered: list[tuple[bool, float]]) -> None:
    truths, probabilities = split(answered)
    value = metrics.auroc(truths, probabilities)
    assert metrics.auroc([not t for t in truths], probabilities) == pytest.approx(1 - value)
    assert metrics.auroc(truths, [1 - p for p in probabilities]) == pytest.approx(1 - value)


def test_comparisons_by_hand() -> None:
    truths = [True, False, True, False, False]
    matrix = metrics.comparisons(truths, [0.5, 0.5, 0.9, 0.2, 0.7])
    assert matrix.tolist() == [[0.5, 1, 0], [1, 1, 1]]
    assert metrics.auroc(truths, [0.5, 0.5, 0.9, 0.2, 0.7]) == pytest.approx(4.5 / 6)


@pytest.mark.parametrize("truths", [[], [True, True], [False, False, False]])
def test_one_kind_of_truth_leaves_every_metric_undefined(truths: list[bool]) -> None:
    probabilities = [0.3] * len(truths)
    interval, chance = metrics.mean_interval(metrics.comparisons(truths, probabilities), generator())
    values = [
        metrics.auroc(truths, probabilities),
        metrics.precision_at_rate(truths, probabilities, 0.1),
        chance,
        *astuple(interval),
        *metrics.classification(truths, probabilities).values(),
    ]
    assert len(values) == 10 and all(math.isnan(value) for value in values)
    assert not interval.defined


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 2**32))
def test_the_interval_holds_the_value_and_stays_within_the_range(n_true: int, n_false: int, seed: int) -> None:
    rng = generator(seed)
    matrix = metrics.comparisons([True] * n_true + [False] * n_false, rng.random(n_true + n_false).tolist())
    interval, chance = metrics.mean_interval(matrix, rng)
    assert interval.value == pytest.approx(matrix.mean())
    assert 0 <= interval.low <= interval.value <= interval.high <= 1
    assert 0 < chance <= 1


def test_the_same_seed_gives_the_same_interval() -> None:
    matrix = generator(1).random((9, 7)) - 0.3
    first, again, other = (metrics.mean_interval(matrix, generator(seed)) for seed in (5, 5, 6))
    assert first == again
    assert first != other and first[0].low == pytest.approx(other[0].low, abs=0.05)


def test_the_interval_is_as_wide_as_the_standard_error_says() -> None:
    """Only the true questions differ here, so that the mean's standard error is that of 40 numbers."""
    column = generator(2).normal(size=40)
    interval, _ = metrics.mean_interval(np.repeat(column[:, None], 6, axis=1), generator())
    error = column.std(ddof=1) / math.sqrt(40)
    assert (interval.high - interval.low) / 2 == pytest.approx(1.96 * error, rel=0.1)


def test_the_interval_of_few_questions_is_not_too_narrow() -> None:
    """Two true questions, one for and one against: a resample of one of them is at 1 or at -1, as often."""
    interval, chance = metrics.mean_interval(np.array([[1.0, 1.0], [-1.0, -1.0]]), generator())
    assert interval == Interval(0.0, -1.0, 1.0)
    assert chance == pytest.approx(0.5, abs=0.05)


def test_a_higher_level_gives_a_wider_interval() -> None:
    matrix = generator(3).random((20, 20))
    narrow, wide = (metrics.mean_interval(matrix, generator(), level)[0] for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


@pytest.mark.parametrize(
    ("n_true", "n_false", "chance"),
    [(2, 2, 1 / 6), (4, 4, 1 / 70), (2, 10, 1 / 66), (50, 50, 1 / 1001)],
)
def test_a_sure_excess_is_no_less_likely_than_a_perfect_order(n_true: int, n_false: int, chance: float) -> None:
    """Of the 6 orders of 2 true and 2 false questions one is perfect; so many resamples cannot say less."""
    assert metrics.mean_interval(np.full((n_true, n_false), 0.5), generator())[1] == pytest.approx(chance)


def test_identical_answers_have_no_excess() -> None:
    matrix = metrics.comparisons([True, False] * 6, generator(4).random(12).tolist())
    assert metrics.mean_interval(matrix - matrix, generator()) == (Interval(0.0, 0.0, 0.0), 1.0)


def test_one_question_of_a_kind_has_a_value_and_no_interval() -> None:
    interval, chance = metrics.mean_interval(np.array([[1.0, 0.0, 1.0, 1.0]]), generator())
    assert interval.value == 0.75
    assert math.isnan(interval.low) and math.isnan(interval.high) and math.isnan(chance)


def test_classification_by_hand() -> None:
    """Two true positives, one false negative, one false positive, one true negative."""
    found = metrics.classification([True, True, True, False, False], [0.9, 0.6, 0.2, 0.7, 0.1])
    assert found == pytest.approx(
        {
            "balanced_accuracy": (2 / 3 + 1 / 2) / 2,
            "f1": 2 * 2 / (2 * 2 + 1 + 1),
            "mcc": (2 * 1 - 1 * 1) / math.sqrt(3 * 3 * 2 * 2),
            "auprc": (1 / 1 + 2 / 3 + 3 / 4) / 3,
        }
    )


def test_one_half_is_no() -> None:
    """A judge that never says yes, not even at one half, is at chance; nothing warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = metrics.classification([True, False], [0.5, 0.5])
    assert found == {"balanced_accuracy": 0.5, "f1": 0.0, "mcc": 0.0, "auprc": 0.5}


def test_precision_at_a_low_rate_by_hand() -> None:
    """7 of 10 true ones found and 1 of 10 false ones taken for true: at a rate of 0.001 that is 0.7 %."""
    truths = [True] * 10 + [False] * 10
    probabilities = [0.9] * 7 + [0.1] * 3 + [0.9] + [0.1] * 9
    assert metrics.precision_at_rate(truths, probabilities, 0.001) == pytest.approx(0.0007 / (0.0007 + 0.0999))
    assert round(metrics.precision_at_rate(truths, probabilities, 0.001), 3) == 0.007


@settings(deadline=None)
@given(BOTH_KINDS)
def test_precision_at_the_questions_own_rate_is_plain_precision(answered: list[tuple[bool, float]]) -> None:
    truths, probabilities = split(answered)
    found = metrics.precision_at_rate(truths, probabilities, sum(truths) / len(truths))
    said = [truth for truth, p in answered if p > 0.5]
    if said:
        assert found == pytest.approx(sum(said) / len(said))
    else:
        assert math.isnan(found)
