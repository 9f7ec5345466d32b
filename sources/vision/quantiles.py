"""A quantile of each unit's activations over all cells of all images, in bounded memory.

1. Each side of each unit counts its cells in 512 bins that are equally wide in log2, 16 an octave from 2^-16 on;
   the first holds what is smaller, the last what is larger. What is not above 0 is in none.
2. Counts are integers: their sums depend neither on order nor on how the images were divided.
3. The quantile is found in its bin by linear interpolation: it is off by the bin's width, 4.4 %, at most. In the
   first bin it is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neurogloss.protocols import Float32
from neurogloss.sources.codes import Codes

if TYPE_CHECKING:
    import torch

BINS = 512
PER_OCTAVE = 16
LOWEST = -16
"""log2 of where the second bin begins."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of all sides of a dictionary's units. It grows in place."""

    counts: NDArray[np.int64]
    """(sides, BINS): a signed dictionary's negative sides last."""
    cells: NDArray[np.int64]
    """(1,): cells read."""

    @classmethod
    def empty(cls, units: int, signed: bool) -> Histogram:
        """One that has read nothing."""
        return cls(np.zeros((units * (1 + signed), BINS), np.int64), np.zeros(1, np.int64))

    def take(self, codes: Codes) -> None:
        """Count more cells."""
        import torch

        sides, n = len(self.counts), codes.n_units
        units = torch.arange(n, device=codes.values.device) if codes.units is None else codes.units.long()
        for sign in (1, -1)[: sides // n]:
            at = units.expand_as(codes.values) + (n if sign < 0 else 0)
            values = sign * codes.values
            above = values > 0
            keys = at[above] * BINS + _bins(values[above])
            self.counts[:] += torch.bincount(keys, minlength=sides * BINS).cpu().numpy().reshape(sides, BINS)
        self.cells[0] += len(codes.values)

    def merge(self, other: Histogram) -> None:
        """Take in what another has counted."""
        self.counts[:] += other.counts
        self.cells[:] += other.cells

    def quantile(self, share: float) -> Float32:
        """(sides,): the value that `share` of the cells do not exceed; 0 where it is at most 2^-16."""
        above = np.cumsum(self.counts[:, ::-1], 1)[:, ::-1]
        """Cells in each bin and those after it."""
        wanted = (1 - share) * int(self.cells[0])
        bin_ = (above > wanted).sum(1) - 1
        rows = np.arange(len(self.counts))
        within = np.maximum(bin_, 1)
        here = self.counts[rows, within]
        rest = above[rows, within] - wanted
        part = np.divide(rest, here, out=np.zeros(len(rows)), where=here > 0)
        found = _edges()[within - 1] + np.clip(part, 0, 1) * (_edges()[within] - _edges()[within - 1])
        return np.where(bin_ < 1, 0, found).astype(np.float32)


def _bins(values: torch.Tensor) -> torch.Tensor:
    """Positive values to their bins."""
    return ((values.float().log2() - LOWEST) * PER_OCTAVE).floor().long().add(1).clamp(0, BINS - 1)


def _edges() -> NDArray[np.float64]:
    """(BINS,): where bin i + 1 begins."""
    return 2.0 ** (LOWEST + np.arange(BINS) / PER_OCTAVE)
