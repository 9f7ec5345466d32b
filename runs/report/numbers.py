"""What a report is made of: one pass over a method's labels, some numbers kept of each."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neurogloss.records import Label, Score, State
from neurogloss.scorers.summary import ScorerSummary, by_scorer

DECILES = tuple(str(decile) for decile in range(1, 11))
"""Of the peaks of active contexts, the lowest first."""


Key = tuple[str, str]
"""Scorer and metric: numbers of different metrics are not put together."""


def key_of(score: Score) -> Key:
    return score.scorer, score.metric


@dataclass(frozen=True)
class ScorerNumbers:
    """One scorer over all labels that it scored by one metric."""

    summary: ScorerSummary
    recalls: tuple[float, ...]
    """Mean recall by decile; NaN where the scorer has none."""
    values: NDArray[np.float64]
    """(labels with the scorer, 3): score, floor, density."""
    others: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    """Scores that the same scorer gave the units of a run that is a floor; empty without one."""

    @property
    def name(self) -> str:
        return self.summary.scorer


@dataclass
class Numbers:
    """What was seen of the labels."""

    states: Counter[State] = field(default_factory=Counter)
    scores: dict[Key, list[Score]] = field(default_factory=lambda: defaultdict(list))
    densities: dict[Key, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Of the units of these scores."""
    rows: list[dict[Key, float]] = field(default_factory=list)
    """For each label with scores, their values."""

    @classmethod
    def of(cls, labels: Iterable[tuple[Label, float]]) -> Numbers:
        """`labels` come with the density of their unit."""
        found = cls()
        for label, density in labels:
            found.states[label.state] += 1
            for score in label.scores:
                found.scores[key_of(score)].append(score)
                found.densities[key_of(score)].append(density)
            if label.scores:
                found.rows.append({key_of(score): score.score.value for score in label.scores})
        return found

    def scorers(self, floor: Numbers | None = None) -> list[ScorerNumbers]:
        """By name. `floor`: those of a run that has nothing to explain."""
        return [self._scorer(key, floor.scores.get(key, ()) if floor else ()) for key in sorted(self.scores)]

    def _scorer(self, key: Key, others: Sequence[Score]) -> ScorerNumbers:
        scores = self.scores[key]
        (summary,) = by_scorer(scores)
        rows = zip(scores, self.densities[key], strict=True)
        return ScorerNumbers(
            summary=summary,
            recalls=tuple(_mean([s.metrics.get(f"recall_decile_{d}", math.nan) for s in scores]) for d in DECILES),
            values=np.array([(s.score.value, s.floor.value, density) for s, density in rows], float),
            others=np.array([s.score.value for s in others], float),
        )

    def agreement(self) -> NDArray[np.float64]:
        """(n, n) Spearman correlations of `scorers` over the units that both scored; NaN below three."""
        from scipy.stats import spearmanr

        keys = sorted(self.scores)
        table = np.array([[row.get(key, math.nan) for key in keys] for row in self.rows]).reshape(-1, len(keys))
        found = np.full((len(keys), len(keys)), math.nan)
        for i in range(len(keys)):
            for j in range(len(keys)):
                both = table[~np.isnan(table[:, [i, j]]).any(1)]
                if len(both) >= 3 and both[:, i].std() and both[:, j].std():
                    found[i, j] = spearmanr(both[:, i], both[:, j]).statistic
        return found


def _mean(values: Sequence[float]) -> float:
    kept = [value for value in values if not math.isnan(value)]
    return sum(kept) / len(kept) if kept else math.nan
