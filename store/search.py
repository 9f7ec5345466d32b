"""Semantic search: the index finds, the ledger answers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from neurogloss.records import Label, State
from neurogloss.store.index import Hit, Index
from neurogloss.store.ledger import Ledger


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A label whose explanation is near to the query."""

    label: Label
    similarity: float
    """Cosine of query and explanation, in [-1, 1]."""


def search(
    index: Index,
    ledger: Ledger,
    query: str,
    k: int = 10,
    states: Collection[State] | None = None,
    *,
    subject: str | None = None,
    hookpoint: str | None = None,
    method: str | None = None,
) -> list[SearchResult]:
    """The k labels whose explanations are nearest to `query`, by descending similarity.

    Documents that the ledger no longer has so are left out, and others asked for in their place; labels
    that the index does not have yet cannot be found (`Index.check` counts both).

    Raises:
        UserError: there is no index yet, or it cannot be read.
    """
    if k < 1 or (states is not None and not states):
        return []
    where = _where(states, {"subject": subject, "hookpoint": hookpoint, "method": method})
    asked = k
    while True:
        hits = index.query(query, asked, where)
        found = [result for hit in hits if (result := _result(ledger, hit, states)) is not None]
        if len(found) >= k or len(hits) < asked:
            return found[:k]
        asked *= 2


def _result(ledger: Ledger, hit: Hit, states: Collection[State] | None) -> SearchResult | None:
    label = ledger.label(hit.unit, hit.method)
    if label is None or label.explanation is None or label.explanation.id != hit.explanation:
        return None
    if states is not None and label.state not in states:
        return None
    return SearchResult(label, hit.similarity)


def _where(states: Collection[State] | None, equal: dict[str, str | None]) -> dict[str, Any] | None:
    """The filter in Chroma's language."""
    conditions: list[dict[str, Any]] = [{name: value} for name, value in equal.items() if value is not None]
    if states is not None:
        conditions.append({"state": {"$in": sorted(state.value for state in states)}})
    if len(conditions) > 1:
        return {"$and": conditions}
    return conditions[0] if conditions else None
