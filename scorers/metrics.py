"""Metrics of a judge's answers: pure functions of truths and probabilities.

Undefined is NaN: where there is no answer, or only one kind of truth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurogloss.records import Interval

RESAMPLES = 1000
"""Bootstrap resamples."""
UNDEFINED = Interval(math.nan, math.nan, math.nan)


def comparisons(truths: Sequence[bool], probabilities: Sequence[float]) -> NDArray[np.float64]:
    """(true, false) matrix: 1 where the true one has the larger probability, 1/2 where they are equal.

    Its mean is the area under the ROC curve (Mann & Whitney 1947).
    """
    p = np.asarray(probabilities, float)
    t = np.asarray(truths, bool)
    true, false = p[t][:, None], p[~t][None, :]
    matrix: NDArray[np.float64] = (true > false) + 0.5 * (true == false)
    return matrix


def auroc(truths: Sequence[bool], probabilities: Sequence[float]) -> float:
    """Area under the ROC curve, in [0, 1]; 0.5 is chance."""
    matrix = comparisons(truths, probabilities)
    return float(matrix.mean()) if matrix.size else math.nan


def mean_interval(
    matrix: NDArray[np.float64], rng: np.random.Generator, level: float = 0.95
) -> tuple[Interval, float]:
    """The mean of a (true, false) matrix with its bootstrap interval, and P(mean <= 0) over the resamples.

    True and false questions are resampled apart (percentile method), one fewer of each than there are: with
    all of them the interval of few questions would be too narrow (Hesterberg 2015, arXiv:1411.5279). P is never
    less than the chance that a random order puts every true question above every false one. For the matrix of
    `comparisons` the mean is the AUROC; for the difference of two such matrices over the same questions it is a
    paired difference. With fewer than two questions of a kind interval and P are NaN.
    """
    if not matrix.size:
        return UNDEFINED, math.nan
    from scipy.stats import bootstrap

    if min(matrix.shape) < 2:
        value = float(matrix.mean())
        return Interval(value, math.nan, math.nan), math.nan

    def statistic(i: NDArray[np.int64], j: NDArray[np.int64], axis: int = -1) -> NDArray[np.float64]:
        return matrix[i[..., 1:, None], j[..., None, 1:]].mean(axis=(-2, -1))  # type: ignore[no-any-return]

    found = bootstrap(
        (np.arange(matrix.shape[0]), np.arange(matrix.shape[1])),
        statistic,
        n_resamples=RESAMPLES,
        confidence_level=level,
        method="percentile",
        vectorized=True,
        batch=100,
        rng=rng,
    )
    low, high = (float(x) for x in found.confidence_interval)
    chance = (1 + int((found.bootstrap_distribution <= 0).sum())) / (1 + RESAMPLES)
    perfect = 1 / math.comb(sum(matrix.shape), matrix.shape[0])
    return Interval(float(matrix.mean()), low, high), max(chance, perfect)


def classification(truths: Sequence[bool], probabilities: Sequence[float]) -> dict[str, float]:
    """Balanced accuracy, F1, Matthews correlation and AUPRC, deciding at 0.5; NaN where undefined."""
    names = ("balanced_accuracy", "f1", "mcc", "auprc")
    if len(set(truths)) < 2:
        return dict.fromkeys(names, math.nan)
    from sklearn import metrics

    t = np.asarray(truths, bool)
    p = np.asarray(probabilities, float)
    said = p > 0.5
    values = (
        metrics.balanced_accuracy_score(t, said),
        metrics.f1_score(t, said, zero_division=0.0),
        metrics.matthews_corrcoef(t, said),
        metrics.average_precision_score(t, p),
    )
    return dict(zip(names, map(float, values), strict=True))


def precision_at_rate(truths: Sequence[bool], probabilities: Sequence[float], rate: float) -> float:
    """Precision where a share `rate` of all contexts is true: TPR r / (TPR r + FPR (1 - r)); NaN if undefined.

    What balanced questions hide: at a rate of 0.001 even a false positive rate of 0.1 leaves 1 % precision.
    """
    said = np.asarray(probabilities, float) > 0.5
    t = np.asarray(truths, bool)
    if not t.any() or t.all():
        return math.nan
    hits, alarms = said[t].mean() * rate, said[~t].mean() * (1 - rate)
    return float(hits / (hits + alarms)) if hits + alarms else math.nan
