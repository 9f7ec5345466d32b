"""Bootstrap intervals of what is a function of means over questions.

1. A table has a row for each question (for a metric that compares, a row for each true and a column for each false
   one). The metric is a function of the table's mean: itself, or a correlation of means of products.
2. Questions are drawn again with replacement, true and false ones apart; one fewer of each than there are: with
   all of them the interval of few questions would be too narrow (Hesterberg 2015, arXiv:1411.5279).
3. The interval is that of the percentiles. Two explanations that answered the same questions share the draws, so
   that their difference is paired; those that answered questions of their own do not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurogloss.records import Interval
from neurogloss.scorers.metrics import UNDEFINED

RESAMPLES = 1000

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Draws:
    """How often each question is in each resample, as shares."""

    axes: tuple[Floats, ...]
    """(RESAMPLES, n) for each axis of a table that is drawn from."""

    @classmethod
    def of(cls, shape: Sequence[int], rng: np.random.Generator) -> Draws | None:
        """None where an axis has fewer than two questions."""
        if min(shape) < 2:
            return None
        return cls(tuple(_shares(n, rng) for n in shape))

    def means(self, table: Floats) -> Floats:
        """The table's mean in each resample: (RESAMPLES,), or (RESAMPLES, k) for a table of k numbers a row."""
        if len(self.axes) == 2:
            true, false = self.axes
            paired: Floats = ((true @ table) * false).sum(1)
            return paired
        means: Floats = self.axes[0] @ table
        return means


def _shares(n: int, rng: np.random.Generator) -> Floats:
    drawn = rng.integers(0, n, (RESAMPLES, n - 1), np.int32) + n * np.arange(RESAMPLES)[:, None]
    shares: Floats = np.bincount(drawn.ravel(), minlength=n * RESAMPLES).reshape(RESAMPLES, n) / (n - 1)
    return shares


def interval(value: float, resampled: Floats | None, level: float = 0.95) -> Interval:
    """The value between percentiles of its resamples; NaN without them, or where one is undefined."""
    if math.isnan(value):
        return UNDEFINED
    if resampled is None or np.isnan(resampled).any():
        return Interval(value, math.nan, math.nan)
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def p_value(excess: Floats | None, least: float) -> float:
    """Share of resamples in which the excess is not above 0, and no less than `least`; NaN without them."""
    if excess is None or np.isnan(excess).any():
        return math.nan
    return max((1 + int((excess <= 0).sum())) / (1 + len(excess)), least)


def mean_interval(values: Sequence[float], rng: np.random.Generator, level: float = 0.95) -> Interval:
    """The mean of some numbers with its interval, over units say."""
    column = np.asarray(values, float)
    if not len(column):
        return UNDEFINED
    draws = Draws.of(column.shape, rng)
    return interval(float(column.mean()), draws.means(column) if draws else None, level)


Finish = Callable[[Floats], Floats]
"""From means (…, k) to the metric (…)."""


def correlation_of_means(means: Floats) -> Floats:
    """Pearson correlation of x and y, from the means of their number and of x, y, xx, yy, xy (last axis)."""
    n, x, y, xx, yy, xy = np.moveaxis(means, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        x, y = x / n, y / n
        of_x, of_y = xx / n - x * x, yy / n - y * y
        # What does not vary has a spread of rounding errors.
        varies = (of_x > 1e-12 * xx / n) & (of_y > 1e-12 * yy / n)
        found: Floats = np.where(varies, (xy / n - x * y) / np.sqrt(of_x * of_y), np.nan)
    return found
