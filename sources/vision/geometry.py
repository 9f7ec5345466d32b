"""Where in the image the cells of a map look: the middles of their receptive fields.

1. In images that are four times as long along an axis, one line of pixels is made NaN, another one in each, and
   they are read up to the hookpoint: a position is NaN where the line lies in its receptive field, since no layer
   makes a number of a NaN again. The lines lie in the middle of the images, away from their borders.
2. The first and the last line that a position sees are the edges of its receptive field. A straight line over the
   positions is fitted to either edge.
3. A position's middle is halfway between the edges. Where strides come with padding, or convolutions without any,
   that is not where it would lie if cells covered the image evenly.
4. Where edges are not seen or are no straight line (attention, pooling over all of the image), or other sizes are
   not read, cells are taken to cover the image evenly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neurogloss.folder import replace_file
from neurogloss.ids import canonical_json
from neurogloss.protocols import Progress
from neurogloss.sources.hookpoints import Hookpoint

if TYPE_CHECKING:
    from neurogloss.sources.vision.subject import VisionSubject

FILE = "geometry.json"
"""In the cache: by hookpoint, the two axes."""
EDGES = 2
"""Edges of each kind that lie among the lines, at least."""
LONGER = 4
"""How much longer the images are that lines are tried in."""
STRAIGHT = 0.25
"""Cells that an edge may lie beside its line at most."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Middles of cells along one side of the image, as shares of it."""

    first: float
    step: float

    @classmethod
    def even(cls, cells: int) -> Axis:
        """Cells that cover the side."""
        return cls(0.5 / cells, 1 / cells)

    def pooled(self, positions: int, cells: int) -> Axis:
        """Of cells that hold several of the positions each."""
        ratio = positions / cells
        return Axis(self.first + self.step * (ratio - 1) / 2, self.step * ratio)


Geometry = tuple[Axis, Axis]
"""Of rows, and of columns."""


def write(cache: Path, subject: VisionSubject, hookpoints: Sequence[Hookpoint], progress: Progress) -> None:
    """Write the file."""
    progress.start("where cells look", len(hookpoints), "hookpoints")
    found: dict[str, Geometry] = {}
    for hookpoint in hookpoints:
        found[str(hookpoint)] = probe(subject, hookpoint)
        progress.advance()
    stored = {name: [[axis.first, axis.step] for axis in axes] for name, axes in found.items()}
    replace_file(cache / FILE, canonical_json(stored).encode())


def read(cache: Path) -> Mapping[str, Geometry]:
    """By hookpoint; empty where nothing was written."""
    file = cache / FILE
    if not file.is_file():
        return {}
    stored = json.loads(file.read_text(encoding="utf-8"))
    return {name: (Axis(*rows), Axis(*columns)) for name, (rows, columns) in stored.items()}


def probe(subject: VisionSubject, hookpoint: Hookpoint) -> Geometry:
    """Where the cells at a hookpoint look."""
    cells = subject.cells(hookpoint)
    found = []
    for axis, (positions, kept) in enumerate(zip((cells.rows, cells.columns), cells.grid, strict=True)):
        side = subject.preprocess.size[axis]
        lines = side * LONGER // 2 + np.arange(EDGES * -(-side // positions) + 1)
        seen = subject.seeing(hookpoint, axis, lines, LONGER) if positions > 1 else None
        fitted = None if seen is None else middles(seen, (lines + 0.5) / side)
        found.append((fitted or Axis.even(positions)).pooled(positions, kept))
    return found[0], found[1]


def middles(seen: NDArray[np.bool_], at: NDArray[np.float64]) -> Axis | None:
    """From the lines (L, positions) that each position sees; None where the edges do not say.

    Args:
        at: (L,): where the lines lie, as shares of the side, ascending.
    """
    between = (at[1:] + at[:-1]) / 2
    low = _edge(seen, between)
    high = _edge(seen[::-1], between[::-1])
    return Axis((low[0] + high[0]) / 2, (low[1] + high[1]) / 2) if low and high else None


def _edge(seen: NDArray[np.bool_], between: NDArray[np.float64]) -> tuple[float, float] | None:
    """Where the lines begin that each position sees, as a straight line over positions: start and step."""
    first = seen.argmax(0)
    known = np.flatnonzero(seen.any(0) & (first > 0))
    if len(known) < 2:
        return None
    edges = between[first[known] - 1]
    step, start = np.polyfit(known, edges, 1)
    spacing = np.abs(np.diff(between)).max(initial=0)
    if step <= 0 or np.abs(start + step * known - edges).max() > max(STRAIGHT * step, spacing):
        return None
    return float(start), float(step)
