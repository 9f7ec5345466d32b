"""Search over explanations, and over contexts.

1. Dense: documents by the cosine of their vectors with the query's (Chroma).
2. Lexical: documents by BM25 of the query's words (FTS5).
3. Hybrid: the sum over both lists of 1 / (60 + place), reciprocal rank fusion (Cormack, Clarke & Büttcher 2009).
4. A filter decides before any of it which documents take part.
5. Documents whose texts differ in case, white space and full stop only count as one; the best stands for all.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from neurogloss.errors import UserError
from neurogloss.ids import UnitId
from neurogloss.protocols import Float32
from neurogloss.records import Label, State
from neurogloss.store.documents import Documents, Entry
from neurogloss.store.index import Index
from neurogloss.store.ledger import Ledger
from neurogloss.store.where import Comparison, Condition, Joined, parse

_FUSION = 60
_LEAST = 100
"""Entries of each list that are fused at least."""


class By(StrEnum):
    """What search goes by."""

    HYBRID = "hybrid"
    DENSE = "dense"
    LEXICAL = "lexical"


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A label whose explanation is near to the query."""

    label: Label
    similarity: float
    """Cosine of query and explanation, in [-1, 1], to three digits; NaN if search went by words alone."""
    same: int = 1
    """Labels that say the same and pass the filter, with this one."""


@dataclass(frozen=True, slots=True)
class ContextResult:
    """A context that is near to the query."""

    id: str
    similarity: float
    """As in SearchResult."""
    same: int = 1
    """Contexts of the same text, with this one."""


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
    """Returns the k labels whose explanations are nearest to `query`, best first.

    Labels that are not indexed yet are found by their words alone (`Index.check` counts them).

    Args:
        query: words; or a unit, whose explanation the others are compared with. The unit itself is not returned.
        states: only these.
        where: a filter, as in `neurogloss.store.where`.

    Raises:
        UserError: there is no index, it cannot be read, `where` is not a filter, or the unit is not indexed.
    """
    if k < 1 or (states is not None and not states):
        return []
    condition = condition_of(ledger.documents, states, where)
    found = _find(index, ledger.documents, query, k, condition, by)
    labels = ledger.explained([entry.id for entry, _, _ in found])
    return [SearchResult(labels[entry.id], near, same) for entry, near, same in found if entry.id in labels]


def search_contexts(
    index: Index, contexts: Documents, query: str, k: int = 10, *, where: str = "", by: By = By.HYBRID
) -> list[ContextResult]:
    """Returns the k contexts nearest to `query`, best first.

    Raises:
        UserError: they are not indexed, the index cannot be read, or `where` is not a filter.
    """
    found = _find(index, contexts, query, k, condition_of(contexts, None, where), by)
    return [ContextResult(entry.id, near, same) for entry, near, same in found]


def condition_of(documents: Documents, states: Collection[State] | None, where: str) -> Condition | None:
    """That labels are in one of the states and pass the filter. Raises UserError if `where` is not a filter."""
    conditions = [parse(where, documents.fields())] if where else []
    if states is not None:
        conditions.append(Comparison("state", "in", tuple(sorted(state.value for state in states))))
    return Joined(True, tuple(conditions)) if conditions else None


def units_where(documents: Documents, where: str) -> set[UnitId]:
    """Units with a label that passes the filter. Raises UserError if `where` is not a filter."""
    return documents.units(parse(where, documents.fields()))


def _find(
    index: Index, documents: Documents, query: str | UnitId, k: int, condition: Condition | None, by: By
) -> list[tuple[Entry, float, int]]:
    """The k best entries, each with its cosine and how many say the same."""
    vector, words, itself = _asked(index, documents, query, by)
    n = max(_LEAST, 4 * k)
    while True:
        near = {} if vector is None else index.nearest(documents, vector, n, condition)
        known = documents.entries(near)
        dense = [known[id] for id in near if id in known]
        lexical = documents.matching(words, n, condition) if words else []
        found = _fused([dense, lexical], itself)
        if len(found) >= k or max(len(near), len(lexical)) < n:
            break
        n *= 4
    best = found[:k]
    if vector is not None:
        near |= index.cosines(documents, vector, [entry.id for entry in best if entry.id not in near])
    same = documents.same([entry.words for entry in best], condition)
    return [(entry, near.get(entry.id, math.nan), same.get(entry.words, 1)) for entry in best]


def _asked(
    index: Index, documents: Documents, query: str | UnitId, by: By
) -> tuple[Float32 | None, str, int | None]:
    """The vector to be near to, the words to look up, and the row that is not to be found."""
    index.require()
    if isinstance(query, str):
        vector = None if by is By.LEXICAL else index.embedder.embed([query])[0]
        return vector, "" if by is By.DENSE else query, None
    entry = documents.of_unit(query)
    known = index.vectors(documents, [entry.id]) if entry else {}
    if entry is None or entry.id not in known:
        raise UserError(f"Expected a unit with an explanation in the index, found none of {query}.")
    return known[entry.id], "", entry.row


def _fused(lists: Sequence[Sequence[Entry]], itself: int | None) -> list[Entry]:
    """One entry for each text, the first that was found, best first."""
    first: dict[int, Entry] = {}
    worth: Counter[int] = Counter()
    for entries in lists:
        others = [entry for entry in entries if entry.row != itself]
        for entry in others:
            first.setdefault(entry.words, entry)
        for place, words in enumerate(dict.fromkeys(entry.words for entry in others), 1):
            worth[words] += 1 / (_FUSION + place)  # type: ignore[assignment]
    # The sort is stable: of equals, the first found comes first.
    return sorted(first.values(), key=lambda entry: -worth[entry.words])
