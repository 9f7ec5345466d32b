"""The greedy growth of a list of conditions, and what it predicts.

Each step adds a condition, or widens one by a further value: whichever takes most from the squared error at the
unit's natural rate, less a cost of description. In units of the truth's variance, that is the square of the
correlation at density. Rates are shrunk to the unit's density by some silent contexts that were not seen
(Laplace), so that a few lucky contexts are worth little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from neurogloss.agent.patterns.candidates import SUPPORT, Candidates
from neurogloss.agent.patterns.sample import Floats, Sample
from neurogloss.scorers.patterns.language import CONDITIONS, VALUES

STEPS = 16
"""Conditions and values added at most."""
COST, WIDER, NARROWER = 0.006, 0.003, 0.003
"""Cost of a condition, of a further value, and of a second test, as a share of the truth's variance."""
KIND_COST = {
    "begins": 0.003,
    "ends": 0.003,
    "piece": 0.003,
    "base": 0.006,
    "at": 0.003,
    "after": 0.006,
    "after2": 0.008,
    "topic": 0.05,
    "like": 0.002,
}
"""What a kind of test costs beside that: more, the more there are to choose among."""
LETTER = 0.003
"""What a beginning or an ending of one letter costs beside that."""
UNSEEN = 3.0
"""Silent contexts that are added to every rate."""


@dataclass
class Group:
    """A condition that grows: members alike in all but the values of one test."""

    members: list[int]
    active: float
    """Weight of the active contexts that it was the first to cover."""
    covered: float
    """Weight of all of them."""


@dataclass(frozen=True)
class Problem:
    """The candidates of one unit as matrices."""

    found: Candidates
    data: Sample
    by_context: csr_matrix
    """(contexts, conditions) `found.holds`, the other way round."""
    costs: Floats
    by_value: NDArray[np.int64]
    """(conditions,) alike in those that differ in the first test's value alone."""
    by_qualifier: NDArray[np.int64]
    """(conditions,) alike in those that differ in the second test's value alone; -1 if there is no second test."""

    @classmethod
    def of(cls, found: Candidates, data: Sample) -> Problem:
        numbers: dict[object, int] = {}

        def number(key: object) -> int:
            return numbers.setdefault(key, len(numbers))

        each = found.conditions
        costs = [sum(_cost(*feature) for feature in c) + NARROWER * (len(c) - 1) for c in each]
        by_value = [number(c) if c[0][0] == "like" else number((c[0][0], c[1:])) for c in each]
        by_qualifier = [number((c[0], c[1][0], "")) if c[1:] else -1 for c in each]
        columns = (
            found.holds.T.tocsr(),
            np.array(costs),
            np.array(by_value, np.int64),
            np.array(by_qualifier, np.int64),
        )
        return cls(found, data, *columns)

    @property
    def unseen(self) -> float:
        return UNSEEN * self.data.silent_weight

    def rate(self, group: Group) -> float:
        """Share of active contexts among those that the group covers, shrunk to the density."""
        return (group.active + self.unseen * self.data.density) / (group.covered + self.unseen)

    def gain(self, active: Floats, covered: Floats) -> Floats:
        """How much less of the truth's variance is unexplained if these contexts are given their rate."""
        d = self.data.density
        above = (active + self.unseen * d) / (covered + self.unseen) - d
        gained: Floats = above * (2 * (active - covered * d) - covered * above) / (d * (1 - d))
        return np.where(above > 0, gained, 0.0)

    def grow(self, train: NDArray[np.bool_]) -> list[Group]:
        """The conditions that the contexts in `train` speak for."""
        groups: list[Group] = []
        weights = self.data.of(train)
        both = np.stack([weights * self.data.truth, weights], 1)
        costs = np.where(self.found.local @ (train * self.data.truth) >= SUPPORT, self.costs, np.inf)
        sums = self.found.holds @ both
        for _ in range(STEPS):
            best, into = self._best(groups, sums, costs)
            if best is None:
                break
            active, covered = sums[best]
            if into is None:
                groups.append(Group([best], active, covered))
            else:
                into.members.append(best)
                into.active, into.covered = into.active + active, into.covered + covered
            at = self.found.holds.indices[slice(*self.found.holds.indptr[best : best + 2])]
            at = at[both[at, 1] > 0]
            sums = sums - self.by_context[at].T @ both[at]
            both[at] = 0.0
        return groups

    def _best(self, groups: Sequence[Group], sums: Floats, costs: Floats) -> tuple[int | None, Group | None]:
        """The condition that gains most, and the group that it widens; None: a new one."""
        active, covered = sums.T
        best, into, most = None, None, 0.0
        if len(groups) < CONDITIONS:
            gains = self.gain(active, covered) - costs - COST
            best, most = int(np.argmax(gains)), float(gains.max())
        for group in groups:
            like = self._like(group)
            if len(like):
                gains = self.gain(group.active + active[like], group.covered + covered[like]) - WIDER
                gains = np.where((covered[like] > 0) & np.isfinite(costs[like]), gains, -1.0)
                gains -= float(self.gain(np.array(group.active), np.array(group.covered)))
                if gains.max() > most:
                    best, into, most = int(like[np.argmax(gains)]), group, float(gains.max())
        return (best, into) if most > 0 else (None, None)

    def _like(self, group: Group) -> NDArray[np.int64]:
        """Conditions that can join the group."""
        if len(group.members) == VALUES:
            return np.zeros(0, np.int64)
        first, *others = group.members
        same = [self.by_value == self.by_value[first]]
        if self.by_qualifier[first] >= 0:
            same.append(self.by_qualifier == self.by_qualifier[first])
        if others:
            same = [rows for rows in same if rows[others[0]]]
        return np.flatnonzero(np.logical_or.reduce(same))

    def predict(self, groups: Sequence[Group], holds: csr_matrix) -> Floats:
        """(contexts,) the largest rate of the groups of which a condition holds, as `holds` has it."""
        found = np.zeros(len(self.data.truth))
        for group in groups:
            rate = self.rate(group)
            for member in group.members:
                entries = slice(*holds.indptr[member : member + 2])
                at = holds.indices[entries]
                found[at] = np.maximum(found[at], rate * holds.data[entries])
        return found


def _cost(kind: str, value: str) -> float:
    """What a test costs; one letter is hardly ever what a person would name as the beginning or end of words."""
    return KIND_COST.get(kind, 0.0) + (LETTER if kind in ("begins", "ends") and len(value) == 1 else 0.0)
