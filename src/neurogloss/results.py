"""What the verbs return, to name in annotations. Each type is loaded on first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurogloss.runs.firing import Firing as Firing
    from neurogloss.runs.passages import FoundContext as FoundContext
    from neurogloss.runs.plan import Plan as Plan
    from neurogloss.runs.sweep import Summary as Summary
    from neurogloss.store.exchange.diff import Difference as Difference
    from neurogloss.store.exchange.importing import Imported as Imported
    from neurogloss.store.search import SearchResult as SearchResult
    from neurogloss.store.similarity import Level as Level
    from neurogloss.store.similarity import Lone as Lone
    from neurogloss.store.similarity import Pair as Pair
    from neurogloss.store.similarity import Similarity as Similarity

_NAMES = {
    "runs.firing": ("Firing",),
    "runs.passages": ("FoundContext",),
    "runs.plan": ("Plan",),
    "runs.sweep": ("Summary",),
    "store.exchange.diff": ("Difference",),
    "store.exchange.importing": ("Imported",),
    "store.search": ("SearchResult",),
    "store.similarity": ("Level", "Lone", "Pair", "Similarity"),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'neurogloss.results' has no attribute {name!r}")
    return getattr(importlib.import_module(f"neurogloss.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
