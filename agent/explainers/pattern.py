"""Patterns: an explainer that needs no language model. It writes what `neurogloss.agent.patterns` finds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from neurogloss.agent.explainers.show import are_stimuli
from neurogloss.agent.patterns import search
from neurogloss.agent.patterns.kin import Kin
from neurogloss.errors import EmptyAnswerError
from neurogloss.protocols import Embedder, Float32, Material
from neurogloss.records import Candidate
from neurogloss.scorers.patterns.english import describe

VERSION = 1
"""Of the language and the search, in the method's settings: another one may find other patterns."""


@runtime_checkable
class WordTable(Protocol):
    """An embedder with a table of word vectors."""

    @property
    def name(self) -> str: ...

    def words(self) -> tuple[list[str], Float32]: ...


class PatternExplainer:
    """Implements `neurogloss.protocols.Explainer`."""

    name = "pattern"
    validates = True
    """It is given the whole explain split, and keeps slices of it to validate on itself."""

    def __init__(self, embedder: Embedder | None = None) -> None:
        """`embedder`: grows sets of like words if it has a table of word vectors; None: no such sets."""
        self._embedder = embedder if isinstance(embedder, WordTable) else None
        self._search: search.Search | None = None

    @property
    def settings(self) -> Mapping[str, Any]:
        words = self._embedder.name if self._embedder else None
        return {"explainer": self.name, "version": VERSION, "words": words}

    async def candidates(self, material: Material) -> list[Candidate]:
        """One pattern in English, with its JSON. Raises EmptyAnswerError if the unit has no pattern in text."""
        half = material.half
        if are_stimuli(half) or not half.negatives or not (half.uniform or half.top):
            raise EmptyAnswerError("a pattern is found in active and silent texts, token by token")
        if self._search is None:
            self._search = search.Search(Kin(*self._embedder.words()) if self._embedder else None)
        found = self._search.find(half, material.seed)
        if found.pattern is None:
            raise EmptyAnswerError(
                f"no pattern: what was found on parts of the explain split does not hold on the others "
                f"(correlation {found.r:.2f}, z {found.z:.1f}; {search.LEAST_R} and {search.LEAST_Z} are needed)"
            )
        validated = {"r": round(found.r, 3), "z": round(found.z, 2)}
        return [
            Candidate(describe(found.pattern), details={"pattern": found.pattern.json(), "validated": validated})
        ]
