"""The activations of a dictionary's units on some vectors, as sparse as the dictionary makes them.

The k largest of N values, faster than a search over all of them:

1. The N columns are laid out in rows of B: block j holds every B-th column, from column j on.
2. Each block's maximum is taken, which reads every value once and in order.
3. A value that is among the k largest lies in one of the k blocks with the largest maxima: were k blocks better
   than its own, k values would be better than it. So those k blocks are gathered, and searched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

BLOCK = 16
"""Columns in a block of the two-level search."""
VALUES, VALUES_CPU = 2**26, 2**23
"""Pre-activations in memory: 32 MiB on a CPU, and 256 MiB on other devices, which are not kept busy by less."""


def rows_at_once(columns: int, device: torch.device) -> int:
    """How many vectors are encoded together into so many pre-activations each, one at least."""
    return max((VALUES_CPU if device.type == "cpu" else VALUES) // columns, 1)


@dataclass(frozen=True)
class Codes:
    """Activations of N units on T vectors."""

    values: torch.Tensor
    """(T, k), or (T, N) where `units` is None. 0 means inactive; negative values only of signed dictionaries."""
    units: torch.Tensor | None
    """(T, k) integers: which unit each value is of. None: column j is unit j."""
    n_units: int

    def dense(self) -> torch.Tensor:
        """(T, N)."""
        if self.units is None:
            return self.values
        out = self.values.new_zeros(len(self.values), self.n_units)
        return out.scatter_(1, self.units.long(), self.values)


def top_k(values: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The k largest of each row, in no order, and their columns.

    Args:
        values: (T, N), N at least k.

    Returns:
        (T, k) values and (T, k) int64 columns. Of equal values at the edge any may be kept, as by torch.
    """
    import torch

    rows, columns = values.shape
    blocks = columns // BLOCK
    if columns % BLOCK or blocks <= 2 * k:
        found = torch.topk(values, k, dim=1, sorted=False)
        return found.values, found.indices
    folded = values.view(rows, BLOCK, blocks)
    best = torch.topk(folded.amax(1), k, dim=1, sorted=False).indices
    candidates = folded.gather(2, best[:, None, :].expand(rows, BLOCK, k)).reshape(rows, BLOCK * k)
    found = torch.topk(candidates, k, dim=1, sorted=False)
    block, row_of_block = found.indices % k, found.indices // k
    return found.values, row_of_block * blocks + best.gather(1, block)
