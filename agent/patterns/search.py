"""The search for the pattern of one unit.

1. Conditions that the evidence supports are collected (`neurogloss.agent.patterns.candidates`).
2. A list of conditions is grown greedily. Each step adds the condition, or widens one that is there by a further
   value, that takes most from the squared error at the unit's natural rate, less a cost of description. In units of
   the truth's variance this is the square of the correlation at density. Rates are shrunk to the unit's density by
   some silent contexts that were not seen (Laplace), so that a few lucky contexts are worth little.
3. The search is repeated without one fold of the split in turn, and what each repetition predicts of the fold that it
   did not see is compared with the truth. If the silent and active contexts of the uniform samples do not differ
   more than chance allows, or the correlation is too small to be of use, the unit has no pattern.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from neurogloss.agent.patterns.candidates import SUPPORT, Candidates, candidates
from neurogloss.agent.patterns.features import Feature, Features
from neurogloss.agent.patterns.kin import Kin
from neurogloss.agent.patterns.sample import Floats, Sample, sample
from neurogloss.ids import derive_seed
from neurogloss.records import EvidenceHalf
from neurogloss.scorers.patterns.language import CONDITIONS, VALUES, Condition, Pattern, Test
from neurogloss.scorers.patterns.reading import KINDS

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
    "topic": 0.015,
    "like": 0.002,
}
"""What a kind of test costs beside that: more, the more there are to choose among."""
UNSEEN = 2.0
"""Silent contexts that are added to every rate."""
FOLDS = 4
Z2=[]
ZW=1.0
LEAST_Z = 3.0
"""Standard errors that the truth must be apart in what was predicted of unseen folds."""
LEAST_R = 0.1
"""Least correlation at density there."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found."""

    pattern: Pattern | None
    """None: no pattern."""
    r: float
    """Correlation at density of what was predicted of unseen folds."""
    z: float
    """How many standard errors active contexts lie above silent ones there."""


@dataclass
class _Group:
    """A condition that grows: members alike in all but the values of one test."""

    members: list[int]
    active: float
    """Weight of the active contexts that it was the first to cover."""
    covered: float
    """Weight of all of them."""


@dataclass
class Search:
    """Searches for the patterns of many units, which share what was read of their contexts."""

    kin: Kin | None = None
    features: Features = field(default_factory=Features)

    def find(self, half: EvidenceHalf, seed: int) -> Found:
        """The pattern of a unit from the explain split of its evidence."""
        data = sample(half, seed)
        found = candidates(self.features, data, self.kin)
        problem = _Problem.of(found, data)
        folds = _folds(data, seed)
        guesses, local, turned = np.zeros((3, len(data.truth)))
        for fold in range(FOLDS):
            tested = folds == fold
            gs = problem.grow(~tested)
            guesses[tested] = problem.predict(gs,problem.holds)[tested]
            local[tested] = problem.predict(gs,found.local)[tested]
            turned[tested] = problem.predict(gs,found.turned)[tested]
        r, z = _agreement(guesses, data)
        d=(local-turned)[data.uniform&(data.truth>0)]
        z2=d.sum()/math.sqrt((d**2).sum()) if d.any() else 0.0
        Z2.append((z,z2))
        z=(z+ZW*z2)/math.sqrt(1+ZW**2)
        groups = problem.grow(np.ones(len(folds), bool))
        if not groups or z < LEAST_Z or r < LEAST_R:
            return Found(None, r, z)
        graded = [self._condition(problem, group, data) for group in groups]
        graded.sort(key=lambda condition: -condition.chance)
        return Found(Pattern(tuple(graded)), r, z)

    def _condition(self, problem: _Problem, group: _Group, data: Sample) -> Condition:
        tests = _tests([problem.conditions[i] for i in group.members], self.kin)
        mask, total, mass = Condition(tests), 0.0, 0.0
        chance = problem.rate(group)
        return Condition(tests, round(chance, 3), round(chance, 3))


@dataclass(frozen=True)
class _Problem:
    """The candidates of one unit as matrices."""

    conditions: list[tuple[Feature, ...]]
    holds: csr_matrix
    local: csr_matrix
    data: Sample
    costs: Floats
    by_value: NDArray[np.int64]
    """(conditions,) alike in those that differ in the first test's value alone."""
    by_qualifier: NDArray[np.int64]
    """(conditions,) alike in those that differ in the second test's value alone; -1 if there is no second test."""

    @classmethod
    def of(cls, found: Candidates, data: Sample) -> _Problem:
        numbers: dict[object, int] = {}

        def number(key: object) -> int:
            return numbers.setdefault(key, len(numbers))

        each = found.conditions
        costs = [sum(KIND_COST.get(k, 0.0) for k, _ in c) + NARROWER * (len(c) - 1) for c in each]
        by_value = [number(c) if c[0][0] == "like" else number((c[0][0], c[1:])) for c in each]
        by_qualifier = [number((c[0], c[1][0], "")) if c[1:] else -1 for c in each]
        columns = (np.array(costs), np.array(by_value, np.int64), np.array(by_qualifier, np.int64))
        return cls(each, found.holds, found.local, data, *columns)

    @property
    def unseen(self) -> float:
        return UNSEEN * self.data.silent_weight

    def rate(self, group: _Group) -> float:
        """Share of active contexts among those that the group covers, shrunk to the density."""
        return (group.active + self.unseen * self.data.density) / (group.covered + self.unseen)

    def gain(self, active: Floats, covered: Floats) -> Floats:
        """How much less of the truth's variance is unexplained if these contexts are given their rate."""
        d = self.data.density
        above = (active + self.unseen * d) / (covered + self.unseen) - d
        gained: Floats = above * (2 * (active - covered * d) - covered * above) / (d * (1 - d))
        return np.where(above > 0, gained, 0.0)

    def grow(self, train: NDArray[np.bool_]) -> list[_Group]:
        """The conditions that the contexts in `train` speak for."""
        groups: list[_Group] = []
        weights = self.data.of(train)
        both = np.stack([weights * self.data.truth, weights], 1)
        costs = np.where(self.local @ (train * self.data.truth) >= SUPPORT, self.costs, np.inf)
        sums = self.holds @ both
        for _ in range(STEPS):
            best, into = self._best(groups, sums, costs)
            if best is None:
                break
            active, covered = sums[best]
            if into is None:
                groups.append(_Group([best], active, covered))
            else:
                into.members.append(best)
                into.active, into.covered = into.active + active, into.covered + covered
            at = self.holds.indices[self.holds.indptr[best] : self.holds.indptr[best + 1]]
            taken = np.zeros_like(both)
            taken[at] = both[at]
            both[at] = 0.0
            sums = sums - self.holds @ taken
        return groups

    def _best(self, groups: Sequence[_Group], sums: Floats, costs: Floats) -> tuple[int | None, _Group | None]:
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

    def _like(self, group: _Group) -> NDArray[np.int64]:
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

    def predict(self, groups: Sequence[_Group], holds) -> Floats:
        """(contexts,) the largest rate of the groups that hold."""
        found = np.zeros(len(self.data.truth))
        for group in groups:
            for member in group.members:
                at = holds.indices[holds.indptr[member] : holds.indptr[member + 1]]
                found[at] = np.maximum(found[at], self.rate(group)*holds.data[holds.indptr[member] : holds.indptr[member + 1]])
        return found


def _tests(members: Sequence[tuple[Feature, ...]], kin: Kin | None) -> tuple[Test, ...]:
    """Of conditions that are alike in all but one value: the tests of all together."""
    if members[0][0][0] == "like" and kin is not None:
        seed = members[0][0][1]
        return (Test("like", kin.sets([seed])[seed]),)
    columns = zip(*members, strict=True)
    return tuple(Test(column[0][0], tuple(dict.fromkeys(value for _, value in column))) for column in columns)


def _folds(data: Sample, seed: int) -> NDArray[np.int64]:
    """(contexts,) the fold of each: even over active and silent ones."""
    rng = np.random.default_rng(derive_seed(seed, "pattern folds"))
    n = len(data.examples)
    silent = len(data.contexts) - n
    return np.concatenate([rng.permutation(n) % FOLDS, rng.permutation(silent) % FOLDS])


def _agreement(guesses: Floats, data: Sample) -> tuple[float, float]:
    """Correlation at density over the uniform samples, and the standard errors between active and silent."""
    x, y = guesses[data.uniform], data.truth[data.uniform]
    n, active = len(x), int(y.sum())
    spread = float(x.std())
    if spread == 0 or not 0 < active < n:
        return 0.0, 0.0
    # Without replacement, as if the truth were shuffled among the contexts.
    error = spread * math.sqrt((n - active) / active / (n - 1))
    z = float(x[y > 0].mean() - x.mean()) / error
    weights = np.where(y > 0, data.density / active, (1 - data.density) / (n - active))
    return correlation(x, y, weights), z


def correlation(x: Floats, y: Floats, weights: Floats) -> float:
    """Weighted Pearson correlation; 0 if one of them does not vary."""
    weights = weights / weights.sum()
    x, y = x - weights @ x, y - weights @ y
    spread = math.sqrt((weights @ x**2) * (weights @ y**2))
    return float(weights @ (x * y)) / spread if spread > 1e-12 else 0.0
