"""MILAN's exemplar folders: the top images of each unit of a layer, with their masks.

    images.npy       (units, k, 3, 224, 224) uint8
    masks.npy        (units, k, 1, 224, 224) uint8: 0, or 1 where the unit is active
    activations.csv  a row a unit: the peaks, descending
    ids.csv          a row a unit: which images these are, whole numbers (here half of the contexts' hashes)
    units.npy        (units,): which units of the layer; without it they count from 0

This is what MILAN, and MAIA after it, read and write, a folder a layer (Hernandez et al. 2022, arXiv:2201.11114).

A folder that is read takes the place of a subject:

1. Its images are written into the run once, each by its first id, and read as those of any run. One that several
   units list is one image, and an image belongs to the half that its own hash says.
2. A unit's activations in an image are its peak in the cells of a 7 x 7 grid that its mask touches, 0 elsewhere.
3. In images that only other units list it is 0. Silent there means: not among the unit's strongest images. That it
   is not active at all in them, a folder does not say, and shares of images are those of the folder.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from neurogloss.errors import UserError, first_line
from neurogloss.ids import UnitId, content_id, hash64
from neurogloss.records import Example
from neurogloss.sources.cache import Cache, Site
from neurogloss.sources.corpus import Half
from neurogloss.sources.hookpoints import Hookpoint
from neurogloss.sources.vision import masks, shipped
from neurogloss.sources.vision.pictures import open_picture, require_pillow

if TYPE_CHECKING:
    import torch

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
        above, geometry = masks.threshold(cache, unit), masks.geometry(cache, unit)
        for i, example in enumerate(examples):
            images[row, i] = _pixels(example.context.picture).transpose(2, 0, 1)
            shown[row, i, 0] = masks.mask(example, above, (SIDE, SIDE), geometry)
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

    def __post_init__(self) -> None:
        n, k = self._images.shape[:2]
        wanted = {"images": (n, k, 3, *self._images.shape[3:]), "masks": (n, k, 1, *self._images.shape[3:])}
        found = {"images": self._images.shape, "masks": self._masks.shape}
        for name in wanted:
            if tuple(found[name]) != tuple(wanted[name]):
                raise self._odd(f"{name}.npy", f"{wanted[name]}", f"{found[name]}")
        for name, rows in (("activations.csv", self.peaks), ("ids.csv", self._ids)):
            if len(rows) != n or any(len(row) != k for row in rows):
                lengths = ", ".join(sorted({str(len(row)) for row in rows}))
                raise self._odd(name, f"{n} rows of {k}", f"{len(rows)} of {lengths}")
        if len(set(self.units)) != n or min(self.units) < 0:
            raise self._odd("units.npy", f"{n} numbers of units", f"{self.units[:5]} …")

    @cached_property
    def units(self) -> list[int]:
        """As in `units.npy`, else from 0."""
        if not (self.folder / "units.npy").is_file():
            return list(range(len(self._images)))
        return [int(index) for index in self._array("units.npy").ravel()]

    @cached_property
    def peaks(self) -> list[list[float]]:
        """A row a unit: its activation in each of its images."""
        try:
            return [[float(value) for value in row] for row in self._rows("activations.csv")]
        except ValueError as error:
            raise self._odd("activations.csv", "numbers", first_line(error)) from None

    @cached_property
    def names(self) -> list[list[str]]:
        """The same: the image's file. Equal images have one name."""
        digests = [[hash64(np.asarray(image).tobytes()) for image in row] for row in self._images]
        files = dict[int, str]()
        names = [
            [files.setdefault(digest, f"{Path(name.strip()).name}.png") for digest, name in zip(*row, strict=True)]
            for row in zip(digests, self._ids, strict=True)
        ]
        twice = [name for name, n in Counter(files.values()).items() if n > 1]
        if twice:
            raise self._odd("ids.csv", "an id for each image", f"{twice[0].removesuffix('.png')} for several")
        return names

    def images(self) -> Iterator[shipped.Image]:
        """Each image once, without a caption."""
        for name, ((row, i), *_) in self._listed.items():
            yield name, partial(shipped.png, np.asarray(self._images[row, i]).transpose(1, 2, 0)), ""

    def cells(self, name: str) -> NDArray[np.float32]:
        """(49, width): every unit's activations in an image, along the grid's rows."""
        found = np.zeros((GRID[0] * GRID[1], max(self.units) + 1), np.float32)
        for row, i in self._listed[name]:
            found[:, self.units[row]] = self.peaks[row][i] * _cells(np.asarray(self._masks[row, i, 0]) > 0)
        return found

    @cached_property
    def _listed(self) -> dict[str, list[tuple[int, int]]]:
        """Rows and places that list an image."""
        found: dict[str, list[tuple[int, int]]] = {}
        for row, names in enumerate(self.names):
            for i, name in enumerate(names):
                found.setdefault(name, []).append((row, i))
        return found

    @cached_property
    def _ids(self) -> Sequence[Sequence[str]]:
        return self._rows("ids.csv")

    @cached_property
    def _images(self) -> NDArray[Any]:
        return self._array("images.npy")

    @cached_property
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


class Recorded:
    """A folder of exemplars in the place of a subject; implements `neurogloss.sources.source.Listened`."""

    classes: Sequence[str] = ()

    def __init__(self, name: str, exemplars: Exemplars) -> None:
        self.name, self._exemplars = name, exemplars
        self.fingerprint = content_id([exemplars.units, exemplars.peaks, exemplars.names])

    @property
    def facts(self) -> Mapping[str, Any]:
        """JSON: what a manifest says of it."""
        return {"name": self.name, "fingerprint": self.fingerprint, "classes": []}

    @property
    def device(self) -> torch.device:
        import torch

        return torch.device("cpu")

    def hookpoint(self, name: str) -> Hookpoint:
        """The layer, whatever its name."""
        return Hookpoint(name, False)

    def width(self, hookpoint: Hookpoint) -> int:
        """Units of the layer, as far as the folder knows of them."""
        return max(self._exemplars.units) + 1

    def grid(self, hookpoint: Hookpoint) -> tuple[int, int]:
        return GRID

    def seen(self, pictures: Sequence[Path], hookpoints: Sequence[Hookpoint]) -> dict[Hookpoint, torch.Tensor]:
        """As `VisionSubject.seen`, of images that the folder holds."""
        import torch

        vectors = torch.from_numpy(np.concatenate([self._exemplars.cells(path.name) for path in pictures]))
        return dict.fromkeys(hookpoints, vectors)


def _cells(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(49,): 1 in each cell of GRID of which a pixel is masked; in all, where none is: the peak lies somewhere."""
    rows, columns = (np.array_split(np.arange(side), cells) for side, cells in zip(mask.shape, GRID, strict=True))
    inside = np.array([mask[np.ix_(r, c)].any() for r in rows for c in columns], float)
    return inside if inside.any() else np.ones_like(inside)


def _pixels(path: str) -> NDArray[np.uint8]:
    image = require_pillow()
    return np.asarray(open_picture(Path(path)).resize((SIDE, SIDE), image.Resampling.BILINEAR))
