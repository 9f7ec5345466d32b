"""Where in an image a unit is active: its map, upsampled, above the quantile that was set in the pass.

1. The map is upsampled bilinearly. A cell's value stands in the middle of its receptive field where that is known
   (`neurogloss.sources.vision.geometry`), else of the area that it covers of an image that cells cover evenly.
2. The mask is where the upsampled map exceeds the unit's 0.99 quantile over all cells of all images (Hernandez et
   al. 2022, arXiv:2201.11114; after Bau et al. 2017, arXiv:1704.05796).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neurogloss.errors import UserError
from neurogloss.ids import UnitId
from neurogloss.protocols import Float32
from neurogloss.records import Example
from neurogloss.sources.cache import Cache, read_arrays
from neurogloss.sources.dictionaries.activations import Codes
from neurogloss.sources.vision.geometry import Axis, Geometry, read

if TYPE_CHECKING:
    import torch

FILE = "masks.safetensors"
"""In the cache: by site, (sides,) float32."""


def threshold(cache: Cache, unit: UnitId) -> float:
    """What a cell has to exceed to be in the unit's mask. Raises UserError where the run is not of images."""
    if not (cache.path / FILE).is_file():
        raise UserError(
            f"Expected a run of images in {cache.path.parent}, found one of {cache.measure}: no mask there."
        )
    return float(read_arrays(cache.path / FILE)[cache.site(unit).name][cache.side(unit)])


def geometry(cache: Cache, unit: UnitId) -> Geometry | None:
    """Where in an image the cells look that the unit's activations are of; None where that is not known."""
    return read(cache.path).get(unit.hookpoint)


def mask(
    example: Example, above: float, size: tuple[int, int], geometry: Geometry | None = None
) -> NDArray[np.bool_]:
    """(height, width): where the unit is active in the example's image.

    Args:
        above: of the unit, as `threshold` gives it. Where even the peak is not above it, the mask is empty.
        geometry: of the unit; None: cells cover the image evenly.
    """
    return upsampled(example, size, geometry) > above


def upsampled(example: Example, size: tuple[int, int], geometry: Geometry | None = None) -> Float32:
    """(height, width): the unit's activations over the example's image."""
    if example.grid is None:
        raise ValueError("only an example of an image has a map")
    found = np.array(example.activations, np.float32).reshape(example.grid)
    for axis, wanted in enumerate(size):
        found = _stretched(found, axis, wanted, geometry[axis] if geometry else Axis.even(example.grid[axis]))
    return found


def _stretched(values: Float32, axis: int, wanted: int, middles: Axis) -> Float32:
    """Linear interpolation between the cells' middles along an axis; beyond the outermost their values go on."""
    cells = values.shape[axis]
    at = np.clip(((np.arange(wanted) + 0.5) / wanted - middles.first) / middles.step, 0, cells - 1)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, cells - 1)
    share = (at - low).astype(np.float32)
    share = share[:, None] if axis == 0 else share
    stretched: Float32 = values.take(low, axis) * (1 - share) + values.take(high, axis) * share
    return stretched


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
