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
from itertools import chain, filterfalse, groupby, islice, zip_longest
from typing import NamedTuple

from neurogloss.ids import UnitId
from neurogloss.protocols import Embedder
from neurogloss.records import Context, Evidence, EvidenceHalf, Example, HardNegatives
from neurogloss.sources.block import KINDS, Block
from neurogloss.sources.cache import Cache
from neurogloss.sources.contexts import HALVES, word_of
from neurogloss.sources.corpus import Half
from neurogloss.sources.neighbours import Neighbours
from neurogloss.sources.sketch import certified_below

NEGATIVES = 128
"""Certified negatives given a half."""
NEIGHBOURS = 8
"""Neighbours whose contexts are hard negatives."""
WORDS = 4
"""Words whose contexts are hard negatives."""
MODELS = 4
"""Top contexts that others are compared with."""
TOGETHER = 64
"""Units whose rows are read together."""


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
    """What the cache holds of one unit: `evidence_of` that unit alone."""
    return next(evidence_of(cache, [unit], negatives, hard, neighbours, embedder))


def evidence_of(
    cache: Cache,
    units: Iterable[UnitId],
    negatives: int = NEGATIVES,
    hard: int = 0,
    neighbours: Neighbours | None = None,
    embedder: Embedder | None = None,
) -> Iterator[Evidence]:
    """What the cache holds of each unit, in their order, some units read ahead.

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
        for _, there in groupby(units, cache.site):
            while some := list(islice(there, TOGETHER)):
                block = cache.block(some)
                halves = (_seen(cache, block, half) for half in HALVES)
                rest = block.output_tokens(), block.activities()
                for unit, statistics, seen, held_out, *other in zip(
                    some, block.statistics(), *halves, *rest, strict=True
                ):
                    explain = _half(cache, unit, "explain", seen, negatives, frozenset(), search)
                    score = _half(cache, unit, "score", held_out, negatives, _contents(explain), search)
                    yield Evidence(unit, statistics, explain, score, *other)


class _Seen(NamedTuple):
    """What the sketch of one half has of a unit."""

    top: list[Example]
    uniform: list[Example]
    active: set[int]
    """The uniform sample's hashes."""
    bound: int
    """Below it the sample is complete."""
    n_below: int
    """Contexts of the half below it."""
    n_silent: int
    """Those of them that are certified not active."""


def _seen(cache: Cache, block: Block, half: Half) -> Iterator[_Seen]:
    """Of each unit of the block."""
    samples = block.uniform_hashes(half)
    bounds = certified_below(samples)
    below = cache.hashes(half).searchsorted(bounds)
    columns = (samples, bounds, below, below - (samples < bounds[:, None]).sum(1))
    examples = (block.samples(half, kind) for kind in KINDS)
    for top, uniform, sample, *counts in zip(*examples, *(column.tolist() for column in columns), strict=True):
        yield _Seen(top, uniform, set(sample), *counts)


def _half(
    cache: Cache,
    unit: UnitId,
    half: Half,
    seen: _Seen,
    negatives: int,
    known: Set[str],
    search: HardSearch | None,
) -> EvidenceHalf:
    """One half of a unit's evidence, without the contents that are known."""
    top, uniform = seen.top, seen.uniform
    if known:
        top, uniform = ([e for e in examples if e.context.content not in known] for examples in (top, uniform))
    hard = HardNegatives()
    if search:
        taken = known | {example.context.content for example in chain(top, uniform)}
        hard = _Hard(cache, half, seen.bound, seen.active, taken, search.n).find(unit, top, search)
    # At most len(active) of the first hashes are active, and len(known) known.
    first = cache.hashes(half)[: min(negatives + len(seen.active) + len(known), seen.n_below)].tolist()
    found = map(cache.contexts.get, filterfalse(seen.active.__contains__, first))
    silent = islice((context for context in found if context.content not in known), negatives)
    return EvidenceHalf(tuple(top), tuple(uniform), tuple(silent), hard, seen.n_silent)


def _contents(half: EvidenceHalf) -> Set[str]:
    """Of all contexts of a half."""
    hard = half.hard
    active = (example.context for example in chain(half.top, half.uniform))
    return {c.content for c in chain(active, half.negatives, hard.neighbours, hard.lexical, hard.look_alikes)}


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
