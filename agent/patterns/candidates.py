"""Conditions that a unit's evidence supports, and where each holds.

1. A single feature is a candidate if it holds at active tokens of at least two contexts, and not mostly elsewhere.
2. Two features together are one if they hold at the same active token of two contexts, and can narrow the first.
3. A set of words that are near a word of the evidence by embedding is one if two of them hold at active tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from neurogloss.agent.patterns.features import Entries, Feature, Features, Masks
from neurogloss.agent.patterns.kin import Kin
from neurogloss.agent.patterns.sample import Sample
from neurogloss.scorers.patterns.reading import KINDS

Rows = NDArray[np.int64]
HEADS = ("word", "form", "begins", "ends", "piece", "base", "mark", "is", "at", "after", "after2")
"""Kinds that can be narrowed."""
QUALIFIERS = ("is", "at", "after", "after2", "base", "piece", "topic")
"""Kinds that narrow."""
SUPPORT = 2
"""Active contexts in which a candidate holds at an active token."""
SHARE = 0.3
"""Least share of the active contexts with a feature in which it holds at an active token."""
NARROWED, NARROWING = 60, 250
"""Features considered for pairs."""
PAIRED = 0.15
"""Least share of a feature's support that a pair keeps."""


@dataclass(frozen=True)
class Candidates:
    """Conditions, and the contexts in which they hold."""

    conditions: list[tuple[Feature, ...]]
    """One feature, or two that hold at one token; of kin, the seed with kind `like`."""
    holds: csr_matrix
    """(conditions, contexts) 1 where the condition holds."""
    masks: Masks
    """Of each entry of `holds`: bit i is set if it holds at token i."""
    local: csr_matrix
    """(conditions, contexts) 1 where it holds at an active token."""
    turned: csr_matrix
    """The same, with each context's active tokens turned round by a random step: what chance would give."""
    words: tuple[str, ...]
    """The words of the active contexts, the most frequent first, alphabetically among equals."""
    kin: Mapping[str, tuple[str, ...]]
    """The words of each set by its seed, those at active tokens first."""


def candidates(features: Features, sample: Sample, kin: Kin | None) -> Candidates:
    """The candidates of one unit."""
    entries, active = features.of(sample.contexts), len(sample.examples)
    first = entries.columns < active
    hits = entries.ids[first][(entries.masks[first] & sample.active[entries.columns[first]]) != 0]
    local = np.bincount(hits, minlength=len(features.names))
    seen = np.bincount(entries.ids[first], minlength=len(features.names))
    known = np.flatnonzero((local >= SUPPORT) & (local >= SHARE * seen)).tolist()
    kinds = features.kinds
    # By kind and value: numbers depend on what was read before, and of equals the first is taken.
    singles = np.array(sorted(known, key=lambda i: (kinds[i], features.names[i][1])), np.int64)
    table = _Table.of(entries, singles, len(features.names))
    names = [features.names[i] for i in singles.tolist()]
    pairs = _pairs(table, sample, names, features.kinds[singles], local[singles])
    conditions: list[tuple[Feature, ...]] = [(name,) for name in names]
    conditions += [(names[a], names[b]) for a, b in pairs.tolist()]
    tables = [table, table.both(pairs, len(sample.contexts))]
    sets: Mapping[str, tuple[str, ...]] = {}
    if kin is not None:
        sets, near = _kin(features, entries, sample, kin)
        tables.append(near)
        conditions += [(("like", seed),) for seed in sets]
    return _joined(conditions, tables, sample, _words(features, entries, active), sets)


@dataclass(frozen=True)
class _Table:
    """Entries sorted by row: a row a condition."""

    starts: Rows
    """(rows + 1,)"""
    columns: NDArray[np.int32]
    masks: Masks

    @classmethod
    def of(cls, entries: Entries, wanted: NDArray[np.int64], n: int) -> _Table:
        """The entries of the wanted features, a row each, of n features in all."""
        places = np.full(n, -1, np.int64)
        places[wanted] = np.arange(len(wanted))
        rows = places[entries.ids]
        kept = np.flatnonzero(rows >= 0)
        order = kept[np.argsort(rows[kept], kind="stable")]
        starts = np.searchsorted(rows[order], np.arange(len(wanted) + 1))
        return cls(starts, entries.columns[order], entries.masks[order])

    def at(self, row: int) -> NDArray[np.int32]:
        """The contexts in which a row has an entry."""
        return self.columns[self.starts[row] : self.starts[row + 1]]

    def spread(self, rows: Rows) -> tuple[Rows, Rows]:
        """Of some rows: the places of their entries, and to which of the rows each belongs."""
        lengths = self.starts[rows + 1] - self.starts[rows]
        owner = np.repeat(np.arange(len(rows)), lengths)
        return np.arange(lengths.sum()) - np.repeat(
            np.cumsum(lengths) - lengths - self.starts[rows], lengths
        ), owner

    def dense(self, rows: Rows, width: int) -> Masks:
        """(rows, width) masks of some rows in the first contexts."""
        found = np.zeros((len(rows), width), np.uint64)
        places, owner = self.spread(rows)
        inside = self.columns[places] < width
        found[owner[inside], self.columns[places[inside]]] = self.masks[places[inside]]
        return found

    def both(self, pairs: Rows, width: int) -> _Table:
        """A row a pair: where both hold at one token."""
        if not len(pairs):
            return _Table(np.zeros(1, np.int64), self.columns[:0], self.masks[:0])
        seconds, which = np.unique(pairs[:, 1], return_inverse=True)
        places, owner = self.spread(pairs[:, 0])
        masks = self.masks[places] & self.dense(seconds, width)[which[owner], self.columns[places]]
        kept = masks != 0
        starts = np.searchsorted(owner[kept], np.arange(len(pairs) + 1))
        return _Table(starts, self.columns[places[kept]], masks[kept])


def _pairs(table: _Table, sample: Sample, names: Sequence[Feature], kinds: NDArray[np.int8], local: Rows) -> Rows:
    """(pairs, 2) rows of features that together narrow the first."""
    width = len(sample.examples)
    heads = _most(kinds, HEADS, local, NARROWED)
    others = _most(kinds, QUALIFIERS, local, NARROWING)
    active = table.dense(others, width) & sample.active
    found: list[tuple[int, int]] = []
    for head, masks in zip(heads.tolist(), table.dense(heads, width), strict=True):
        support = np.count_nonzero(active & masks, axis=1)
        most = local[head] if len(table.at(head)) == local[head] else local[head] + 1
        fits = (support >= max(SUPPORT, PAIRED * local[head])) & (support < most) & (others != head)
        found += [(head, other) for other in others[fits].tolist() if _narrows(names[head], names[other])]
    return np.array(found, np.int64).reshape(-1, 2)


def _most(kinds: NDArray[np.int8], among: Sequence[str], local: Rows, n: int) -> Rows:
    """The n rows of some kinds with the most support."""
    rows = np.flatnonzero(np.isin(kinds, [KINDS.index(kind) for kind in among]))
    return rows[np.argsort(-local[rows], kind="stable")[:n]]


def _narrows(head: Feature, other: Feature) -> bool:
    """Whether the pair says something, and is not the same as one already there."""
    if head[0] == other[0]:
        return head[0] in ("is", "at") and head < other
    return not (other[0] in HEADS and head[0] in QUALIFIERS and head > other) and (head[0], other[0]) != (
        "is",
        "topic",
    )


def _kin(
    features: Features, entries: Entries, sample: Sample, kin: Kin
) -> tuple[dict[str, tuple[str, ...]], _Table]:
    """Sets of like words by their seed, and where each set holds."""
    first = entries.columns < len(sample.examples)
    at = np.flatnonzero(first & (features.kinds[entries.ids] == KINDS.index("word")))
    at = at[(entries.masks[at] & sample.active[entries.columns[at]]) != 0]
    weight = np.bincount(entries.ids[at], sample.weights[entries.columns[at]], minlength=len(features.names))
    there = sorted((-weight[i], features.names[i][1]) for i in np.flatnonzero(weight).tolist())
    active = dict.fromkeys(word for _, word in there)
    sets = {seed: words for seed, words in kin.sets(list(active)).items() if len(active.keys() & words) >= SUPPORT}
    seen = {
        features.names[i][1] for i in np.unique(entries.ids[features.kinds[entries.ids] == KINDS.index("word")])
    }
    # A word that was seen and never active is no member; one that was never seen may be.
    sets = {seed: tuple(w for w in words if w in active or w not in seen) for seed, words in sets.items()}
    numbers = [_known(features, words) for words in sets.values()]
    wanted = np.unique(np.concatenate([*numbers, np.zeros(0, np.int64)]))
    table = _Table.of(entries, wanted, len(features.names))
    columns, masks = [table.columns[:0]], [table.masks[:0]]
    for ids in numbers:
        places, _ = table.spread(np.searchsorted(wanted, ids))
        merged = np.zeros(len(sample.contexts), np.uint64)
        np.bitwise_or.at(merged, table.columns[places], table.masks[places])
        columns.append(np.flatnonzero(merged).astype(np.int32))
        masks.append(merged[columns[-1]])
    starts = np.cumsum([0, *map(len, columns[1:])])
    shown = {seed: tuple(sorted(words, key=lambda word: word not in active)) for seed, words in sets.items()}
    return shown, _Table(starts, np.concatenate(columns), np.concatenate(masks))


def _words(features: Features, entries: Entries, active: int) -> tuple[str, ...]:
    word = (entries.columns < active) & (features.kinds[entries.ids] == KINDS.index("word"))
    counts = np.bincount(entries.ids[word], minlength=len(features.names))
    found = np.flatnonzero(counts).tolist()
    return tuple(name for _, name in sorted((-int(counts[i]), features.names[i][1]) for i in found))


def _known(features: Features, words: Sequence[str]) -> Rows:
    """The numbers of those words that were seen."""
    return np.array([n for word in words if (n := features.number(("word", word))) >= 0], np.int64)


def _joined(
    conditions: list[tuple[Feature, ...]],
    tables: Sequence[_Table],
    sample: Sample,
    words: tuple[str, ...],
    sets: Mapping[str, tuple[str, ...]],
) -> Candidates:
    columns = np.concatenate([table.columns for table in tables])
    masks = np.concatenate([table.masks for table in tables])
    lengths = np.concatenate([np.diff(table.starts) for table in tables])
    starts = np.concatenate([[0], np.cumsum(lengths)])
    shape = (len(conditions), len(sample.contexts))
    silent = np.zeros(len(sample.contexts) - len(sample.active), np.uint64)

    def at(active: Masks) -> csr_matrix:
        hit = (masks & np.concatenate([active, silent])[columns]) != 0
        return csr_matrix((hit.astype(float), columns, starts), shape)

    return Candidates(
        conditions,
        csr_matrix((np.ones(len(columns)), columns, starts), shape),
        masks,
        at(sample.active),
        at(sample.turned),
        words,
        sets,
    )
