"""What a report is made of: one pass over a method's labels, some numbers kept of each."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neurogloss.records import Failure, Label, Score, State
from neurogloss.scorers.summary import Above, Macro, above_floor, macro

DECILES = tuple(str(decile) for decile in range(1, 11))
"""Of the peaks of active contexts, the lowest first."""


@dataclass(frozen=True)
class ScorerNumbers:
    """One scorer over all labels that it scored."""

    name: str
    metric: str
    judge: str
    score: Macro
    floor: Macro
    above: Above
    recalls: tuple[float, ...]
    """Mean recall by decile; NaN where the scorer has none."""
    failures: Mapping[str, int]
    """Questions without an answer, by failure."""
    values: NDArray[np.float64]
    """(labels with the scorer, 3): score, floor, density."""


@dataclass
class Numbers:
    """What was seen of the labels."""

    states: Counter[State] = field(default_factory=Counter)
    scores: dict[str, list[Score]] = field(default_factory=lambda: defaultdict(list))
    """By scorer."""
    densities: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Of the units of these scores."""
    rows: list[dict[str, float]] = field(default_factory=list)
    """For each label with scores, the score by scorer."""

    @classmethod
    def of(cls, labels: Iterable[tuple[Label, float]]) -> Numbers:
        """`labels` come with the density of their unit."""
        found = cls()
        for label, density in labels:
            found.states[label.state] += 1
            for score in label.scores:
                found.scores[score.scorer].append(score)
                found.densities[score.scorer].append(density)
            if label.scores:
                found.rows.append({score.scorer: score.score.value for score in label.scores})
        return found

    def scorers(self) -> list[ScorerNumbers]:
        """By name."""
        return [self._scorer(name) for name in sorted(self.scores)]

    def _scorer(self, name: str) -> ScorerNumbers:
        scores = self.scores[name]
        failures: Counter[str] = Counter()
        for score in scores:
            failures.update(score.failures)
        rows = zip(scores, self.densities[name], strict=True)
        return ScorerNumbers(
            name=name,
            metric=scores[0].metric,
            judge=scores[0].judge,
            score=macro([score.score.value for score in scores]),
            floor=macro([score.floor.value for score in scores]),
            above=above_floor(scores),
            recalls=tuple(_mean([s.metrics.get(f"recall_decile_{d}", math.nan) for s in scores]) for d in DECILES),
            failures={failure.value: failures[failure.value] for failure in Failure if failures[failure.value]},
            values=np.array([(s.score.value, s.floor.value, density) for s, density in rows], float),
        )

    def agreement(self, names: Sequence[str]) -> NDArray[np.float64]:
        """(n, n) Spearman correlations over the units that both scorers scored; NaN below three."""
        from scipy.stats import spearmanr

        table = np.array([[row.get(name, math.nan) for name in names] for row in self.rows]).reshape(
            -1, len(names)
        )
        found = np.full((len(names), len(names)), math.nan)
        for i in range(len(names)):
            for j in range(len(names)):
                both = table[~np.isnan(table[:, [i, j]]).any(1)]
                if len(both) >= 3 and both[:, i].std() and both[:, j].std():
                    found[i, j] = spearmanr(both[:, i], both[:, j]).statistic
        return found


def _mean(values: Sequence[float]) -> float:
    kept = [value for value in values if not math.isnan(value)]
    return sum(kept) / len(kept) if kept else math.nan
