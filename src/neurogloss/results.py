"""What the verbs return, to name in annotations. Each type is loaded on first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurogloss.runs.firing import Firing
    from neurogloss.runs.passages import FoundContext
    from neurogloss.runs.plan import Plan
    from neurogloss.runs.sweep import Summary
    from neurogloss.store.exchange.diff import Difference
    from neurogloss.store.exchange.importing import Imported
    from neurogloss.store.search import SearchResult
    from neurogloss.store.similarity import Level, Lone, Pair, Similarity

_HOME = {
    "Difference": "store.exchange.diff",
    "Firing": "runs.firing",
    "FoundContext": "runs.passages",
    "Imported": "store.exchange.importing",
    "Level": "store.similarity",
    "Lone": "store.similarity",
    "Pair": "store.similarity",
    "Plan": "runs.plan",
    "SearchResult": "store.search",
    "Similarity": "store.similarity",
    "Summary": "runs.sweep",
}

__all__ = (
    "Difference",
    "Firing",
    "FoundContext",
    "Imported",
    "Level",
    "Lone",
    "Pair",
    "Plan",
    "SearchResult",
    "Similarity",
    "Summary",
)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'neurogloss.results' has no attribute {name!r}")
    return getattr(importlib.import_module(f"neurogloss.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
