"""Words of one kind: the nearest neighbours of a word in a table of word vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from neurogloss.protocols import Float32

SEEDS = 16
"""Words of a unit whose neighbours are looked at."""
NEAR = 0.4
"""Least cosine of a neighbour; the vectors are centred."""
MOST = 24
"""Neighbours of a word."""
WORDS = 8_000
"""Words in the table, the most frequent ones."""


class Kin:
    """The neighbours of words; those found are kept."""

    def __init__(self, words: Sequence[str], vectors: Float32) -> None:
        """
        Args:
            words: of the table, the most frequent first.
            vectors: (words, dimension) one each.
        """
        self._words = list(words[:WORDS])
        self._places = {word: i for i, word in enumerate(self._words)}
        centred = vectors[:WORDS] - vectors[:WORDS].mean(0)
        self._vectors = centred / np.linalg.norm(centred, axis=1, keepdims=True)
        self._found: dict[str, tuple[str, ...]] = {}

    def sets(self, words: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Of the first words that the table has: each with its neighbours, itself first."""
        seeds = [word for word in words if word in self._places and len(word) > 2][:SEEDS]
        fresh = [word for word in seeds if word not in self._found]
        if fresh:
            near = self._vectors[[self._places[word] for word in fresh]] @ self._vectors.T
            for word, row in zip(fresh, near, strict=True):
                inside = np.flatnonzero(row >= NEAR)
                order = inside[np.argsort(-row[inside], kind="stable")[:MOST]]
                self._found[word] = tuple(self._words[i] for i in order.tolist())
        return {word: self._found[word] for word in seeds if len(self._found[word]) > 1}
