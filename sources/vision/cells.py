"""The output of a vision module as cells: vectors that cover the image evenly, row by row.

1. A map (N, C, H, W) has a vector a position, and so has one that keeps its channels last: with a square input,
   the two sides that are equal are the rows and columns.
2. Tokens (N, T, D) of a vision transformer are its patches, row by row; what stands before them (CLS, registers)
   is no part of the image. How many patches there are is known from the convolution that cuts them, so that no
   token is taken for the patch before it.
3. A vector (N, D), as of a head, is one cell.
4. Maps of more than 28 x 28 positions are pooled to that: of each channel the value furthest from 0 in a cell is
   kept, so that peaks stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

MOST = 28
"""Rows or columns of cells that are kept at most."""
PREFIX = 64
"""Tokens before the patches at most."""


@dataclass(frozen=True, slots=True)
class Cells:
    """How a module's output (N, …) is read as vectors."""

    width: int
    """Numbers in a vector."""
    rows: int
    columns: int
    """Of the map itself."""
    prefix: int = 0
    """Tokens that stand before the patches."""
    channels_first: bool = False

    @classmethod
    def of(cls, shape: Sequence[int], patches: tuple[int, int] | None) -> Cells | None:
        """How an output of that shape is read, its first axis the images; None where it is no map.

        Args:
            patches: rows and columns of patches that the model cuts its input into; None: unknown.
        """
        match tuple(shape):
            case (_, width):
                return cls(width, 1, 1)
            case (_, tokens, width):
                return cls._of_tokens(tokens, width, patches)
            case (_, a, b, c) if a == b != c:
                return cls(c, a, b)
            case (_, a, b, c):
                return cls(a, b, c, channels_first=True)
        return None

    @classmethod
    def _of_tokens(cls, tokens: int, width: int, patches: tuple[int, int] | None) -> Cells | None:
        if patches and 0 <= tokens - patches[0] * patches[1] <= PREFIX:
            return cls(width, *patches, prefix=tokens - patches[0] * patches[1])
        side = isqrt(tokens)
        if side * side == tokens:  # merged patches, which no CLS token goes with
            return cls(width, side, side)
        if not patches and isqrt(tokens - 1) ** 2 == tokens - 1:
            return cls(width, isqrt(tokens - 1), isqrt(tokens - 1), prefix=1)
        return None

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns that are kept."""
        return min(self.rows, MOST), min(self.columns, MOST)

    @property
    def pooled(self) -> bool:
        """Whether a cell holds more than one position."""
        return self.grid != (self.rows, self.columns)

    def vectors(self, value: torch.Tensor) -> torch.Tensor:
        """(N, …) to (N * cells, width), image after image, each row by row."""
        import torch

        maps = self.flat(value)[:, self.prefix :].reshape(len(value), self.rows, self.columns, self.width)
        if self.pooled:
            planes = maps.movedim(-1, 1)
            high, low = (torch.nn.functional.adaptive_max_pool2d(side, self.grid) for side in (planes, -planes))
            maps = torch.where(high >= low, high, -low).movedim(1, -1)
        return maps.reshape(-1, self.width)

    def flat(self, value: torch.Tensor) -> torch.Tensor:
        """(N, …) to (N, positions, width), tokens before the patches first."""
        moved = value.movedim(1, -1) if self.channels_first else value
        return moved.reshape(len(value), -1, self.width)

    def unflat(self, flat: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
        """The inverse of `flat`: (N, positions, width) to an output of that shape."""
        if not self.channels_first:
            return flat.reshape(*shape)
        return flat.reshape(len(flat), self.rows, self.columns, self.width).movedim(-1, 1)
