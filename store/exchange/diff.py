"""What changed between two sets of labels, unit by unit.

1. Units are paired by their id. A unit of one set only is counted there.
2. Of a pair, text, state, and each score are compared. Scores are comparable where scorer, judge and metric are
   the same; the change is clear where the two 95 % intervals do not overlap.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from neurogloss.ids import UnitId
from neurogloss.records import Interval, Label, Score


@dataclass(frozen=True, slots=True)
class ScoreChange:
    """One score before and after."""

    scorer: str
    metric: str
    before: Interval
    after: Interval

    @property
    def clear(self) -> bool:
        """Whether the intervals do not overlap."""
        return self.before.high < self.after.low or self.after.high < self.before.low


@dataclass(frozen=True, slots=True)
class Change:
    """One unit that both sets label, differently."""

    a: Label
    b: Label
    text: bool
    """Whether the explanations differ."""
    state: bool
    scores: tuple[ScoreChange, ...]
    """Those that are comparable and differ, by scorer."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How two sets of labels differ."""

    changes: tuple[Change, ...]
    """In the order of the first set."""
    unchanged: int
    only_a: tuple[UnitId, ...]
    only_b: tuple[UnitId, ...]


def compare(a: Iterable[Label], b: Iterable[Label]) -> Difference:
    """The difference between two sets of labels, each with a unit once."""
    first, second = ({label.unit: label for label in labels} for labels in (a, b))
    both = [unit for unit in first if unit in second]
    changes = [_change(first[unit], second[unit]) for unit in both]
    differ = tuple(change for change in changes if change.text or change.state or change.scores)
    return Difference(
        differ,
        len(both) - len(differ),
        tuple(unit for unit in first if unit not in second),
        tuple(unit for unit in second if unit not in first),
    )


def _change(a: Label, b: Label) -> Change:
    texts = [label.explanation.text if label.explanation else None for label in (a, b)]
    old, new = ({(s.scorer, s.judge, s.metric): s for s in label.scores} for label in (a, b))
    scores = (_scores(old[key], new[key]) for key in sorted(old.keys() & new.keys()))
    return Change(a, b, texts[0] != texts[1], a.state is not b.state, tuple(filter(None, scores)))


def _scores(a: Score, b: Score) -> ScoreChange | None:
    same = a.score == b.score or not (a.score.defined or b.score.defined)
    return None if same else ScoreChange(a.scorer, a.metric, a.score, b.score)
