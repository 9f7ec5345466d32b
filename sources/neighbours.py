"""Units that fire together, and units that point the same way.

1. The uniform samples of two sides A and B, of any two sites that read the same corpus, are coordinated bottom-k
   (KMV) sketches of their sets of active contexts: they hold the contexts with the smallest of the same hashes
   (Beyer et al. 2007, "On synopses for distinct-value estimation under multiset operations").
2. Let tau be the smaller of the two certified bounds: below it both samples are complete. There, x contexts are in
   both and n in either, and x / n estimates the Jaccard index |A and B| / |A or B|. The context at tau itself is
   left out: that a sample ends there makes it one of that side, and counting it would bias the estimate.
3. Standard error: sqrt(p (1 - p) / n (1 - tau / 2^64)), the last factor for a sample without replacement, with
   p = (x + 1) / (n + 2), so that it is 0 only where nothing is left to know.
4. Candidates come from an inverted index, context to the sides that have it in their samples. n is known at once
   where tau is the candidate's own bound. Where it is A's, n is at least the number of A's contexts below it, and
   the candidate's sample is read only where x / n may then still be among the best.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from neurogloss.ids import UnitId
from neurogloss.records import Neighbour
from neurogloss.sources.cache import Cache
from neurogloss.sources.corpus import Half
from neurogloss.sources.dictionaries import Dictionary, directions_of
from neurogloss.sources.pairs import Int, ranges
from neurogloss.sources.sketch import EMPTY

SIDES_AT_ONCE = 4_096
"""While the index is built: bounds the copies of hashes."""
LIKELY = 128
"""Candidates whose estimates say how good the best are at least."""


class Neighbours:
    """The units of a run nearest to one of them by the contexts that they fire in."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        sides = [site.sides for site in cache.sites]
        self._first = {site.name: sum(sides[:i]) for i, site in enumerate(cache.sites)}
        # Of each half, when it is first asked for: the explain half's says nothing of the score half.
        self._index = lru_cache(None)(self._read)

    def of(self, unit: UnitId, n: int = 10, half: Half = "explain") -> tuple[Neighbour, ...]:
        """Up to n units that fired together with this one in the half, the largest estimate first.

        Raises:
            UserError: the cache has no such unit, or is damaged.
        """
        side = self._first[self._cache.site(unit).name] + self._cache.side(unit)
        with self._cache.undamaged():
            found = self._index(half).nearest(side, n)
            return tuple(Neighbour(self._unit(other), jaccard, error) for other, jaccard, error in found)

    def _read(self, half: Half) -> CoActivation:
        return CoActivation.build(self._cache.uniform_samples(half), self._cache.hashes(half))

    def _unit(self, side: int) -> UnitId:
        site = next(site for site in reversed(self._cache.sites) if self._first[site.name] <= side)
        row = side - self._first[site.name]
        sign = 1 if row < site.units else -1
        return UnitId(self._cache.subject, site.hookpoint, site.dictionary, row % site.units, sign)


@dataclass(frozen=True)
class CoActivation:
    """The inverted index over the uniform samples of S sides."""

    samples: Sequence[NDArray[np.uint64]]
    """(sides, U) by site, hashes ascending, EMPTY in free slots."""
    contexts: NDArray[np.uint64]
    """(C,): hashes of all contexts of the half, ascending."""
    starts: Int
    """(C + 1,): where each context's sides begin."""
    sides: NDArray[np.int32]
    """Sides by context."""
    bounds: NDArray[np.uint64]
    """(S,): below it a side's sample is complete."""
    sizes: Int
    """(S,): contexts in each sample below its bound."""

    @classmethod
    def build(cls, samples: Sequence[NDArray[np.uint64]], contexts: NDArray[np.uint64]) -> CoActivation:
        """By counting: two passes over the samples, of which only a block is in memory."""
        starts = np.zeros(len(contexts) + 1, np.int64)
        for _, ranks in _blocks(samples, contexts):
            np.add.at(starts, ranks + 1, 1)
        starts = starts.cumsum()
        sides, free = np.empty(starts[-1], np.int32), starts[:-1].copy()
        for block, ranks in _blocks(samples, contexts):
            first = np.flatnonzero(np.diff(ranks, prepend=-1))
            counts = np.diff(first, append=len(ranks))
            sides[free[ranks] + ranges(np.zeros_like(counts), counts)] = block
            free[ranks[first]] += counts
        bounds = np.concatenate([sample[:, -1] for sample in samples])
        sizes = np.bincount(sides, minlength=len(bounds)) - (bounds != EMPTY)
        return cls(samples, contexts, starts, sides, bounds, sizes)

    def nearest(self, side: int, n: int) -> list[tuple[int, float, float]]:
        """Up to n other sides with their Jaccard index and its standard error; ties by side."""
        bound = self.bounds[side]
        mine = self._samples(np.array([side]))[0]
        mine = mine[mine < bound]
        candidates, shared = self._shared(side, mine)
        limits = np.minimum(bound, self.bounds[candidates])
        least = np.searchsorted(mine, limits)
        least += np.where(limits == self.bounds[candidates], self.sizes[candidates] - shared, 0)
        ceilings = shared / least
        rows = np.arange(len(candidates))
        if len(rows) > max(n, LIKELY):
            likely = np.argpartition(-ceilings, max(n, LIKELY))[: max(n, LIKELY)]
            either = self._either(mine, candidates[likely], limits[likely], shared[likely])
            rows = np.flatnonzero(ceilings >= np.partition(shared[likely] / either, -n)[-n])
        candidates, limits, shared = candidates[rows], limits[rows], shared[rows]
        jaccard, error = _jaccard(shared, self._either(mine, candidates, limits, shared), limits)
        best = np.argsort(-jaccard, kind="stable")[:n]
        return list(zip(candidates[best].tolist(), jaccard[best].tolist(), error[best].tolist(), strict=True))

    def _shared(self, side: int, mine: NDArray[np.uint64]) -> tuple[Int, Int]:
        """Other sides with contexts in common below both bounds, and how many."""
        ranks = np.searchsorted(self.contexts, mine)
        counts = self.starts[ranks + 1] - self.starts[ranks]
        sides = self.sides[ranges(self.starts[ranks], counts)]
        sides = sides[np.repeat(mine, counts) < self.bounds[sides]]
        shared = np.bincount(sides, minlength=side + 1)
        shared[side] = 0
        candidates = np.flatnonzero(shared > 0)
        return candidates, shared[candidates]

    def _either(self, mine: NDArray[np.uint64], others: Int, limits: NDArray[np.uint64], shared: Int) -> Int:
        """Contexts below the limits that are in this sample or in each other one."""
        theirs = (self._samples(others) < limits[:, None]).sum(1)
        either: Int = np.searchsorted(mine, limits) + theirs - shared
        return either

    def _samples(self, sides: Int) -> NDArray[np.uint64]:
        """(n, U) hashes of the samples of n sides."""
        out = np.empty((len(sides), self.samples[0].shape[1]), np.uint64)
        first = 0
        for sample in self.samples:
            rows = np.flatnonzero((sides >= first) & (sides < first + len(sample)))
            out[rows] = sample[sides[rows] - first]
            first += len(sample)
        return out


def nearest_directions(dictionary: Dictionary, index: int, n: int) -> tuple[tuple[int, float], ...]:
    """The n other units whose directions have the largest cosine with that of unit `index`, and the cosines.

    Raises:
        UserError: units of the dictionary have no direction of their own.
    """
    import torch

    directions = directions_of(dictionary).detach()
    lengths = torch.linalg.vector_norm(directions, dim=1, dtype=torch.float32)
    cosines = (directions @ directions[index]).float() / (lengths * lengths[index]).clamp_min(1e-30)
    cosines[index] = -torch.inf
    values, units = cosines.topk(min(n, len(directions) - 1))
    return tuple(zip(units.tolist(), values.tolist(), strict=True))


def _jaccard(
    shared: Int, either: Int, limits: NDArray[np.uint64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    unknown = np.where(limits == EMPTY, 0.0, 1 - limits / 2**64)
    p = (shared + 1) / (either + 2)
    return shared / either, np.sqrt(p * (1 - p) / either * unknown)


def _blocks(samples: Sequence[NDArray[np.uint64]], contexts: NDArray[np.uint64]) -> Iterator[tuple[Int, Int]]:
    """Sides, and the ranks among the contexts of what is in their samples, by rank, a block of sides at a time."""
    before = 0
    for sample in samples:
        for start in range(0, len(sample), SIDES_AT_ONCE):
            hashes = sample[start : start + SIDES_AT_ONCE]
            sides, slots = np.nonzero(hashes != EMPTY)
            ranks = np.searchsorted(contexts, hashes[sides, slots])
            order = np.argsort(ranks, kind="stable")
            yield sides[order] + before + start, ranks[order]
        before += len(sample)
