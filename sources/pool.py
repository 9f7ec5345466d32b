"""A bounded pool of a half's contexts, in which contexts of a kind are found by token and by embedding.

The contexts with the smallest hashes are a uniform sample of all; and they are the ones that a unit's sample
certifies, because it certifies what lies below its largest hash.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import cast

import numpy as np
from numpy.typing import NDArray

from neurogloss.protocols import Embedder
from neurogloss.sources.contexts import Contexts
from neurogloss.sources.corpus import Half

POOL = 4_096
"""Contexts in a pool at most."""


class Pool:
    """The first contexts of a half by hash."""

    def __init__(self, contexts: Contexts, half: Half) -> None:
        self.hashes: list[int] = contexts.hashes(half)[:POOL].tolist()
        self._get = contexts.get

    @cached_property
    def _by_word(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for digest in self.hashes:
            for word in {word_of(token) for token in self._get(digest).tokens}:
                found.setdefault(word, []).append(digest)
        return found

    def holding(self, word: str) -> list[int]:
        """Hashes of the contexts with a token that is this word (`word_of`), ascending."""
        return self._by_word.get(word, [])

    def like(self, texts: Sequence[str], embedder: Embedder) -> list[int]:
        """Hashes of all contexts, those first whose cosine with any of the texts is the largest."""
        nearness = (self._vectors(embedder) @ embedder.embed(texts).T).max(1)
        return [self.hashes[row] for row in np.argsort(-nearness, kind="stable").tolist()]

    @cached_property
    def _vectors(self) -> Callable[[Embedder], NDArray[np.float32]]:
        def embed(embedder: Embedder) -> NDArray[np.float32]:
            return embedder.embed([self._get(digest).text for digest in self.hashes])

        return cast(Callable[[Embedder], NDArray[np.float32]], lru_cache(1)(embed))  # once for all units


def word_of(token: str) -> str:
    """A token without white space around it and without case: ` The` and `the` are one word."""
    return token.strip().casefold()
