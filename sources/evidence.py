"""From the cache to one unit's evidence: examples and certified negatives of both halves, never a text in both.

1. Top and uniform examples come out of the unit's sketch of each half.
2. Negatives are the contexts of that half with the smallest hashes that the sketch certifies as not active.
3. A text that occurs in the explain half of the evidence is left out of the score half.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from neurogloss.ids import UnitId
from neurogloss.records import Context, Evidence, EvidenceHalf
from neurogloss.sources.cache import Cache
from neurogloss.sources.corpus import Half
from neurogloss.sources.sketch import certified_below

NEGATIVES = 128
"""Certified negatives given a half."""


def evidence(cache: Cache, unit: UnitId, negatives: int = NEGATIVES) -> Evidence:
    """What the cache holds of one unit.

    Raises:
        UserError: the cache has no such unit.
    """
    statistics = cache.statistics(unit)
    explain = _half(cache, unit, "explain", negatives, set())
    known = {example.context.text for example in (*explain.top, *explain.uniform)}
    known |= {context.text for context in explain.negatives}
    score = _half(cache, unit, "score", negatives, known)
    return Evidence(unit, statistics, explain, score, cache.output_tokens(unit))


def _half(cache: Cache, unit: UnitId, half: Half, negatives: int, known: Collection[str]) -> EvidenceHalf:
    top = [e for e in cache.examples(unit, half, "top") if e.context.text not in known]
    uniform = [e for e in cache.examples(unit, half, "uniform") if e.context.text not in known]
    silent = [c for c in _silent(cache, unit, half, negatives + len(known)) if c.text not in known]
    return EvidenceHalf(
        top=tuple(top),
        uniform=tuple(sorted(uniform, key=lambda e: (-e.peak, e.context.id))),
        negatives=tuple(silent[:negatives]),
    )


def _silent(cache: Cache, unit: UnitId, half: Half, n: int) -> list[Context]:
    """The first n certified negatives by hash."""
    active = cache.uniform_hashes(unit, half)
    hashes = cache.hashes(half)
    below = hashes[: np.searchsorted(hashes, certified_below(active))]
    silent = below[~np.isin(below, active)]
    return [cache.context(int(digest)) for digest in silent[:n]]
