"""From codes to what a sketch takes in: the active pairs of a unit's side and a context, each with its peak.

1. Contexts are ranked by their hashes, so that pairs sorted by side and rank are sorted by side and hash.
2. Sparse codes are one entry a kept value. Entries are sorted by side and rank of their context, once; each run
   of entries with one side and context is a pair, its largest value the peak. Nothing is scattered into a buffer
   of tokens times units.
3. Of dense codes the largest value in each context is taken, for both signs, where the codes are; what lies above
   the side's threshold is a pair.
4. The activations by token of a pair are read, and leave their device, only where a sketch keeps it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neurogloss.sources.dictionaries.activations import Codes

if TYPE_CHECKING:
    import torch

Int = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pairs:
    """P active pairs, by side and then by hash. A side and a hash occur together once."""

    sides: Int
    """(P,)"""
    hashes: NDArray[np.uint64]
    """(P,)"""
    peaks: NDArray[np.float32]
    """(P,), above 0."""
    windows: Callable[[Int], NDArray[np.float16]]
    """Rows (n,) to (n, W): the activation of each token as a share of the peak, 0 beyond the context's end."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Where C contexts lie among the vectors of a batch."""

    hashes: NDArray[np.uint64]
    """(C,)"""
    starts: Int
    """(C,): the first vector of each."""
    lengths: Int
    """(C,): vectors in each, one at least."""

    def __len__(self) -> int:
        return len(self.hashes)

    def take(self, rows: Int) -> Cut:
        """Some of the contexts."""
        return Cut(self.hashes[rows], self.starts[rows], self.lengths[rows])


@dataclass(frozen=True, slots=True)
class Entries:
    """Sparse codes of T vectors: one entry a value that is not zero, in the order of the vectors."""

    vectors: Int
    """(E,): which vector, ascending."""
    units: Int
    """(E,)"""
    values: NDArray[np.float32]
    """(E,)"""

    @classmethod
    def of_codes(cls, codes: Codes) -> Entries:
        """Zeros are left out where the codes are, on their device."""
        at = codes.values.nonzero(as_tuple=True)
        units = at[1] if codes.units is None else codes.units[at]
        values = codes.values[at].float()
        return cls(at[0].cpu().numpy(), units.long().cpu().numpy(), values.cpu().numpy())


def pairs_of_entries(entries: Entries, cut: Cut, n_units: int, signed: bool, width: int) -> Pairs:
    """Every pair whose peak is above 0.

    Args:
        signed: negative values belong to side n_units + unit; otherwise they are inactive.
        width: W, at least the length of the longest context.
    """
    cut = cut.take(np.argsort(cut.hashes))
    vectors, units, values = entries.vectors, entries.units, entries.values
    n_vectors = int(max(vectors.max(initial=-1) + 1, (cut.starts + cut.lengths).max(initial=0)))
    context = np.full(n_vectors, -1)
    inside = ranges(cut.starts, cut.lengths)
    context[inside] = np.repeat(np.arange(len(cut)), cut.lengths)
    used = context[vectors] >= 0
    if not signed:
        used &= values > 0
    if not used.all():
        vectors, units, values = vectors[used], units[used], values[used]
    if signed:
        units, values = units + n_units * (values < 0), np.abs(values)
    # Key and place in one number: sorting numbers is several times faster than finding the order of others.
    places = len(units).bit_length()
    ordered = np.sort((units * len(cut) + context[vectors] << places) + np.arange(len(units)))
    order, keys = ordered & ((1 << places) - 1), ordered >> places
    values, vectors = values[order], vectors[order]
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    sides, ranks = np.divmod(keys[first], max(len(cut), 1))
    peaks = np.maximum.reduceat(values, first) if len(first) else values
    counts = np.diff(first, append=len(keys))

    def windows(rows: Int) -> NDArray[np.float16]:
        out = np.zeros((len(rows), width), np.float32)
        mine = ranges(first[rows], counts[rows])
        row = np.repeat(np.arange(len(rows)), counts[rows])
        out[row, vectors[mine] - cut.starts[ranks[rows]][row]] = values[mine]
        return _shares(out, peaks[rows])

    return Pairs(sides, cut.hashes[ranks], peaks, windows)


def pairs_of_dense(codes: Codes, cut: Cut, thresholds: NDArray[np.float32], width: int) -> Pairs:
    """Every pair whose peak is above the side's threshold.

    Args:
        thresholds: (S,), at least 0; S is twice the number of units where the dictionary is signed.
    """
    import torch

    cut = cut.take(np.argsort(cut.hashes))
    peaks = peaks_of_dense(codes, cut, signed=len(thresholds) == 2 * codes.n_units)
    active = (peaks > torch.from_numpy(thresholds).to(peaks.device)[:, None]).nonzero(as_tuple=True)
    found = peaks[active].cpu().numpy()
    sides, ranks = (index.cpu().numpy() for index in active)

    def windows(rows: Int) -> NDArray[np.float16]:
        units, context = sides[rows] % codes.n_units, ranks[rows]
        at = cut.starts[context, None] + np.arange(width)
        inside = np.arange(width) < cut.lengths[context, None]
        index = torch.from_numpy(np.minimum(at, len(codes.values) - 1) * codes.n_units + units[:, None])
        values = codes.values.take(index.to(peaks.device)).float().cpu().numpy()
        sign = np.where(sides[rows] < codes.n_units, np.float32(1), np.float32(-1))
        return _shares(np.where(inside, np.maximum(values * sign[:, None], 0), np.float32(0)), found[rows])

    return Pairs(sides, cut.hashes[ranks], found, windows)


def peaks_of_dense(codes: Codes, cut: Cut, signed: bool) -> torch.Tensor:
    """(S, C) float32, where the codes are: each side's largest activation in each context, 0 at least."""
    import torch

    values = codes.values
    bounds = list(zip(cut.starts.tolist(), (cut.starts + cut.lengths).tolist(), strict=True))
    if not bounds:
        return torch.zeros(codes.n_units * (2 if signed else 1), 0, device=values.device)
    ends = [torch.stack([values[a:b].amax(0) for a, b in bounds], 1)]
    if signed:
        ends.append(torch.stack([-values[a:b].amin(0) for a, b in bounds], 1))
    return torch.cat(ends).clamp_min(0).float()


def _shares(windows: NDArray[np.float32], peaks: NDArray[np.float32]) -> NDArray[np.float16]:
    """As shares of the peak: half precision then neither overflows nor loses small units."""
    shares: NDArray[np.float16] = (windows / peaks[:, None]).astype(np.float16)
    return shares


def ranges(starts: Int, lengths: Int) -> Int:
    """start, start + 1, … for each start and length, one after another."""
    ends = np.cumsum(lengths)
    shifts = np.repeat(starts - ends + lengths, lengths)
    return shifts + np.arange(len(shifts))
