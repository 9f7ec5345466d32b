"""Intervals against what the standard error says, and pairing against what it must take away."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr

from neurogloss.records import Interval
from neurogloss.scorers.metrics import (
    UNDEFINED,
    Draws,
    correlation_of_means,
    interval,
    mean_interval,
    p_value,
)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def of_difference(true: np.ndarray, false: np.ndarray, seed: int = 0, level: float = 0.95) -> Interval:
    """The mean of the true ones less that of the false ones, drawn apart."""
    draws = Draws.of((len(true), len(false)), generator(seed))
    assert draws is not None
    of_true, of_false = draws.means([true, false])
    return interval(float(true.mean() - false.mean()), of_true - of_false, level)


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 2**32))
def test_the_interval_holds_the_value_and_stays_within_the_range(n_true: int, n_false: int, seed: int) -> None:
    rng = generator(seed)
    found = of_difference(
        (rng.random(n_true) > 0.4).astype(float), (rng.random(n_false) > 0.4).astype(float), seed
    )
    assert -1 <= found.low <= found.value + 1e-9 and found.value <= found.high + 1e-9 <= 1 + 1e-8


def test_the_same_seed_gives_the_same_interval() -> None:
    true, false = generator(1).random(9), generator(2).random(7)
    first, again, other = (of_difference(true, false, seed) for seed in (5, 5, 6))
    assert first == again
    assert first != other and first.low == pytest.approx(other.low, abs=0.05)


def test_the_interval_is_as_wide_as_the_standard_error_says() -> None:
    column, constant = generator(2).normal(size=40), np.zeros(6)
    error = column.std(ddof=1) / math.sqrt(40)
    for found in (of_difference(column, constant), mean_interval(column.tolist(), generator())):
        assert (found.high - found.low) / 2 == pytest.approx(1.96 * error, rel=0.1)


def test_true_and_false_questions_are_drawn_apart() -> None:
    """The variances of the two means add up."""
    true, false = generator(3).normal(size=40), generator(4).normal(size=60)
    error = math.sqrt(true.var(ddof=1) / 40 + false.var(ddof=1) / 60)
    found = of_difference(true, false)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * error, rel=0.1)


def test_the_interval_of_few_questions_is_not_too_narrow() -> None:
    """Two questions, one for and one against: a resample of one of them is at 1 or at -1, as often."""
    column = np.array([1.0, -1.0])
    assert mean_interval(column.tolist(), generator()) == Interval(0.0, -1.0, 1.0)
    draws = Draws.of((2,), generator())
    assert draws is not None and p_value(draws.means([column])[0], 0.0) == pytest.approx(0.5, abs=0.05)


def test_a_higher_level_gives_a_wider_interval() -> None:
    true, false = generator(3).random(20), generator(4).random(20)
    narrow, wide = (of_difference(true, false, level=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


def test_a_difference_of_what_shares_its_draws_has_no_noise_of_its_own() -> None:
    """Two explanations that answer alike, but for a constant: the questions vary, their difference does not."""
    column = generator(4).normal(size=30)
    draws = Draws.of((30,), generator())
    assert draws is not None
    assert np.ptp(draws.means([column + 0.25])[0] - draws.means([column])[0]) < 1e-12
    apart = Draws.of((30,), generator(1))
    assert apart is not None and np.ptp(apart.means([column + 0.25])[0] - draws.means([column])[0]) > 0.1


@pytest.mark.parametrize("shape", [(1,), (0,), (1, 5), (5, 1)])
def test_fewer_than_two_questions_of_a_kind_are_not_drawn_from(shape: tuple[int, ...]) -> None:
    assert Draws.of(shape, generator()) is None


def test_without_resamples_there_is_a_value_and_no_interval() -> None:
    found = interval(0.75, None)
    assert found.value == 0.75 and math.isnan(found.low) and math.isnan(found.high)
    assert math.isnan(p_value(None, 0.1))
    assert interval(math.nan, np.ones(3)) is UNDEFINED
    assert not mean_interval([], generator()).defined


def test_a_resample_that_is_undefined_leaves_the_interval_undefined() -> None:
    found = interval(0.5, np.array([0.4, math.nan, 0.6]))
    assert found.value == 0.5 and math.isnan(found.low)
    assert math.isnan(p_value(np.array([0.4, math.nan]), 0.1))


def test_a_p_value_is_no_less_than_what_is_possible() -> None:
    assert p_value(np.full(1000, 0.5), 0.0) == pytest.approx(1 / 1001)
    assert p_value(np.full(1000, 0.5), 1 / 6) == 1 / 6
    assert p_value(np.zeros(1000), 0.0) == 1.0


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 10), st.integers(0, 10)), min_size=2, max_size=20))
def test_the_correlation_of_means_is_that_of_scipy(pairs: list[tuple[int, int]]) -> None:
    x, y = np.array(pairs, float).T
    found = float(
        correlation_of_means(np.array([1, x.mean(), y.mean(), (x * x).mean(), (y * y).mean(), (x * y).mean()]))
    )
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(pearsonr(x, y).statistic, abs=1e-9)
