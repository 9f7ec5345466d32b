"""Bootstrap intervals of what is a function of means over questions.

1. A table has a row for each question; a metric that tells true questions from false ones has a table of each. The
   metric is a function of the tables' means: the mean itself, a correlation of means of products, a product of the
   one's and the other's.
2. Questions are drawn again with replacement, true and false ones apart; one fewer of each than there are: with
   all of them the interval of few questions would be too narrow (Hesterberg 2015, arXiv:1411.5279).
3. The interval is that of the percentiles. Two explanations that answered the same questions share the draws, so
   that their difference is paired; those that answered questions of their own do not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurogloss.records import Interval
from neurogloss.scorers.metrics import UNDEFINED

RESAMPLES = 1000
ROUNDING = 1e-9
"""An excess that is no larger is none."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Draws:
    """How often each question is in each resample, as shares."""

    shares: tuple[Floats, ...]
    """(RESAMPLES, n) for each table that is drawn from."""

    @classmethod
    def of(cls, lengths: Sequence[int], rng: np.random.Generator) -> Draws | None:
        """None where a table has fewer than two questions."""
        if min(lengths) < 2:
            return None
        return cls(tuple(_shares(n, rng) for n in lengths))

    def means(self, tables: Sequence[Floats]) -> list[Floats]:
        """Each table's mean in each resample: (RESAMPLES,), or (RESAMPLES, k) for a table of k numbers a row."""
        return [shares @ table for shares, table in zip(self.shares, tables, strict=True)]


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
    return max((1 + int((excess <= ROUNDING).sum())) / (1 + len(excess)), least)


def mean_interval(values: Sequence[float], rng: np.random.Generator, level: float = 0.95) -> Interval:
    """The mean of some numbers with its interval, over units say."""
    column = np.asarray(values, float)
    if not len(column):
        return UNDEFINED
    draws = Draws.of(column.shape, rng)
    return interval(float(column.mean()), draws.means([column])[0] if draws else None, level)


def correlation_of_means(means: Floats) -> Floats:
    """Pearson correlation of x and y, from the means of their number and of x, y, xx, yy, xy (last axis).

    NaN where one of them does not vary.
    """
    n, x, y, xx, yy, xy = np.moveaxis(means, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        x, y = x / n, y / n
        of_x, of_y = xx / n - x * x, yy / n - y * y
        # What does not vary has a spread of rounding errors.
        varies = (of_x > 1e-12 * xx / n) & (of_y > 1e-12 * yy / n)
        found: Floats = np.where(varies, (xy / n - x * y) / np.sqrt(of_x * of_y), np.nan)
    return found
