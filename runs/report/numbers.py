"""Gathers the numbers of a report in one pass over a method's labels."""

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
"""Deciles of the peaks of active contexts, lowest first."""
Key = tuple[str, str]
"""Scorer and metric. Numbers of different metrics are never pooled."""


def key_of(score: Score) -> Key:
    return score.scorer, score.metric


@dataclass(frozen=True)
class ScorerNumbers:
    """One scorer and metric, over all labels that have a score by it."""

    summary: ScorerSummary
    recalls: tuple[float, ...]
    """Mean recall by decile. NaN if the scorer has none."""
    values: NDArray[np.float64]
    """(labels with the scorer, 3): score, floor, density."""
    others: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    """Scores by the same scorer in a floor run. Empty without a floor run."""

    @property
    def name(self) -> str:
        return self.summary.scorer


@dataclass
class Numbers:
    """States and scores of the labels."""

    states: Counter[State] = field(default_factory=Counter)
    scores: dict[Key, list[Score]] = field(default_factory=lambda: defaultdict(list))
    densities: dict[Key, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Density of the unit of each score."""
    rows: list[dict[Key, float]] = field(default_factory=list)
    """Score values of each label that has scores."""

    @classmethod
    def of(cls, labels: Iterable[tuple[Label, float]]) -> Numbers:
        """`labels` are pairs of a label and the density of its unit."""
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
        """Scorers by name. `floor` has the numbers of a run with nothing to explain."""
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
        """(n, n) Spearman correlations of `scorers` over the units that both scored. NaN below three units."""
        from scipy.stats import spearmanr

        keys = sorted(self.scores)
        table = np.array([[row.get(key, math.nan) for key in keys] for row in self.rows]).reshape(-1, len(keys))
        found = np.full((len(keys), len(keys)), math.nan)
        for i, j in np.ndindex(found.shape):
            x, y = table[~np.isnan(table[:, [i, j]]).any(1)][:, [i, j]].T
            if len(x) >= 3 and x.std() and y.std():
                found[i, j] = spearmanr(x, y).statistic
        return found


def _mean(values: Sequence[float]) -> float:
    kept = [value for value in values if not math.isnan(value)]
    return sum(kept) / len(kept) if kept else math.nan
