"""MILAN's exemplar folders: the top images of each unit of a layer, with their masks.

    images.npy       (units, k, 3, 224, 224) uint8
    masks.npy        (units, k, 1, 224, 224) uint8: 0, or 1 where the unit is active
    activations.csv  a row a unit: the peaks, descending
    ids.csv          a row a unit: which images these are, whole numbers (here half of the contexts' hashes)
    units.npy        (units,): which units of the layer; without it they count from 0

This is what MILAN, and MAIA after it, read and write, a folder a layer (Hernandez et al. 2022, arXiv:2201.11114).
Read, an image's activations are its peak within the mask and 0 outside, cell by cell of a 7 x 7 grid, and its
picture is a file that is written once.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from neurogloss.errors import UserError, first_line
from neurogloss.folder import replace_file
from neurogloss.ids import UnitId, hash64
from neurogloss.records import Context, Evidence, EvidenceHalf, Example, UnitStatistics
from neurogloss.sources.cache import Cache, Site
from neurogloss.sources.corpus import Half, half_of
from neurogloss.sources.vision import masks
from neurogloss.sources.vision.pictures import open_picture, require_pillow

SIDE = 224
TOP = 15
"""Images a unit that MILAN keeps."""
GRID = (7, 7)
"""Cells that a mask is read as."""


def write(cache: Cache, site: Site, folder: Path, half: Half | None = None, top: int = TOP) -> list[UnitId]:
    """Write the positive sides of a site's units that have `top` images, and return them.

    Args:
        half: whose images; None: of both halves, the largest peaks first.

    Raises:
        UserError: no unit has so many images.
    """
    chosen: dict[UnitId, list[Example]] = {}
    for index in range(site.units):
        unit = UnitId(cache.subject, site.hookpoint, site.dictionary, index)
        found = [e for h in ("explain", "score") if half in (None, h) for e in cache.examples(unit, h, "top")]
        if len(found) >= top:
            chosen[unit] = sorted(found, key=lambda example: -example.peak)[:top]
    if not chosen:
        raise UserError(
            f"Expected units of {site.hookpoint} with {top} images, found none. Collect more, or ask for fewer."
        )
    folder.mkdir(parents=True, exist_ok=True)
    images = open_memmap(folder / "images.npy", "w+", np.uint8, (len(chosen), top, 3, SIDE, SIDE))
    shown = open_memmap(folder / "masks.npy", "w+", np.uint8, (len(chosen), top, 1, SIDE, SIDE))
    for row, (unit, examples) in enumerate(chosen.items()):
        above = masks.threshold(cache, unit)
        for i, example in enumerate(examples):
            images[row, i] = _pixels(example.context.picture).transpose(2, 0, 1)
            shown[row, i, 0] = masks.mask(example, above, (SIDE, SIDE))
    images.flush()
    shown.flush()
    peaks = [[example.peak for example in found] for found in chosen.values()]
    np.savetxt(folder / "activations.csv", peaks, "%.5e", ",")
    ids = [[int(example.context.id, 16) >> 1 for example in found] for found in chosen.values()]
    np.savetxt(folder / "ids.csv", np.array(ids), "%i", ",")
    np.save(folder / "units.npy", np.array([unit.index for unit in chosen]), allow_pickle=False)
    return list(chosen)


@dataclass(frozen=True)
class Exemplars:
    """A folder of exemplars, its arrays mapped.

    Raises:
        UserError: a file is missing, or has another shape than the others say.
    """

    folder: Path
    layer: str
    """What unit ids call the hookpoint."""
    subject: str = "exemplars"
    captions: Mapping[str, str] | None = None
    """By image id: what explainers and judges that see no pictures read."""

    def __post_init__(self) -> None:
        n, k = self._images.shape[:2]
        wanted = {"images": (n, k, 3, *self._images.shape[3:]), "masks": (n, k, 1, *self._images.shape[3:])}
        found = {"images": self._images.shape, "masks": self._masks.shape}
        for name in wanted:
            if tuple(found[name]) != tuple(wanted[name]):
                raise self._odd(f"{name}.npy", f"{wanted[name]}", f"{found[name]}")
        for name, rows in (("activations.csv", self._rows("activations.csv")), ("ids.csv", self._rows("ids.csv"))):
            if len(rows) != n or any(len(row) != k for row in rows):
                raise self._odd(
                    name, f"{n} rows of {k}", f"{len(rows)} of {', '.join({str(len(r)) for r in rows})}"
                )

    @property
    def units(self) -> list[UnitId]:
        """As in `units.npy`, else from 0."""
        file = self.folder / "units.npy"
        indices = self._array("units.npy").tolist() if file.is_file() else range(len(self._images))
        return [UnitId(self.subject, self.layer, "neurons", int(index)) for index in indices]

    def evidence(self, unit: UnitId, pictures: Path) -> Evidence:
        """What the folder says of a unit: its images, half of them by hash to explain with and half to score on.

        There are no negatives: nothing is known of images that do not excite it.

        Args:
            pictures: folder into which its images are written, where they are not there yet.

        Raises:
            UserError: there is no such unit.
        """
        if unit not in self.units:
            raise UserError(f"Expected a unit of {self.folder}, found {unit}. It has {len(self.units)}.")
        row = self.units.index(unit)
        peaks = [float(value) for value in self._rows("activations.csv")[row]]
        examples: dict[Half, list[Example]] = {"explain": [], "score": []}
        for i, (name, peak) in enumerate(zip(self._rows("ids.csv")[row], peaks, strict=True)):
            pixels = np.asarray(self._images[row, i]).transpose(1, 2, 0)
            document = hash64(pixels.tobytes())
            file = pictures / f"{document:016x}.png"
            if not file.is_file():
                replace_file(file, _png(pixels))
            caption = (self.captions or {}).get(name, "")
            context = Context(f"{document:016x}", (caption,) if caption else (), str(file))
            values = peak * _cells(np.asarray(self._masks[row, i, 0]) > 0)
            examples[half_of(document, 0)].append(Example(context, tuple(values.tolist()), GRID))
        halves = {
            half: EvidenceHalf(tuple(sorted(found, key=lambda e: -e.peak)), (), (), n_certified=0)
            for half, found in examples.items()
        }
        statistics = UnitStatistics(len(peaks), len(peaks), 0.0, max(peaks), float(np.mean(peaks)), ())
        return Evidence(unit, statistics, halves["explain"], halves["score"])

    @property
    def _images(self) -> NDArray[Any]:
        return self._array("images.npy")

    @property
    def _masks(self) -> NDArray[Any]:
        return self._array("masks.npy")

    def _array(self, name: str) -> NDArray[Any]:
        try:
            return np.asarray(np.load(self.folder / name, mmap_mode="r", allow_pickle=False))
        except (OSError, ValueError, EOFError) as error:
            raise self._odd(name, "an array", first_line(error)) from None

    def _rows(self, name: str) -> Sequence[Sequence[str]]:
        try:
            with open(self.folder / name, encoding="utf-8", newline="") as file:
                return list(csv.reader(file))
        except (OSError, UnicodeDecodeError) as error:
            raise self._odd(name, "a table", first_line(error)) from None

    def _odd(self, name: str, expected: str, found: str) -> UserError:
        return UserError(
            f"Expected {expected} in {self.folder / name}, found {found}. Give a folder as MILAN writes it."
        )


def _cells(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(49,): 1 in each cell of GRID of which a pixel is masked; in all, where none is: the peak lies somewhere."""
    rows, columns = (np.array_split(np.arange(side), cells) for side, cells in zip(mask.shape, GRID, strict=True))
    inside = np.array([mask[np.ix_(r, c)].any() for r in rows for c in columns], float)
    return inside if inside.any() else np.ones_like(inside)


def _pixels(path: str) -> NDArray[np.uint8]:
    image = require_pillow()
    return np.asarray(open_picture(Path(path)).resize((SIDE, SIDE), image.Resampling.BILINEAR))


def _png(pixels: NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    require_pillow().fromarray(pixels).save(out, "PNG")
    return out.getvalue()
