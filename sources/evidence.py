"""From the cache to one unit's evidence: examples and certified negatives of both halves, never a text in both.

1. Top and uniform examples come out of the unit's sketch of each half.
2. Negatives are the contexts of that half with the smallest hashes that the sketch certifies as not active.
3. Hard negatives, where they are asked for, are certified like the others, but chosen: contexts in which the
   unit's nearest neighbours fired, contexts that hold a word at which the unit peaks, contexts that read like its
   top ones. A text with which the unit was seen active is none, though it may be silent in another document.
4. A text that occurs in the explain half of the evidence is left out of the score half.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import chain, islice, zip_longest

from neurogloss.ids import UnitId
from neurogloss.protocols import Embedder
from neurogloss.records import Context, Evidence, EvidenceHalf, Example, HardNegatives
from neurogloss.sources.cache import Cache
from neurogloss.sources.corpus import Half
from neurogloss.sources.neighbours import Neighbours
from neurogloss.sources.pool import word_of
from neurogloss.sources.sketch import certified_below

NEGATIVES = 128
"""Certified negatives given a half."""
NEIGHBOURS = 8
"""Neighbours whose contexts are hard negatives."""
WORDS = 4
"""Words whose contexts are hard negatives."""
MODELS = 4
"""Top contexts that others are compared with."""


@dataclass(frozen=True)
class HardSearch:
    """What to look for beside the plain negatives."""

    n: int
    """Of each kind at most."""
    neighbours: Neighbours | None
    embedder: Embedder | None


def evidence(
    cache: Cache,
    unit: UnitId,
    negatives: int = NEGATIVES,
    hard: int = 0,
    neighbours: Neighbours | None = None,
    embedder: Embedder | None = None,
) -> Evidence:
    """What the cache holds of one unit.

    Args:
        negatives: certified negatives a half at most; a dense unit may have fewer.
        hard: hard negatives of each kind a half at most; 0 looks for none.
        neighbours: of the same cache; without them, no hard negatives of that kind.
        embedder: finds look-alikes; without it there are none.

    Raises:
        UserError: the cache has no such unit, or is damaged.
    """
    search = HardSearch(hard, neighbours, embedder) if hard else None
    with cache.undamaged():
        statistics = cache.statistics(unit)
        explain = _half(cache, unit, "explain", negatives, frozenset(), search)
        kinds = explain.hard
        silent = (*explain.negatives, *kinds.neighbours, *kinds.lexical, *kinds.look_alikes)
        shown = (*(example.context for example in (*explain.top, *explain.uniform)), *silent)
        known = {context.content for context in shown}
        score = _half(cache, unit, "score", negatives, known, search)
        return Evidence(unit, statistics, explain, score, cache.output_tokens(unit), cache.activity(unit))


def _half(
    cache: Cache, unit: UnitId, half: Half, negatives: int, known: Set[str], search: HardSearch | None
) -> EvidenceHalf:
    sample, hashes = cache.uniform_hashes(unit, half), cache.hashes(half)
    bound, active = certified_below(sample), set(sample.tolist())
    below = int(hashes.searchsorted(bound))
    top, uniform = cache.samples(unit, half, known)
    hard = HardNegatives()
    if search:
        taken = known | {example.context.content for example in chain(top, uniform)}
        hard = _Hard(cache, half, int(bound), active, taken, search.n).find(unit, top, search)
    # At most len(active) of the first hashes are active, and len(known) known.
    first = hashes[: min(negatives + len(active) + len(known), below)].tolist()
    found = (cache.contexts.get(digest) for digest in first if digest not in active)
    silent = islice((context for context in found if context.content not in known), negatives)
    n_active = int(sample.searchsorted(bound))
    return EvidenceHalf(tuple(top), tuple(uniform), tuple(silent), hard, below - n_active)


@dataclass
class _Hard:
    """Takes certified silent contexts of one half, nothing twice."""

    cache: Cache
    half: Half
    bound: int
    """Below it the unit's sample is complete."""
    active: Set[int]
    taken: Set[str]
    n: int

    def find(self, unit: UnitId, top: Sequence[Example], search: HardSearch) -> HardNegatives:
        pool = self.cache.pool(self.half)
        near = search.neighbours.of(unit, NEIGHBOURS, self.half) if search.neighbours else ()
        theirs = [self.cache.uniform_hashes(other.unit, self.half).tolist() for other in near]
        texts = [example.context.text for example in top[:MODELS]]
        return HardNegatives(
            neighbours=self._take(_in_turn(theirs)),
            lexical=self._take(_in_turn([pool.holding(word) for word in _peak_words(top)[:WORDS]])),
            look_alikes=self._take(pool.like(texts, search.embedder) if search.embedder and texts else ()),
        )

    def _take(self, digests: Iterable[int]) -> tuple[Context, ...]:
        found: list[Context] = []
        for digest in digests:
            if len(found) == self.n:
                break
            if digest < self.bound and digest not in self.active:
                context = self.cache.contexts.get(digest)
                if context.content not in self.taken:
                    self.taken |= {context.content}
                    found.append(context)
        return tuple(found)


def _peak_words(examples: Sequence[Example]) -> list[str]:
    """The words at which the examples peak, the most frequent first; in an image there is none."""
    texts = (e for e in examples if e.grid is None)
    words = (word_of(e.context.tokens[e.activations.index(e.peak)]) for e in texts)
    return [word for word, _ in Counter(word for word in words if word).most_common()]


def _in_turn(lists: Sequence[Sequence[int]]) -> Iterator[int]:
    """The first of each, the second of each, …"""
    return (digest for digest in chain.from_iterable(zip_longest(*lists)) if digest is not None)
