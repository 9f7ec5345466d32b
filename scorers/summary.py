"""Scores of many units: macro (each unit counts the same) and pooled (each question does), kept apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neurogloss.protocols import Answered
from neurogloss.records import Interval, Score
from neurogloss.scorers import metrics
from neurogloss.scorers.resampling import mean_interval


@dataclass(frozen=True, slots=True)
class Macro:
    """A mean over units."""

    mean: Interval
    """With its 95 % bootstrap interval over units."""
    n: int
    """Units in it."""
    undefined: int
    """Units in which the value is undefined: not in the mean."""


def macro(values: Sequence[float], seed: int = 0) -> Macro:
    """The mean of one value a unit. `seed`: of the bootstrap."""
    kept = [value for value in values if not math.isnan(value)]
    return Macro(mean_interval(kept, np.random.default_rng(seed)), len(kept), len(values) - len(kept))


def pooled(units: Sequence[Sequence[Answered]]) -> dict[str, float]:
    """`metrics.classification` and AUROC over the answered questions of all units together."""
    given = [(q.truth, a.probability) for unit in units for q, a in unit if a.probability is not None]
    truths, probabilities = [truth for truth, _ in given], [p for _, p in given]
    return {**metrics.classification(truths, probabilities), "auroc": metrics.auroc(truths, probabilities)}


@dataclass(frozen=True, slots=True)
class Above:
    """How far the scores of units lie above their floors."""

    excess: Macro
    p_value: float
    """One-sided Wilcoxon signed-rank test, paired over units; NaN for fewer than two."""


def above_floor(scores: Sequence[Score], seed: int = 0) -> Above:
    """Over scores of one scorer. Units without a score or a floor are counted as undefined."""
    from scipy.stats import wilcoxon

    excess = macro([score.excess.value for score in scores], seed)
    kept = [score.excess.value for score in scores if score.excess.defined]
    moved = [value for value in kept if value]
    if len(kept) < 2:
        return Above(excess, math.nan)
    # Without any difference the test is not defined; nothing then speaks against the floor.
    return Above(excess, float(wilcoxon(moved, alternative="greater").pvalue) if moved else 1.0)
