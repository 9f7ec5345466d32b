"""Vectors in one file, and their exact cosines with a query.

1. Row i of the file is vector i: `dimension` float16, little endian, of unit length when they were written.
2. The file is mapped, not read: what a query does not need stays on disk.
3. The rows wanted are taken in blocks. A block becomes float32 by its bits (sign, exponent and fraction moved to
   their places, which leaves out a factor of 2^112) and is multiplied with the query times 2^112. numpy's own
   conversion takes four times as long as the product.

Float16 moves a cosine by less than 1e-3.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurogloss.protocols import Float32

_BLOCK = 256
"""Rows turned to float32 at a time: 400 kB at 384 dimensions, which stays in the cache."""
_FLOAT16 = np.dtype("<f2")


class Vectors:
    """The vectors in the file `path`, which need not be there yet."""

    def __init__(self, path: Path, dimension: int) -> None:
        self.path = path
        self.dimension = dimension

    def __len__(self) -> int:
        return self.path.stat().st_size // (_FLOAT16.itemsize * self.dimension) if self.path.exists() else 0

    def write(self, first: int, vectors: Float32) -> None:
        """Put (n, dimension) vectors at the rows from `first` on; on disk when it returns."""
        with open(self.path, "r+b" if self.path.exists() else "wb") as file:
            file.seek(first * self.dimension * _FLOAT16.itemsize)
            file.write(np.ascontiguousarray(vectors, _FLOAT16).tobytes())
            file.flush()
            os.fsync(file.fileno())

    def rows(self, rows: NDArray[np.int64]) -> Float32:
        """(len(rows), dimension)."""
        return self._mapped()[rows].astype(np.float32) if len(rows) else np.zeros((0, self.dimension), np.float32)

    def cosines(self, query: Float32, rows: NDArray[np.int64]) -> Float32:
        """(len(rows),) cosines of a query of unit length (dimension,) with these rows, ascending."""
        found = np.empty(len(rows), np.float32)
        if not len(rows):
            return found
        bits = self._mapped().view(np.int16)
        scaled = query.astype(np.float32) * np.float32(2.0**112)
        narrow = np.empty((_BLOCK, self.dimension), np.int16)
        wide = np.empty((_BLOCK, self.dimension), np.int32)
        for start in range(0, len(rows), _BLOCK):
            wanted = rows[start : start + _BLOCK]
            solid = wanted[-1] - wanted[0] == len(wanted) - 1
            if solid:
                block = bits[wanted[0] : wanted[-1] + 1]
            else:
                # Without "clip" numpy would copy once more, to be able to refuse.
                block = np.take(bits, wanted, 0, out=narrow[: len(wanted)], mode="clip")
            part = wide[: len(block)]
            np.left_shift(block, 13, out=part, dtype=np.int32)
            np.bitwise_and(part, np.int32(-0x70000001), out=part)
            found[start : start + _BLOCK] = part.view(np.float32) @ scaled
        return found

    def _mapped(self) -> NDArray[np.float16]:
        mapped: NDArray[np.float16] = np.memmap(self.path, _FLOAT16, "r", shape=(len(self), self.dimension))
        return mapped
