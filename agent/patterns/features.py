"""The features of many contexts as arrays, read once and shared by all units of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurogloss.records import Context
from neurogloss.scorers.patterns.reading import KINDS, read

TOKENS = 64
"""Tokens of a context that the search looks at: bits of a mask. Contexts are shorter."""
KEPT = 16_384
"""Contexts kept at most, about 4 kB each; when there are more, all are read anew."""

Masks = NDArray[np.uint64]
Ids = NDArray[np.int32]
Feature = tuple[str, str]
"""Kind and value."""


@dataclass(frozen=True, slots=True)
class Entries:
    """The features of some contexts: one entry a feature and context."""

    ids: Ids
    """Numbers of features."""
    columns: Ids
    """Numbers of the contexts, in the order in which they were asked for."""
    masks: Masks
    """Bit i is set if the feature holds at token i."""


class Features:
    """Numbers features, and keeps those of the contexts that were asked for."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self.names: list[Feature] = []
        """By number."""
        self._numbers: dict[Feature, int] = {}
        self._of: dict[str, tuple[Ids, Masks]] = {}
        self._kinds = np.zeros(0, np.int8)

    def of(self, contexts: Sequence[Context]) -> Entries:
        """The features of the contexts. Numbers of earlier answers may be void afterwards."""
        if len(self._of) + len(contexts) > KEPT:
            self._clear()
        found = [self._of.get(context.id) or self._read(context) for context in contexts]
        return Entries(
            np.concatenate([ids for ids, _ in found]),
            np.repeat(np.arange(len(found), dtype=np.int32), [len(ids) for ids, _ in found]),
            np.concatenate([masks for _, masks in found]),
        )

    def number(self, feature: Feature) -> int:
        """Its number, -1 if it was never seen."""
        return self._numbers.get(feature, -1)

    @property
    def kinds(self) -> NDArray[np.int8]:
        """(features,) the kind of each, as its place in KINDS."""
        fresh = [KINDS.index(kind) for kind, _ in self.names[len(self._kinds) :]]
        self._kinds = np.concatenate([self._kinds, np.array(fresh, np.int8)])
        return self._kinds

    def _read(self, context: Context) -> tuple[Ids, Masks]:
        pairs = [
            (self._numbered((kind, value)), mask)
            for kind, masks in read(context.tokens[:TOKENS]).items()
            for value, mask in masks.items()
        ]
        found = np.array([n for n, _ in pairs], np.int32), np.array([mask for _, mask in pairs], np.uint64)
        self._of[context.id] = found
        return found

    def _numbered(self, feature: Feature) -> int:
        number = self._numbers.setdefault(feature, len(self.names))
        if number == len(self.names):
            self.names.append(feature)
        return number
