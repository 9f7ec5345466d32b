"""Search over explanations, where the index finds and the ledger answers, and over contexts.

1. Dense: documents by the cosine of their vectors with the query's.
2. Lexical: documents by BM25 of the query's words.
3. Hybrid: the sum over both lists of 1 / (60 + place), reciprocal rank fusion (Cormack, Clarke & Büttcher 2009).
4. A filter decides before any of it which documents take part.
5. Documents whose texts differ in case, white space and full stop only count as one; the best stands for all.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import TypeAlias

import numpy as np

from neurogloss.errors import UserError
from neurogloss.ids import UnitId
from neurogloss.protocols import Embedder, Float32
from neurogloss.records import Label, State
from neurogloss.store.catalogue import Catalogue, Entry
from neurogloss.store.index import Index
from neurogloss.store.ledger import Ledger
from neurogloss.store.where import Comparison, Condition, Joined, parse

_FUSION = 60
_LEAST = 100
"""Of each list so many at least are fused."""


class By(StrEnum):
    """What search goes by."""

    HYBRID = "hybrid"
    DENSE = "dense"
    LEXICAL = "lexical"


Nearest: TypeAlias = Callable[[Float32, int, Condition | None], list[int]]
"""Rows nearest to a vector, how many at most, and the condition that they meet."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A label whose explanation is near to the query."""

    label: Label
    similarity: float
    """Cosine of query and explanation, in [-1, 1], to three digits; NaN where search went by words alone."""
    same: int = 1
    """Labels that say the same, this one among them, as far as they pass the filter."""


@dataclass(frozen=True, slots=True)
class ContextResult:
    """A context that is near to the query."""

    id: str
    similarity: float
    """As a SearchResult's."""
    same: int = 1
    """Contexts of the same text, this one among them."""


def search(
    index: Index,
    ledger: Ledger,
    query: str | UnitId,
    k: int = 10,
    states: Collection[State] | None = None,
    *,
    where: str = "",
    by: By = By.HYBRID,
) -> list[SearchResult]:
    """The k labels whose explanations are nearest to `query`, best first.

    Documents that the ledger no longer has so are left out, and others asked for in their place; labels
    that the index does not have yet cannot be found, and filters see what it has of them (`Index.check` tells).

    Args:
        query: words; or a unit, to whose explanation others are to be near. It is not found itself.
        states: only these.
        where: a filter, as in `neurogloss.store.where`.

    Raises:
        UserError: there is no index yet, it cannot be read, the filter is none, or the unit is not in it.
    """
    if k < 1 or (states is not None and not states):
        return []
    catalogue = index.catalogue
    condition = condition_of(catalogue, states, where)
    asked = _unit(catalogue, query) if isinstance(query, UnitId) else _words(index.embedder, query, by)
    n = max(_LEAST, 4 * k)
    while True:
        lists = _lists(catalogue, index.nearest, asked, n, condition)
        found = _current(ledger, _fused(catalogue, lists, asked.itself), k)
        if len(found) >= k or all(len(rows) < n for rows in lists):
            break
        n *= 4
    same, near = _measured(catalogue, asked, condition, [(row, entry) for row, entry, _ in found])
    return [SearchResult(label, near[row], same[entry.words]) for row, entry, label in found]


def search_contexts(
    catalogue: Catalogue, embedder: Embedder, query: str, k: int = 10, *, where: str = "", by: By = By.HYBRID
) -> list[ContextResult]:
    """The k contexts nearest to `query`, best first, of a catalogue of contexts.

    Raises:
        UserError: there is none yet, it cannot be read, or the filter is none.
    """
    condition = condition_of(catalogue, None, where)
    asked = _words(embedder, query, by)
    n = max(_LEAST, 4 * k)
    groups = _fused(catalogue, _lists(catalogue, catalogue.nearest, asked, n, condition), None)
    found = [group[0] for group in groups[:k]]
    same, near = _measured(catalogue, asked, condition, found)
    return [ContextResult(entry.id, near[row], same[entry.words]) for row, entry in found]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the documents are to be near to."""

    vector: Float32 | None
    """None: by words alone."""
    words: str = ""
    """Empty: by the vector alone."""
    itself: int | None = None
    """A row that is not to be found."""


def _words(embedder: Embedder, query: str, by: By) -> _Asked:
    vector = None if by is By.LEXICAL else embedder.embed([query])[0]
    return _Asked(vector, "" if by is By.DENSE else query)


def _unit(catalogue: Catalogue, unit: UnitId) -> _Asked:
    row = catalogue.row_of(unit)
    if row is None:
        raise UserError(f"Expected a unit with an explanation in the index, found none of {unit}.")
    return _Asked(catalogue.vector(row), itself=row)


def units(index: Index, where: str) -> set[UnitId]:
    """Those with a label that passes the filter. Raises UserError where there is no index, or no filter."""
    rows = index.catalogue.rows(parse(where, index.catalogue.fields()))
    entries = index.catalogue.entries(rows.tolist()).values()
    return {UnitId.parse(entry.unit) for entry in entries if entry.unit}


def condition_of(catalogue: Catalogue, states: Collection[State] | None, where: str) -> Condition | None:
    """That labels are in one of the states and pass the filter. Raises UserError where it is none."""
    conditions = [parse(where, catalogue.fields())] if where else []
    if states is not None:
        conditions.append(Comparison("state", "in", tuple(sorted(state.value for state in states))))
    return Joined(True, tuple(conditions)) if conditions else None


def _lists(
    catalogue: Catalogue, nearest: Nearest, asked: _Asked, n: int, condition: Condition | None
) -> list[list[int]]:
    """Rows, best first, of each way to search."""
    dense = [] if asked.vector is None else [nearest(asked.vector, n, condition)]
    lexical = [catalogue.matching(asked.words, n, condition)] if asked.words else []
    return dense + lexical


def _fused(catalogue: Catalogue, lists: list[list[int]], itself: int | None) -> list[list[tuple[int, Entry]]]:
    """Groups of rows that say the same, best first; in each the rows in the order they were found."""
    entries = catalogue.entries({row for rows in lists for row in rows} - {itself})
    groups: dict[int, dict[int, Entry]] = {}
    worth: Counter[int] = Counter()
    for rows in lists:
        words = dict.fromkeys(entries[row].words for row in rows if row in entries)
        worth.update({word: 1 / (_FUSION + place) for place, word in enumerate(words, 1)})
        for row in rows:
            if row in entries:
                groups.setdefault(entries[row].words, {})[row] = entries[row]
    # The sort is stable: of equals, the first found stands first.
    return [list(groups[word].items()) for word in sorted(groups, key=lambda word: -worth[word])]


def _current(ledger: Ledger, groups: list[list[tuple[int, Entry]]], k: int) -> list[tuple[int, Entry, Label]]:
    """Of each group the first that the ledger still has so, until there are k."""
    found: list[tuple[int, Entry, Label]] = []
    rest = iter(groups)
    while len(found) < k and (some := list(islice(rest, k))):
        labels = ledger.explained([entry.id for group in some for _, entry in group])
        current = (
            [(row, entry, labels[entry.id]) for row, entry in group if entry.id in labels] for group in some
        )
        found += [rows[0] for rows in current if rows]
    return found[:k]


def _measured(
    catalogue: Catalogue, asked: _Asked, condition: Condition | None, found: list[tuple[int, Entry]]
) -> tuple[Mapping[int, int], Mapping[int, float]]:
    """How many say the same, by words; and the cosine, by row."""
    rows = np.array(sorted(row for row, _ in found), np.int64)
    cosines = np.full(len(rows), math.nan) if asked.vector is None else catalogue.cosines(asked.vector, rows)
    near = dict(zip(rows.tolist(), cosines.tolist(), strict=True))
    return catalogue.count([entry.words for _, entry in found], condition), near
