"""Nearest neighbours between two sets of labels, by what their explanations say.

1. Embed each distinct explanation text once; rows have unit length, so a product is a cosine.
2. Take the labels of `a` in blocks, so that a block's cosines with all of `b` fit in 64 MiB.
3. In each block strike out pairs that are the same unit: a unit is not its own neighbour.
4. Keep the k largest cosines of each row, exactly; of equals, those that come first in `b`.
5. Beside each row stands its floor: the cosine with one label of `b`, drawn uniformly (seeded) from those
   that step 3 left. Explanations share a style, so the cosine of two at random is well above 0.
6. A label without an explanation, or with nothing left in `b`, has no pair; it is counted as unmatched.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurogloss.ids import derive_seed
from neurogloss.protocols import Embedder, Float32
from neurogloss.records import Label

_BLOCK_CELLS = 1 << 24
"""Cells of one block of the product: 64 MiB of float32."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A label of one set and a near label of the other."""

    a: Label
    b: Label
    similarity: float
    """Cosine of the two explanations, in [-1, 1]."""
    floor: float
    """Cosine of a's explanation with one of the other set drawn at random."""


@dataclass(frozen=True, slots=True)
class Similarity:
    """How near one set of labels lies to another."""

    pairs: tuple[Pair, ...]
    """In the order of `a`, each label's pairs by descending similarity."""
    mean: float
    """Mean similarity of each matched label with its nearest; NaN where none is matched."""
    floor: float
    """Mean floor of the same labels; NaN where none is matched."""
    unmatched: int
    """Labels of `a` without a pair."""


def compare(a: Sequence[Label], b: Sequence[Label], embedder: Embedder, k: int = 1, seed: int = 0) -> Similarity:
    """The k nearest labels of `b` for each of `a`, with means and what was left unmatched."""
    matched = _neighbours(a, b, embedder, k, seed)
    return Similarity(
        pairs=tuple(pair for pairs in matched for pair in pairs),
        mean=float(np.mean([pairs[0].similarity for pairs in matched])) if matched else math.nan,
        floor=float(np.mean([pairs[0].floor for pairs in matched])) if matched else math.nan,
        unmatched=len(a) - len(matched),
    )


def nearest(a: Sequence[Label], b: Sequence[Label], embedder: Embedder, k: int = 1, seed: int = 0) -> list[Pair]:
    """The k nearest labels of `b` for each of `a` that has any, in the order of `a`, nearest first.

    Raises:
        ValueError: k is less than 1.
    """
    return [pair for pairs in _neighbours(a, b, embedder, k, seed) for pair in pairs]


def _neighbours(a: Sequence[Label], b: Sequence[Label], embedder: Embedder, k: int, seed: int) -> list[list[Pair]]:
    """The pairs of each label of `a` that has any."""
    if k < 1:
        raise ValueError(f"expected k of 1 or more, found {k}")
    a = [label for label in a if label.explanation is not None]
    b = [label for label in b if label.explanation is not None]
    if not a or not b:
        return []
    vectors = _vectors([*a, *b], embedder)
    codes = _codes([*a, *b])
    draws = np.random.default_rng(derive_seed(seed, "similarity-floor")).random(len(a))
    n = len(a)
    matched = []
    for i, cosines in _rows(vectors[:n], vectors[n:], codes[:n], codes[n:]):
        allowed = np.flatnonzero(cosines > -np.inf)
        if len(allowed):
            floor = float(cosines[allowed[int(draws[i] * len(allowed))]])
            near = _largest(cosines, allowed, k)
            matched.append([Pair(a[i], b[j], float(cosines[j]), floor) for j in near])
    return matched


def _vectors(labels: Sequence[Label], embedder: Embedder) -> Float32:
    texts = [label.explanation.text for label in labels if label.explanation is not None]
    place = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    return embedder.embed(list(place))[[place[text] for text in texts]]


def _codes(labels: Sequence[Label]) -> NDArray[np.int64]:
    """One number for one unit."""
    units = {unit: code for code, unit in enumerate(dict.fromkeys(label.unit for label in labels))}
    return np.array([units[label.unit] for label in labels])


def _rows(
    a: Float32, b: Float32, codes_a: NDArray[np.int64], codes_b: NDArray[np.int64]
) -> Iterator[tuple[int, Float32]]:
    """Each row of the product with its number; -inf stands where both are the same unit."""
    step = max(1, _BLOCK_CELLS // len(b))
    for start in range(0, len(a), step):
        block = slice(start, start + step)
        cosines = a[block] @ b.T
        cosines[codes_a[block, None] == codes_b] = -np.inf
        yield from enumerate(cosines, start)


def _largest(values: Float32, allowed: NDArray[np.intp], k: int) -> NDArray[np.intp]:
    """Positions of the k largest allowed values, descending; of equals, the first."""
    kept = values[allowed]
    if k < len(kept):
        limit = np.partition(kept, len(kept) - k)[len(kept) - k]
        allowed = allowed[kept >= limit]
        kept = values[allowed]
    return allowed[np.argsort(-kept, kind="stable")][:k]
