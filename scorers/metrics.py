"""Metrics of answers: pure functions of truths and of the probabilities that were given to them.

Undefined is NaN: if there is no answer, or only one kind of truth. A probability above 1/2 is a yes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurogloss.records import Interval

UNDEFINED = Interval(math.nan, math.nan, math.nan)
BINS = 10
"""Of equal width, for the calibration error."""

Truths = Sequence[bool]
Probabilities = Sequence[float]


def comparisons(truths: Truths, probabilities: Probabilities) -> NDArray[np.float64]:
    """(true, false) matrix: 1 where the true one has the larger probability, 1/2 where they are equal.

    Its mean is the area under the ROC curve (Mann & Whitney 1947).
    """
    p = np.asarray(probabilities, float)
    t = np.asarray(truths, bool)
    true, false = p[t][:, None], p[~t][None, :]
    matrix: NDArray[np.float64] = (true > false) + 0.5 * (true == false)
    return matrix


def auroc(truths: Truths, probabilities: Probabilities) -> float:
    """Area under the ROC curve, in [0, 1]; 0.5 is chance."""
    matrix = comparisons(truths, probabilities)
    return float(matrix.mean()) if matrix.size else math.nan


def classification(truths: Truths, probabilities: Probabilities, rate: float | None = None) -> dict[str, float]:
    """Accuracy, balanced accuracy, precision, recall, F1, Matthews correlation and AUPRC.

    Args:
        rate: reweights the questions so that this share of them is true, in (0, 1): what balanced questions hide.
            At a rate of 0.001 even a false positive rate of 0.1 leaves 1 % precision. None leaves them as they
            are.

    Returns:
        All NaN where only one kind of truth is there. Precision is NaN where nothing was said to be true; the
        Matthews correlation is then 0, by convention.
    """
    t, said = np.asarray(truths, bool), np.asarray(probabilities, float) > 0.5
    n, n_true = len(t), int(t.sum())
    if not 0 < n_true < n or (rate is not None and not 0 < rate < 1):
        return dict.fromkeys(
            ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "mcc", "auprc"), math.nan
        )
    share = n_true / n if rate is None else rate
    weights = np.where(t, share / n_true, (1 - share) / (n - n_true))
    hit, alarm = float(said[t].mean()), float(said[~t].mean())
    tp, fp = hit * share, alarm * (1 - share)
    fn, tn = share - tp, 1 - share - fp
    spread = math.sqrt((tp + fp) * share * (tn + fn) * (1 - share))
    return {
        "accuracy": tp + tn,
        "balanced_accuracy": (hit + 1 - alarm) / 2,
        "precision": tp / (tp + fp) if said.any() else math.nan,
        "recall": hit,
        "f1": 2 * tp / (2 * tp + fp + fn),
        "mcc": (tp * tn - fp * fn) / spread if said.any() and not said.all() else 0.0,
        "auprc": _average_precision(t, np.asarray(probabilities, float), weights),
    }


def _average_precision(t: NDArray[np.bool_], p: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Mean precision where true questions are reached, by descending probability; equal ones come together."""
    order = np.argsort(-p, kind="stable")
    ends = np.flatnonzero(np.diff(p[order], append=-math.inf))
    reached, true = np.cumsum(weights[order])[ends], np.cumsum((weights * t)[order])[ends]
    return float((np.diff(true, prepend=0.0) * true / reached).sum() / true[-1])


def recalls(truths: Truths, probabilities: Probabilities, strata: Sequence[str]) -> dict[str, float]:
    """Share of the true questions of each stratum (an activation decile, say) that got a yes."""
    found: dict[str, list[bool]] = {}
    for truth, p, stratum in zip(truths, probabilities, strata, strict=True):
        if truth:
            found.setdefault(stratum, []).append(p > 0.5)
    return {stratum: sum(yes) / len(yes) for stratum, yes in sorted(found.items())}


def pearson(xs: ArrayLike, ys: ArrayLike) -> float:
    """Pearson correlation; NaN where one of them does not vary."""
    x, y = np.asarray(xs, float), np.asarray(ys, float)
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    return float(np.corrcoef(x, y)[0, 1])


def brier(truths: Truths, probabilities: Probabilities) -> float:
    """Mean squared distance of the probability from the truth, in [0, 1]; 0 is best (Brier 1950)."""
    if not len(truths):
        return math.nan
    return float(np.mean((np.asarray(probabilities, float) - np.asarray(truths, float)) ** 2))


def calibration_error(truths: Truths, probabilities: Probabilities) -> float:
    """Expected calibration error, in [0, 1]: |share true - mean probability| over bins, weighted by their counts
    (Naeini et al. 2015).
    """
    if not len(truths):
        return math.nan
    p, t = np.asarray(probabilities, float), np.asarray(truths, float)
    place = np.minimum((p * BINS).astype(int), BINS - 1)
    gaps = np.bincount(place, weights=t - p, minlength=BINS)
    return float(np.abs(gaps).sum() / len(p))


def proportion(hits: int, n: int, level: float = 0.95) -> Interval:
    """A share with its exact interval (Clopper & Pearson 1934)."""
    if not n:
        return UNDEFINED
    from scipy.stats import binomtest

    found = binomtest(hits, n).proportion_ci(confidence_level=level)
    return Interval(hits / n, float(found.low), float(found.high))


def chance_of(hits: int, n: int, chance: float) -> float:
    """The probability of as many hits or more by guessing: exact binomial, one-sided."""
    from scipy.stats import binomtest

    return float(binomtest(hits, n, chance, alternative="greater").pvalue) if n else math.nan


def prefixed(metrics: Mapping[str, float], prefix: str = "", suffix: str = "") -> dict[str, float]:
    """The same metrics under longer names."""
    return {f"{prefix}{name}{suffix}": value for name, value in metrics.items()}


RESAMPLES = 1000
ROUNDING = 1e-9
"""An excess that is no larger is none."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Draws:
    """How often each question is in each resample of a bootstrap, as shares.

    1. A table has a row for each question; a metric that tells true questions from false ones has a table of each.
       The metric is a function of the tables' means: the mean itself, a correlation of means of products, a
       product of the one's and the other's.
    2. Questions are drawn again with replacement, true and false ones apart. One fewer of each than there are: all
       of them would make the interval of few questions too narrow (Hesterberg 2015, arXiv:1411.5279).
    3. The interval is that of the percentiles. Two explanations that answered the same questions share the draws,
       so that their difference is paired; those that answered questions of their own do not.
    """

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
