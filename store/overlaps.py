"""How much of their active contexts two units share, over all pairs of two sets, from coordinated samples.

1. The samples of the two halves are put together: below the smaller of their bounds all active contexts are known.
   A context is known by its rank by hash among the contexts that both runs have read; the sample is a uniform one.
2. Of two units, let tau be the smaller bound, and m the contexts below it. x of them activate both, n either:
   x / n estimates the Jaccard index (KMV sketches, Beyer et al. 2007). A pair of which one has fewer than ENOUGH
   contexts there (the other fires nearly everywhere) cannot be compared.
3. There the peaks of both are known in all m contexts, 0 where a unit is not active: their Pearson correlation,
   sums over the sampled contexts alone.
4. x and the sum of products of all pairs of a block are products of sparse matrices. What lies below tau in a
   sample is read off running sums over the bounds of the other side, or for single pairs found by bisection.
5. Floor: contexts of B change places with others of nearly the same rank, the same for all its units. That keeps
   how often each fires and what it fires with, and leaves nothing between A and B.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from neurogloss.ids import derive_seed
from neurogloss.protocols import Float32
from neurogloss.store.measures import FLOOR_ROWS, Int, blocks

Kind = Literal["coactivation", "correlation"]
ENOUGH = 5
"""Active contexts of each that have to be known below tau: two of one context each would be alike by chance."""
CELLS = 1 << 22
"""Pairs looked at at once: a dozen arrays of double precision."""
WINDOW = 64
"""Ranks within which contexts change places."""


@dataclass(frozen=True)
class Samples:
    """What is known of the active contexts of S units; ranks are those among C contexts."""

    units: Int
    """(P,), ascending."""
    ranks: Int
    """(P,), ascending within a unit, below its bound."""
    peaks: Float32
    """(P,), above 0."""
    bounds: Int
    """(S,), up to C: a context of lower rank that is not in the sample did not activate the unit."""
    contexts: int
    """C."""

    @classmethod
    def of(
        cls,
        halves: Sequence[tuple[NDArray[np.uint64], Float32]],
        contexts: NDArray[np.uint64],
    ) -> Samples:
        """From (S, U) hashes and peaks of each half, whose free slots have the largest number as hash.

        Args:
            contexts: (C,): hashes of the contexts that count, of all halves, ascending.
        """
        limit: NDArray[np.uint64] = np.minimum.reduce([hashes.max(1) for hashes, _ in halves])
        hashes, peaks = (np.concatenate(parts, 1) for parts in zip(*halves, strict=True))
        known = hashes < limit[:, None]
        units = np.nonzero(known)[0]
        ranks = np.searchsorted(contexts, hashes[known])
        here = ranks < len(contexts)
        here[here] = contexts[ranks[here]] == hashes[known][here]
        bounds: Int = np.searchsorted(contexts, limit)
        return _sorted(units[here], ranks[here], peaks[known][here], bounds, len(contexts))

    @property
    def counts(self) -> Int:
        """(S,): contexts of each in its sample."""
        return np.diff(self.starts)

    @cached_property
    def starts(self) -> Int:
        """(S + 1,): where each unit's contexts begin."""
        found: Int = np.searchsorted(self.units, np.arange(len(self.bounds) + 1))
        return found

    def take(self, rows: Int) -> Samples:
        """Some of the units, in that order."""
        counts = self.counts[rows]
        first = np.repeat(self.starts[rows] - np.append(0, counts.cumsum()[:-1]), counts)
        at = first + np.arange(counts.sum())
        units = np.repeat(np.arange(len(rows)), counts)
        return Samples(units, self.ranks[at], self.peaks[at], self.bounds[rows], self.contexts)

    def matrix(self, values: NDArray[Any]) -> Any:
        """(S, C) sparse: the values, one a sampled context."""
        return sparse.csr_array((values, self.ranks, self.starts), shape=(len(self.bounds), self.contexts))

    def below(self, rows: Int, limits: Int, power: int) -> NDArray[np.float64]:
        """(P,): the sum of peaks to that power over a row's contexts of lower rank than its limit."""
        end = np.searchsorted(self._keys, rows * (self.contexts + 1) + limits)
        running = np.append(0, (self.peaks.astype(np.float64) ** power).cumsum())
        found: NDArray[np.float64] = running[end] - running[self.starts[rows]]
        return found

    def table(self, limits: Int, power: int) -> NDArray[np.float64]:
        """(S, L): the same of every unit below each of L limits."""
        distinct, place = np.unique(limits, return_inverse=True)
        bins = np.searchsorted(distinct, self.ranks, side="right")
        shape = len(self.bounds), len(distinct) + 1
        weights = self.peaks.astype(np.float64) ** power
        sums = np.bincount(self.units * shape[1] + bins, weights, shape[0] * shape[1]).reshape(shape)
        found: NDArray[np.float64] = sums.cumsum(1)[:, place]
        return found

    @cached_property
    def _keys(self) -> Int:
        return self.units * (self.contexts + 1) + self.ranks


def _sorted(units: Int, ranks: Int, peaks: Float32, bounds: Int, contexts: int) -> Samples:
    order = np.lexsort((ranks, units))
    return Samples(units[order], ranks[order], peaks[order], bounds, contexts)


@dataclass(frozen=True)
class Overlap:
    """Jaccard index of the active contexts (`coactivation`), or correlation of the peaks (`correlation`)."""

    name: Kind
    a: Samples
    b: Samples
    floor_is = "the nearest after contexts were shuffled"

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.a.bounds), len(self.b.bounds)

    def block(self, rows: slice) -> Float32:
        found = np.empty((rows.stop - rows.start, self.shape[1]), np.float32)
        step = max(1, CELLS // max(1, self.shape[1]))
        for start in range(rows.start, rows.stop, step):
            part = slice(start, min(start + step, rows.stop))
            found[start - rows.start : part.stop - rows.start] = self._whole(part)
        found[np.isnan(found)] = -np.inf
        return found

    def _whole(self, rows: slice) -> Float32:
        a, b = self.a.take(np.arange(rows.start, rows.stop)), self.b
        # All that is known of a unit lies below its own bound: below both is below the other's.
        return self._values(
            np.minimum.outer(a.bounds, b.bounds),
            lambda power: (a.table(b.bounds, power), b.table(a.bounds, power).T),
            lambda power: (a.matrix(a.peaks**power) @ self._columns[power].T).toarray(),
        )

    def at(self, rows: Int, columns: Int) -> Float32:
        limits = np.minimum(self.a.bounds[rows], self.b.bounds[columns])
        a, b = self.a.take(rows), self.b.take(columns)
        return self._values(
            limits,
            lambda power: (self.a.below(rows, limits, power), self.b.below(columns, limits, power)),
            lambda power: np.asarray(a.matrix(a.peaks**power).multiply(b.matrix(b.peaks**power)).sum(1)),
        )

    def swapped(self) -> Overlap:
        return replace(self, a=self.b, b=self.a)

    def floor(self, seed: int, twins: Int | None = None) -> Float32:
        rng = np.random.default_rng(derive_seed(seed, "floor", "overlap"))
        rows = np.sort(rng.permutation(len(self.a.bounds))[:FLOOR_ROWS])
        place = np.lexsort((rng.random(self.b.contexts), np.arange(self.b.contexts) // WINDOW))
        shuffled = _sorted(self.b.units, place[self.b.ranks], self.b.peaks, self.b.bounds, self.b.contexts)
        other = Overlap(self.name, self.a.take(rows), shuffled)
        found = np.concatenate([other.block(part).max(1) for part in blocks(other)])
        return found[found > -np.inf]

    def planted(self, rows: Int, strength: Float32, seed: int) -> Overlap:
        """A copy fires elsewhere, with the same peak, instead of in a share `strength` of the contexts."""
        rng = np.random.default_rng(derive_seed(seed, "copy", "overlap"))
        a = self.a.take(rows)
        moved = rng.random(len(a.ranks)) < strength[a.units]
        ranks = np.where(moved, (rng.random(len(a.ranks)) * a.bounds[a.units]).astype(np.int64), a.ranks)
        # Two contexts of a unit that fall on one are one.
        _, first = np.unique(a.units * (a.contexts + 1) + ranks, return_index=True)
        return Overlap(self.name, a, Samples(a.units[first], ranks[first], a.peaks[first], a.bounds, a.contexts))

    @cached_property
    def _columns(self) -> tuple[Any, Any]:
        """B as ones, and as peaks."""
        return self.b.matrix(np.ones(len(self.b.ranks), np.float32)), self.b.matrix(self.b.peaks)

    def _values(
        self,
        limits: Int,
        sums: Callable[[int], tuple[NDArray[np.float64], NDArray[np.float64]]],
        products: Callable[[int], NDArray[Any]],
    ) -> Float32:
        """Estimates from what is known below the limits.

        Args:
            sums: of a power of the peaks, over the contexts of each of a pair.
            products: the sum of the products of that power, over the contexts of both.
        """
        n_a, n_b = sums(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            if self.name == "coactivation":
                shared = products(0)
                found = shared / (n_a + n_b - shared)
            else:
                (sum_a, sum_b), (squares_a, squares_b) = sums(1), sums(2)
                spread = np.sqrt(limits * squares_a - sum_a**2) * np.sqrt(limits * squares_b - sum_b**2)
                found = np.clip((limits * products(1) - sum_a * sum_b) / spread, -1, 1)
        found[~np.isfinite(found) | (np.minimum(n_a, n_b) < ENOUGH)] = np.nan
        result: Float32 = found.astype(np.float32)
        return result
