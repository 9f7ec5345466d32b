"""Measures of how alike two units are, over all pairs of two sets, in blocks that fit in memory.

1. Texts: the cosine of the embeddings of two explanations. Floor: pairs drawn at random.
2. Directions: the cosine of what two units write, in one space. Floor: the nearest after one side was turned by a
   random rotation (Haar), which keeps all angles within a dictionary and leaves none between the two.
3. Overlap (`neurogloss.store.overlaps`): contexts in which both are active.
4. The k nearest are exact. Of each row of a block, columns are looked at in groups: a value among the k largest
   lies in one of the k groups with the largest maxima, and only those are sorted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from neurogloss.ids import derive_seed
from neurogloss.protocols import Float32

Int = NDArray[np.int64]

BLOCK_CELLS = 1 << 24
"""Cells of one block of a product: 64 MiB of float32."""
GROUP = 64
"""Columns whose maximum is taken before any is sorted."""
FLOOR_ROWS = 1_024
"""Units of A whose most alike stranger is looked for."""
FLOOR_PAIRS = 4_096
"""Pairs at random."""


class Measure(Protocol):
    """How alike any unit of a set A is to any of a set B. Larger is more alike."""

    @property
    def name(self) -> str:
        """The kind of evidence."""
        ...

    @property
    def shape(self) -> tuple[int, int]:
        """Units of A and of B."""
        ...

    @property
    def floor_is(self) -> str:
        """What the floor's values are, in words."""
        ...

    def block(self, rows: slice) -> Float32:
        """(n, units of B), a new array: of some of A with all of B; -inf where there is nothing to compare."""
        ...

    def at(self, rows: Int, columns: Int) -> Float32:
        """(P,): of single pairs; NaN where there is nothing to compare."""
        ...

    def swapped(self) -> Measure:
        """The same of B and A."""
        ...

    def floor(self, seed: int, twins: Int | None = None) -> Float32:
        """(n,): values of pairs that have nothing to do with one another, without NaN; `twins` as of `nearest`."""
        ...

    def planted(self, rows: Int, strength: Float32, seed: int) -> Measure | None:
        """Some units of A beside a copy of each: row i and column i are the same unit.

        Args:
            strength: (n,), in [0, 1]: how much of each copy is noise.

        Returns:
            None where no copy can be made.
        """
        ...


@dataclass(frozen=True)
class Cosine:
    """Cosines of two sets of vectors."""

    name: str
    a: Float32
    """(A, d), rows of unit length; NaN where a unit has no vector."""
    b: Float32
    """(B, d)."""

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.a), len(self.b)

    def block(self, rows: slice) -> Float32:
        found: Float32 = self.a[rows] @ self.b.T
        if np.isnan(found[:, :1]).any() or np.isnan(found[:1]).any():
            found[np.isnan(found)] = -np.inf
        return found

    def at(self, rows: Int, columns: Int) -> Float32:
        found: Float32 = np.einsum("pd,pd->p", self.a[rows], self.b[columns])
        return found

    def swapped(self) -> Self:
        return replace(self, a=self.b, b=self.a)


@dataclass(frozen=True)
class Texts(Cosine):
    """Cosines of explanations."""

    again: Float32 | None = None
    """(A, d): another explanation of each unit of A, NaN where there is none."""
    floor_is = "pairs at random"

    def floor(self, seed: int, twins: Int | None = None) -> Float32:
        rng = np.random.default_rng(derive_seed(seed, "floor", self.name))
        rows, columns = (np.flatnonzero(~np.isnan(side[:, 0])) for side in (self.a, self.b))
        if not len(rows) or not len(columns):
            return np.empty(0, np.float32)
        rows, columns = rng.choice(rows, FLOOR_PAIRS), rng.choice(columns, FLOOR_PAIRS)
        others = slice(None) if twins is None else twins[rows] != columns
        return self.at(rows[others], columns[others])

    def planted(self, rows: Int, strength: Float32, seed: int) -> Texts | None:
        """A copy is the unit's other explanation: two texts that are known to be about one unit."""
        return None if self.again is None else Texts(self.name, self.a[rows], self.again[rows])


@dataclass(frozen=True)
class Directions(Cosine):
    """Cosines of what units write."""

    floor_is = "the nearest after a random rotation"

    def floor(self, seed: int, twins: Int | None = None) -> Float32:
        rng = np.random.default_rng(derive_seed(seed, "floor", self.name))
        rows = rng.permutation(len(self.a))[:FLOOR_ROWS]
        q, r = np.linalg.qr(rng.standard_normal((self.a.shape[1],) * 2).astype(np.float32))
        turned = replace(self, a=self.a[rows] @ (q * np.sign(np.diag(r))))
        return np.concatenate([turned.block(rows).max(1) for rows in blocks(turned)])

    def planted(self, rows: Int, strength: Float32, seed: int) -> Directions:
        """A copy has the cosine sqrt(1 - strength) with its unit, up to chance."""
        rng = np.random.default_rng(derive_seed(seed, "copy", self.name))
        noise = unit_rows(rng.standard_normal((len(rows), self.a.shape[1]), np.float32))
        copies = np.sqrt(1 - strength)[:, None] * self.a[rows] + np.sqrt(strength)[:, None] * noise
        return replace(self, a=self.a[rows], b=unit_rows(copies.astype(np.float32)))


def unit_rows(vectors: Float32) -> Float32:
    """Each row by its length; a row of zeros becomes NaN."""
    with np.errstate(invalid="ignore"):
        found: Float32 = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return found


def blocks(measure: Measure) -> Iterator[slice]:
    """Rows of A whose block has at most BLOCK_CELLS cells."""
    step = max(1, BLOCK_CELLS // max(1, measure.shape[1]))
    for start in range(0, measure.shape[0], step):
        yield slice(start, min(start + step, measure.shape[0]))


@dataclass(frozen=True, slots=True)
class Edges:
    """P pairs of a unit of A and one of B."""

    rows: Int
    columns: Int
    values: Float32

    @property
    def swapped(self) -> Edges:
        return Edges(self.columns, self.rows, self.values)

    def take(self, positions: Int) -> Edges:
        return Edges(self.rows[positions], self.columns[positions], self.values[positions])

    def keys(self, width: int) -> Int:
        """One number a pair, by row and column; `np.divmod` by the width gives both back."""
        return self.rows * width + self.columns


def nearest(measure: Measure, k: int, twins: Int | None = None) -> Edges:
    """The k most alike of B for each of A, row by row, the most alike first; of equals, the first of B.

    Args:
        twins: (A,): where in B the same unit stands, which is not its own neighbour; -1 for none.

    Raises:
        ValueError: k is less than 1.
    """
    if k < 1:
        raise ValueError(f"expected k of 1 or more, found {k}")
    found = [Edges(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))]
    for rows in blocks(measure):
        block = measure.block(rows)
        if twins is not None:
            own = np.flatnonzero(twins[rows] >= 0)
            block[own, twins[rows][own]] = -np.inf
        columns = largest(block, k)
        values = np.take_along_axis(block, columns, 1)
        row, place = np.nonzero(values > -np.inf)
        found.append(Edges(row + rows.start, columns[row, place], values[row, place]))
    return Edges(
        *(np.concatenate([getattr(each, part) for each in found]) for part in ("rows", "columns", "values"))
    )


def largest(values: Float32, k: int) -> Int:
    """(n, min(k, columns)): columns of the k largest values of each row, descending; of equals, the first."""
    n, width = values.shape
    whole = width // GROUP
    k = min(k, width)
    if whole <= 4 * k:
        columns = np.broadcast_to(np.arange(width), values.shape)
    else:
        maxima = values[:, : whole * GROUP].reshape(n, whole, GROUP).max(2)
        # Stable: of groups with equal maxima the first are kept, and so the first of equal values.
        groups = np.argsort(-maxima, axis=1, kind="stable")[:, :k]
        inside = (groups[:, :, None] * GROUP + np.arange(GROUP)).reshape(n, -1)
        rest = np.broadcast_to(np.arange(whole * GROUP, width), (n, width - whole * GROUP))
        columns = np.concatenate([inside, rest], 1)
    best = np.lexsort((columns, -np.take_along_axis(values, columns, 1)), axis=1)[:, :k]
    found: Int = np.take_along_axis(columns, best, 1)
    return found
