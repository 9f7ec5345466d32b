"""The coordinated bottom-k sketch: what is kept of every unit, in memory that does not grow with the corpus.

1. Every context has a hash, uniform over [0, 2^64) and the same for every unit.
2. A unit is active in a context where its peak (largest activation there) exceeds its threshold.
3. `top` keeps the K active contexts with the largest peaks, ties broken by hash.
4. `uniform` keeps the U active contexts with the smallest hashes: a uniform sample of the active contexts,
   coordinated between units (Cohen & Kaplan 2007, "Summarizing data using bottom-k sketches").
5. Where `uniform` is not full it holds all active contexts. Where it is full, let tau be its largest hash: a
   context with a smaller hash that is not in it was not active. So negatives need no second pass.
6. Two sketches of disjoint context sets merge by keeping the best of both. All sums are integers. So shards,
   their order and their number do not change a byte of the result.

A signed dictionary has two sides a unit: row i is unit i's positive side, row N + i its negative side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

EMPTY = np.uint64(2**64 - 1)
"""Hash of a free slot. No context has it."""
BINS = 40
"""Histogram bins: half octaves of the peak, from 2^-8 (and less) to 2^12 (and more)."""
FIXED_POINT = 2**16
"""Peaks are summed as integers in units of 1/65536, because float sums depend on their order."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """The sketch of S sides, K top and U uniform slots, windows of W tokens. Free slots come last."""

    top_hashes: NDArray[np.uint64]
    """(S, K), by descending peak."""
    top_peaks: NDArray[np.float32]
    """(S, K), 0 in free slots."""
    top_windows: NDArray[np.float16]
    """(S, K, W): the activation of each token as a share of the peak, 0 beyond the context's end."""
    uniform_hashes: NDArray[np.uint64]
    """(S, U), ascending."""
    uniform_peaks: NDArray[np.float32]
    """(S, U)."""
    uniform_windows: NDArray[np.float16]
    """(S, U, W)."""
    n_contexts: NDArray[np.int64]
    """(1,): contexts read."""
    n_active: NDArray[np.int64]
    """(S,): contexts in which the side was active."""
    peak_sum: NDArray[np.int64]
    """(S,): sum of the active peaks, times FIXED_POINT."""
    maximum: NDArray[np.float32]
    """(S,): the largest activation, active or not."""
    histogram: NDArray[np.int64]
    """(S, BINS): active contexts by peak."""

    @classmethod
    def empty(cls, sides: int, top: int, uniform: int, width: int) -> Sketch:
        """A sketch that has read nothing."""
        return cls(
            top_hashes=np.full((sides, top), EMPTY),
            top_peaks=np.zeros((sides, top), np.float32),
            top_windows=np.zeros((sides, top, width), np.float16),
            uniform_hashes=np.full((sides, uniform), EMPTY),
            uniform_peaks=np.zeros((sides, uniform), np.float32),
            uniform_windows=np.zeros((sides, uniform, width), np.float16),
            n_contexts=np.zeros(1, np.int64),
            n_active=np.zeros(sides, np.int64),
            peak_sum=np.zeros(sides, np.int64),
            maximum=np.zeros(sides, np.float32),
            histogram=np.zeros((sides, BINS), np.int64),
        )

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Every field by name, as it is stored."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Sketch:
        """The inverse of `arrays`."""
        return cls(**arrays)  # type: ignore[arg-type]

    def add(
        self,
        hashes: NDArray[np.uint64],
        activations: NDArray[np.float32],
        thresholds: NDArray[np.float32],
    ) -> Sketch:
        """This sketch after C more contexts, none of which it has read.

        Args:
            hashes: (C,), the contexts' hashes, distinct.
            activations: (C, W, N) by token, 0 beyond each context's end. N is S, or S / 2 where signed.
            thresholds: (S,), at least 0: what active means.
        """
        sides, units = len(self.n_active), activations.shape[2]
        peaks = activations.max(1)
        if sides == 2 * units:
            peaks = np.concatenate([peaks, -activations.min(1)], 1)
        peaks = np.maximum(peaks, np.float32(0)).T  # (S, C)
        active = peaks > thresholds[:, None]
        rank = np.where(active, peaks, np.float32(0))
        keys = np.where(active, hashes, EMPTY)
        batch = _Batch(keys, rank, activations)
        top_hashes, top_peaks, top_windows = _best_peaks(self, batch)
        uniform_hashes, uniform_peaks, uniform_windows = _smallest_hashes(self, batch)
        return Sketch(
            top_hashes,
            top_peaks,
            top_windows,
            uniform_hashes,
            uniform_peaks,
            uniform_windows,
            n_contexts=self.n_contexts + len(hashes),
            n_active=self.n_active + active.sum(1),
            peak_sum=self.peak_sum + np.rint(rank.astype(np.float64) * FIXED_POINT).astype(np.int64).sum(1),
            maximum=np.maximum(self.maximum, peaks.max(1, initial=0)),
            histogram=self.histogram + _histogram(rank, active),
        )

    def merge(self, other: Sketch) -> Sketch:
        """The sketch of both sets of contexts, which must be disjoint."""
        if any(a.shape != other.arrays()[name].shape for name, a in self.arrays().items()):
            raise ValueError("only sketches of the same shape merge")
        tops = _Stored(other.top_hashes, other.top_peaks, other.top_windows)
        uniforms = _Stored(other.uniform_hashes, other.uniform_peaks, other.uniform_windows)
        top_hashes, top_peaks, top_windows = _best_peaks(self, tops)
        uniform_hashes, uniform_peaks, uniform_windows = _smallest_hashes(self, uniforms)
        return replace(
            self,
            top_hashes=top_hashes,
            top_peaks=top_peaks,
            top_windows=top_windows,
            uniform_hashes=uniform_hashes,
            uniform_peaks=uniform_peaks,
            uniform_windows=uniform_windows,
            n_contexts=self.n_contexts + other.n_contexts,
            n_active=self.n_active + other.n_active,
            peak_sum=self.peak_sum + other.peak_sum,
            maximum=np.maximum(self.maximum, other.maximum),
            histogram=self.histogram + other.histogram,
        )


def certified_below(uniform_hashes: NDArray[np.uint64]) -> np.uint64:
    """(U,) to tau: contexts with a smaller hash that are not in the sample were not active."""
    return np.uint64(uniform_hashes[-1])  # EMPTY, above every hash, where the sample is not full


def histogram_edges() -> NDArray[np.float64]:
    """(BINS + 1,): the peaks that bound the bins; the outermost bins are open."""
    return 2.0 ** ((np.arange(BINS + 1) - 16) / 2)


_Slots = tuple[NDArray[np.uint64], NDArray[np.float32], NDArray[np.float16]]
"""Hashes, peaks and windows."""


@dataclass(frozen=True, slots=True)
class _Stored:
    """Candidates that are kept slots of another sketch."""

    keys: NDArray[np.uint64]
    peaks: NDArray[np.float32]
    windows: NDArray[np.float16]

    def gather(self, sides: NDArray[np.int64], slots: NDArray[np.int64]) -> NDArray[np.float16]:
        return self.windows[sides, slots]


@dataclass(frozen=True, slots=True)
class _Batch:
    """Candidates that are contexts just read, the same for every side."""

    keys: NDArray[np.uint64]
    peaks: NDArray[np.float32]
    activations: NDArray[np.float32]

    def gather(self, sides: NDArray[np.int64], slots: NDArray[np.int64]) -> NDArray[np.float16]:
        units = self.activations.shape[2]
        sign = np.where(sides < units, np.float32(1), np.float32(-1))
        windows = self.activations[slots, :, sides % units] * sign[:, None]
        # As shares of the peak: half precision then neither overflows nor loses small units.
        return (np.maximum(windows, np.float32(0)) / self.peaks[sides, slots, None]).astype(np.float16)


def _best_peaks(old: Sketch, new: _Stored | _Batch) -> _Slots:
    hashes = np.concatenate([old.top_hashes, new.keys], 1)
    peaks = np.concatenate([old.top_peaks, new.peaks], 1)
    order = np.lexsort((hashes, -peaks), axis=1)[:, : old.top_hashes.shape[1]]
    return _take(order, hashes, peaks, old.top_windows, new)


def _smallest_hashes(old: Sketch, new: _Stored | _Batch) -> _Slots:
    hashes = np.concatenate([old.uniform_hashes, new.keys], 1)
    peaks = np.concatenate([old.uniform_peaks, new.peaks], 1)
    order = np.argsort(hashes, axis=1, kind="stable")[:, : old.uniform_hashes.shape[1]]
    return _take(order, hashes, peaks, old.uniform_windows, new)


def _take(
    order: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    peaks: NDArray[np.float32],
    old_windows: NDArray[np.float16],
    new: _Stored | _Batch,
) -> _Slots:
    """Hashes, peaks and windows in `order`; only the windows that come in or move are copied."""
    hashes, peaks = np.take_along_axis(hashes, order, 1), np.take_along_axis(peaks, order, 1)
    slots = order.shape[1]
    windows = np.zeros((*order.shape, old_windows.shape[2]), np.float16)
    filled = hashes != EMPTY
    kept = (order < slots) & filled
    sides, at = np.nonzero(kept)
    windows[sides, at] = old_windows[sides, order[sides, at]]
    sides, at = np.nonzero(~kept & filled)
    windows[sides, at] = new.gather(sides, order[sides, at] - slots)
    return hashes, peaks, windows


def _histogram(rank: NDArray[np.float32], active: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(S, C) peaks to (S, BINS) counts of the active ones."""
    bins = np.searchsorted(histogram_edges()[1:-1], rank, side="right") + np.arange(len(rank))[:, None] * BINS
    return np.bincount(bins[active], minlength=len(rank) * BINS).reshape(-1, BINS)
