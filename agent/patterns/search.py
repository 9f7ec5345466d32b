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
from neurogloss.agent.patterns.features import TOKENS, Feature, Features
from neurogloss.agent.patterns.kin import Kin
from neurogloss.agent.patterns.sample import Floats, Sample, sample
from neurogloss.ids import derive_seed
from neurogloss.records import EvidenceHalf
from neurogloss.scorers.patterns.forms import form_of
from neurogloss.scorers.patterns.language import CONDITIONS, VALUES, Condition, Pattern, Test

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
LETTER = 0.003
"""What a beginning or an ending of one letter costs beside that."""
UNSEEN = 3.0
"""Silent contexts that are added to every rate."""
FOLDS = 8
LOCAL = 1.5
"""Weight of the test at the tokens beside that at the contexts."""
LEAST_Z = 2.1
"""Standard errors that the truth must be apart in what was predicted of unseen folds."""
LEAST_R = 0.03
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
        """The pattern of a unit from the explain split of its evidence.

        Raises:
            ValueError: the split has no active or no silent contexts.
        """
        data = sample(half, seed)
        problem = _Problem.of(candidates(self.features, data, self.kin), data)
        r, z = _validate(problem, seed)
        groups = problem.grow(np.ones(len(data.truth), bool))
        if not groups or z < LEAST_Z or r < LEAST_R:
            return Found(None, r, z)
        conditions = sorted((_condition(problem, group) for group in groups), key=lambda found: -found.chance)
        return Found(Pattern(tuple(conditions)), r, z)


def _condition(problem: _Problem, group: _Group) -> Condition:
    """The group's tests, with its rate and the mean activation where it holds."""
    found, data = problem.found, problem.data
    merged = np.zeros(len(data.contexts), np.uint64)
    for member in group.members:
        entries = slice(*found.holds.indptr[member : member + 2])
        merged[found.holds.indices[entries]] |= found.masks[entries]
    bits = merged[:, None] >> np.arange(TOKENS, dtype=np.uint64) & np.uint64(1)
    tokens = float(data.weights @ bits.sum(1))
    mass = float(data.weights[: len(data.examples)] @ (bits[: len(data.examples)] * data.activations).sum(1))
    strength = mass / tokens if tokens else 0.0
    return Condition(_tests(problem, group), round(float(problem.rate(group)), 3), round(min(strength, 1.0), 3))


def _tests(problem: _Problem, group: _Group) -> tuple[Test, ...]:
    """Of conditions that are alike in all but one value: the tests of all together."""
    members = [problem.found.conditions[i] for i in group.members]
    if members[0][0][0] == "like":
        return (Test("like", problem.found.kin[members[0][0][1]]),)
    return tuple(_test(column, problem.found.words) for column in zip(*members, strict=True))


def _test(features: Sequence[Feature], words: Sequence[str]) -> Test:
    """Features of one kind; families go by the most frequent word of theirs that was seen."""
    kind, values = features[0][0], dict.fromkeys(value for _, value in features)
    if kind in ("form", "topic"):
        seen = {form_of(word): word for word in reversed(words)}
        values = dict.fromkeys(seen.get(value, value) for value in values)
    return Test(kind, tuple(values))


def _validate(problem: _Problem, seed: int) -> tuple[float, float]:
    """Correlation and z of what searches that did not see a fold predict of it.

    Two things have to differ from chance, and count together (Stouffer 1949, the second with weight 1.5): the guesses
    at active contexts lie above those at silent ones; and the conditions hold at active tokens more often than at
    as many tokens elsewhere in the same contexts.
    """
    data, found = problem.data, problem.found
    folds = _folds(data, seed)
    guesses, local, turned = np.zeros((3, len(data.truth)))
    for fold in range(FOLDS):
        tested = folds == fold
        groups = problem.grow(~tested)
        for out, holds in ((guesses, found.holds), (local, found.local), (turned, found.turned)):
            out[tested] = problem.predict(groups, holds)[tested]
    r, z = _agreement(guesses, data)
    gaps = (local - turned)[data.uniform & (data.truth > 0)]
    z_local = float(gaps.sum()) / max(math.sqrt(float(gaps @ gaps)), 1e-12)
    return r, (z + LOCAL * z_local) / math.hypot(1, LOCAL)


@dataclass(frozen=True)
class _Problem:
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
    def of(cls, found: Candidates, data: Sample) -> _Problem:
        numbers: dict[object, int] = {}

        def number(key: object) -> int:
            return numbers.setdefault(key, len(numbers))

        each = found.conditions
        costs = [sum(_cost(*feature) for feature in c) + NARROWER * (len(c) - 1) for c in each]
        by_value = [number(c) if c[0][0] == "like" else number((c[0][0], c[1:])) for c in each]
        by_qualifier = [number((c[0], c[1][0], "")) if c[1:] else -1 for c in each]
        columns = (found.holds.T.tocsr(), np.array(costs), np.array(by_value, np.int64), np.array(by_qualifier, np.int64))
        return cls(found, data, *columns)

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
        costs = np.where(self.found.local @ (train * self.data.truth) >= SUPPORT, self.costs, np.inf)
        sums = self.found.holds @ both
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
            at = self.found.holds.indices[slice(*self.found.holds.indptr[best : best + 2])]
            at = at[both[at, 1] > 0]
            sums = sums - self.by_context[at].T @ both[at]
            both[at] = 0.0
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

    def predict(self, groups: Sequence[_Group], holds: csr_matrix) -> Floats:
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
