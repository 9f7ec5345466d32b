"""The search for the pattern of one unit.

1. Collect the conditions that the evidence supports (`neurogloss.agent.patterns.candidates`).
2. Grow a list of conditions greedily (`neurogloss.agent.patterns.greedy`).
3. Repeat without one fold of the split in turn, and compare what each repetition predicts of the fold that it did
   not see with the truth. If active and silent contexts of the uniform samples do not differ by more than chance
   allows, or the correlation is too small to be of use, the unit has no pattern.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neurogloss.agent.patterns.candidates import candidates
from neurogloss.agent.patterns.features import TOKENS, Feature, Features
from neurogloss.agent.patterns.greedy import Group, Problem
from neurogloss.agent.patterns.kin import Kin
from neurogloss.agent.patterns.sample import Floats, Sample, sample
from neurogloss.ids import derive_seed
from neurogloss.records import EvidenceHalf
from neurogloss.scorers.patterns.forms import form_of
from neurogloss.scorers.patterns.language import Condition, Pattern, Test

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
        problem = Problem.of(candidates(self.features, data, self.kin), data)
        r, z = _validate(problem, seed)
        groups = problem.grow(np.ones(len(data.truth), bool))
        if not groups or z < LEAST_Z or r < LEAST_R:
            return Found(None, r, z)
        conditions = sorted((_condition(problem, group) for group in groups), key=lambda found: -found.chance)
        return Found(Pattern(tuple(conditions)), r, z)


def _condition(problem: Problem, group: Group) -> Condition:
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


def _tests(problem: Problem, group: Group) -> tuple[Test, ...]:
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


def _validate(problem: Problem, seed: int) -> tuple[float, float]:
    """Correlation and z of what searches that did not see a fold predict of it.

    Two things have to differ from chance, and count together (Stouffer 1949): the guesses at active contexts lie
    above those at silent ones; and the conditions hold at active tokens more often than at as many others of the
    same contexts.
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
