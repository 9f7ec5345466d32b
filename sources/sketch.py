"""The coordinated bottom-k sketch: what is kept of every unit, in memory that does not grow with the corpus.

1. Every context has a hash, uniform over [0, 2^64) and the same for every unit.
2. A unit is active in a context where its peak (largest activation there) exceeds its threshold.
3. `top` keeps the K active contexts with the largest peaks, ties broken by hash.
4. `uniform` keeps the U active contexts with the smallest hashes: a uniform sample of the active contexts,
   coordinated between units (Cohen & Kaplan 2007, "Summarizing data using bottom-k sketches").
5. Where `uniform` is not full it holds all active contexts. Where it is full, let tau be its largest hash: a
   context with a smaller hash that is not in it was not active. So negatives need no second pass.
6. A pair that its side's worst kept context beats is dropped before its activations are read. As a sketch fills,
   that is nearly every pair.
7. Two sketches of disjoint context sets merge by keeping the best of both. All sums are integers. So shards,
   their order and their number do not change a byte of the result.

A signed dictionary has two sides a unit: row i is unit i's positive side, row N + i its negative side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurogloss.sources.pairs import Int, Pairs, ranges

EMPTY = np.uint64(2**64 - 1)
"""Hash of a free slot. No context has it."""
BINS = 40
"""Histogram bins: half octaves of the peak, from 2^-8 (and less) to 2^12 (and more)."""
FIXED_POINT = 2**16
"""Peaks are summed as integers in units of 1/65536, because float sums depend on their order."""


PARTS = ("hashes", "peaks", "windows")
COUNTS = ("n_contexts", "n_active", "peak_sum", "histogram")
SIDES_AT_ONCE = 1_024
"""When a sample is sorted: bounds the copy that sorting takes."""
WINDOWS_AT_ONCE = 2**15
"""When windows enter a sample: bounds the copies that making them takes."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Up to K contexts of each of S sides. The arrays are the sample's own, and change as it takes pairs in."""

    by_peak: bool
    """Whether the largest peaks are kept (ties broken by hash), or the smallest hashes."""
    hashes: NDArray[np.uint64]
    """(S, K), EMPTY in free slots; in no order until `sort`."""
    peaks: NDArray[np.float32]
    """(S, K), 0 in free slots."""
    windows: NDArray[np.float16]
    """(S, K, W): the activation of each token as a share of the peak, 0 beyond the context's end."""

    @classmethod
    def empty(cls, by_peak: bool, sides: int, slots: int, width: int) -> Sample:
        return cls(
            by_peak,
            np.full((sides, slots), EMPTY),
            np.zeros((sides, slots), np.float32),
            np.zeros((sides, slots, width), np.float16),
        )

    def take(self, pairs: Pairs) -> None:
        """Keep what is among the best of its side. What stays keeps its slot."""
        rows = self._promising(pairs)
        sides, row, counts = np.unique(pairs.sides[rows], return_inverse=True, return_counts=True)
        if not len(sides):
            return
        offered = np.full((len(sides), counts.max()), -1)
        offered[row, _places(counts)] = rows
        free, slots = offered < 0, self.hashes.shape[1]
        hashes = np.concatenate([self.hashes[sides], np.where(free, EMPTY, pairs.hashes[offered])], 1)
        peaks = np.concatenate([self.peaks[sides], np.where(free, np.float32(0), pairs.peaks[offered])], 1)
        kept = np.zeros(hashes.shape, bool)
        np.put_along_axis(kept, self._order(hashes, peaks)[:, :slots], True, 1)
        entering = kept[:, slots:] & ~free
        leaving = ~kept[:, :slots]
        # Free slots tie with one another, so that more may leave than enter.
        leaving &= leaving.cumsum(1) <= entering.sum(1, keepdims=True)
        side, slot = np.nonzero(leaving)
        side, new = sides[side], offered[entering]
        self.hashes[side, slot] = pairs.hashes[new]
        self.peaks[side, slot] = pairs.peaks[new]
        for start in range(0, len(new), WINDOWS_AT_ONCE):
            some = slice(start, start + WINDOWS_AT_ONCE)
            self.windows[side[some], slot[some]] = pairs.windows(new[some])

    def sort(self) -> None:
        """Best first, free slots last."""
        for start in range(0, len(self.hashes), SIDES_AT_ONCE):
            block = slice(start, start + SIDES_AT_ONCE)
            order = self._order(self.hashes[block], self.peaks[block])
            for array in (self.hashes, self.peaks):
                array[block] = np.take_along_axis(array[block], order, 1)
            self.windows[block] = np.take_along_axis(self.windows[block], order[:, :, None], 1)

    def pairs(self) -> Pairs:
        """What is kept, as another sample takes it in."""
        sides, slots = np.nonzero(self.hashes != EMPTY)
        order = np.lexsort((self.hashes[sides, slots], sides))
        sides, slots = sides[order], slots[order]

        def windows(rows: Int) -> NDArray[np.float16]:
            found: NDArray[np.float16] = self.windows[sides[rows], slots[rows]]
            return found

        return Pairs(sides, self.hashes[sides, slots], self.peaks[sides, slots], windows)

    def _promising(self, pairs: Pairs) -> Int:
        """Rows of the pairs that may be kept, by side and best first, K a side at most."""
        if self.by_peak:
            rows = np.flatnonzero(pairs.peaks >= self.peaks.min(1)[pairs.sides])
            rows = rows[np.lexsort((-pairs.peaks[rows], pairs.sides[rows]))]  # stable: ties stay by hash
        else:
            rows = np.flatnonzero(pairs.hashes < self.hashes.max(1)[pairs.sides])
        first = np.flatnonzero(np.diff(pairs.sides[rows], prepend=-1))
        best: Int = rows[_places(np.diff(first, append=len(rows))) < self.hashes.shape[1]]
        return best

    def _order(self, hashes: NDArray[np.uint64], peaks: NDArray[np.float32]) -> Int:
        """(n, m) to the columns of each row, best first."""
        order: Int = np.lexsort((hashes, -peaks), axis=1) if self.by_peak else np.argsort(hashes, axis=1)
        return order


@dataclass(frozen=True, slots=True)
class Sketch:
    """The sketch of S sides, K top and U uniform slots, windows of W tokens. It grows in place."""

    top: Sample
    uniform: Sample
    n_contexts: NDArray[np.int64]
    """(1,): contexts read."""
    n_active: NDArray[np.int64]
    """(S,): contexts in which the side was active."""
    peak_sum: NDArray[np.int64]
    """(S,): sum of the active peaks, times FIXED_POINT."""
    histogram: NDArray[np.int64]
    """(S, BINS): active contexts by peak."""

    @classmethod
    def empty(cls, sides: int, top: int, uniform: int, width: int) -> Sketch:
        """A sketch that has read nothing."""
        return cls(
            Sample.empty(True, sides, top, width),
            Sample.empty(False, sides, uniform, width),
            n_contexts=np.zeros(1, np.int64),
            n_active=np.zeros(sides, np.int64),
            peak_sum=np.zeros(sides, np.int64),
            histogram=np.zeros((sides, BINS), np.int64),
        )

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Every array by name, as it is stored."""
        samples = {
            f"{name}_{part}": getattr(getattr(self, name), part) for name in ("top", "uniform") for part in PARTS
        }
        return samples | {name: getattr(self, name) for name in COUNTS}

    @staticmethod
    def names() -> list[str]:
        """Of the arrays."""
        return [f"{sample}_{part}" for sample in ("top", "uniform") for part in PARTS] + list(COUNTS)

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Sketch:
        """The inverse of `arrays`; the arrays are the sketch's own from then on."""
        samples = {
            name: Sample(name == "top", *(arrays[f"{name}_{part}"] for part in PARTS))  # type: ignore[arg-type]
            for name in ("top", "uniform")
        }
        return cls(**samples, **{name: arrays[name] for name in COUNTS})  # type: ignore[arg-type]

    def sort(self) -> None:
        """Put both samples in order: only then do equal sketches have equal bytes."""
        self.top.sort()
        self.uniform.sort()

    def take(self, pairs: Pairs, n_contexts: int) -> None:
        """Take in the active pairs of more contexts, none of which it has read."""
        self.top.take(pairs)
        self.uniform.take(pairs)
        self.n_contexts[0] += n_contexts
        fixed = np.rint(pairs.peaks.astype(np.float64) * FIXED_POINT).astype(np.int64)
        np.add.at(self.n_active, pairs.sides, 1)
        np.add.at(self.peak_sum, pairs.sides, fixed)
        bins = np.searchsorted(histogram_edges()[1:-1], pairs.peaks, side="right")
        np.add.at(self.histogram, (pairs.sides, bins), 1)

    def merge(self, other: Sketch) -> None:
        """Take in what another sketch has read; the two sets of contexts must be disjoint."""
        if any(
            getattr(mine, part).shape != getattr(theirs, part).shape
            for mine, theirs in ((self.top, other.top), (self.uniform, other.uniform))
            for part in PARTS
        ):
            raise ValueError("only sketches of the same shape merge")
        self.top.take(other.top.pairs())
        self.uniform.take(other.uniform.pairs())
        for name in COUNTS:
            count: NDArray[np.int64] = getattr(self, name)
            count += getattr(other, name)


def certified_below(uniform_hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """(…, U) to tau (…): contexts with a smaller hash that are not in the sample were not active."""
    return uniform_hashes.max(-1)  # type: ignore[no-any-return]  # EMPTY, above every hash, where the sample is not full


def histogram_edges() -> NDArray[np.float64]:
    """(BINS + 1,): the peaks that bound the bins; the outermost bins are open."""
    return 2.0 ** ((np.arange(BINS + 1) - 16) / 2)


def _places(counts: Int) -> Int:
    """0, 1, … count - 1 for each count, one after another."""
    return ranges(np.zeros_like(counts), counts)
