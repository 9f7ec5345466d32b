"""Scores of many units: their mean, in which each unit counts the same, and how they compare with others."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from neurogloss.records import Failure, Interval, Number, Score
from neurogloss.scorers import metrics
from neurogloss.scorers.metrics import mean_interval

MANY = 2000
"""Units above which a mean's interval is the normal one: a bootstrap of so many has the same limits."""
FLOOR_QUANTILE = 0.95
"""Of the scores of a run that explains nothing: what they reach by luck."""


@dataclass(frozen=True, slots=True)
class Macro:
    """A mean over units."""

    mean: Interval
    """With its 95 % interval over units: bootstrap, or normal for more than MANY."""
    n: int
    """Units in it."""
    undefined: int
    """Units in which the value is undefined: not in the mean."""


def macro(values: Sequence[float], seed: int = 0) -> Macro:
    """The mean of one value a unit. `seed`: of the bootstrap."""
    kept = _defined(values)
    mean = _normal(kept) if len(kept) > MANY else mean_interval(kept, np.random.default_rng(seed))
    return Macro(mean, len(kept), len(values) - len(kept))


def _defined(values: Iterable[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def _normal(values: Sequence[float]) -> Interval:
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return Interval(mean, mean - 1.96 * error, mean + 1.96 * error)


@dataclass(frozen=True, slots=True)
class ScorerSummary:
    """What one scorer gave many units by one metric, beside its floor."""

    scorer: str
    metric: str
    judge: str
    score: Macro
    floor: Macro
    excess: Macro
    """Of score above floor."""
    p_value: Number
    """Of that excess: one-sided Wilcoxon signed-rank test, paired over units; NaN for fewer than two."""
    failures: Mapping[str, int]
    """Questions without an answer, by failure."""


def by_scorer(scores: Iterable[Score]) -> list[ScorerSummary]:
    """A summary for each scorer and metric, by name. Of a score three numbers are kept: there may be millions."""
    values: dict[tuple[str, str], list[tuple[float, float, float]]] = defaultdict(list)
    failures: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    judges: dict[tuple[str, str], str] = {}
    for each in scores:
        key = each.scorer, each.metric
        values[key].append((each.score.value, each.floor.value, each.excess.value))
        failures[key].update(each.failures)
        judges.setdefault(key, each.judge)
    found = []
    for key in sorted(values):
        score, floor, excess = zip(*values[key], strict=True)
        missed = {failure.value: failures[key][failure] for failure in Failure if failures[key][failure]}
        found.append(
            ScorerSummary(
                scorer=key[0],
                metric=key[1],
                judge=judges[key],
                score=macro(score),
                floor=macro(floor),
                excess=macro(excess),
                p_value=paired_p_value(excess),
                failures=missed,
            )
        )
    return found


def paired_p_value(excess: Sequence[float]) -> float:
    """The chance of such excesses where none is above 0; units in which it is undefined are left out."""
    from scipy.stats import wilcoxon

    kept = _defined(excess)
    moved = [value for value in kept if value]
    if len(kept) < 2:
        return math.nan
    # Without any difference the test is not defined; nothing then speaks against the floor.
    return float(wilcoxon(moved, alternative="greater").pvalue) if moved else 1.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """Scores of units beside those of other units, which have nothing to explain: a randomised dictionary's."""

    other: Macro
    difference: Interval
    """Of the means, with Welch's 95 % interval."""
    share: float
    """Of the units that score above the FLOOR_QUANTILE of the others; 0.05 where they are alike."""
    p_value: float
    """One-sided Mann-Whitney test."""


def compare(scores: Sequence[float], others: Sequence[float]) -> Comparison:
    """One value a unit on either side; NaN where undefined. All is NaN for fewer than two on a side."""
    from scipy.stats import mannwhitneyu, ttest_ind

    mine, theirs = _defined(scores), _defined(others)
    if min(len(mine), len(theirs)) < 2:
        return Comparison(macro(others), metrics.UNDEFINED, math.nan, math.nan)
    difference = float(np.mean(mine) - np.mean(theirs))
    welch = ttest_ind(mine, theirs, equal_var=False).confidence_interval()
    return Comparison(
        other=macro(others),
        difference=Interval(difference, float(welch.low), float(welch.high)),
        share=float(np.mean(np.array(mine) > np.quantile(theirs, FLOOR_QUANTILE))),
        p_value=float(mannwhitneyu(mine, theirs, alternative="greater").pvalue),
    )
