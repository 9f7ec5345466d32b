"""From documents to what the subject reads at once: sections of a document, and the contexts inside them.

1. A document is cut at white space into sections that fit the subject.
2. A section is tokenized as a whole and cut, on its text, into contexts.
3. Each token belongs to the context that holds its first character.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from neurogloss.sources.contexts import MAX_TOKENS
from neurogloss.sources.corpus import Document, Half, context_id, cut
from neurogloss.sources.source import SectionContext
from neurogloss.sources.subject import Tokens
from neurogloss.sources.tokens import TokenRow

if TYPE_CHECKING:
    import torch

SECTION_CHARS = 2_000
"""A section is read without what stands before it; about 500 tokens."""
SECTION_TOKENS = 512
"""The same where tokens are given."""
BATCH_TOKENS, BATCH_TOKENS_CPU = 16_384, 1_024
"""Tokens in one forward pass, padding included: what a layer makes of a thousand stays in a CPU's caches, other
devices are not kept busy by so few."""

Item = TypeVar("Item")
Spell = Callable[[Sequence[int]], tuple[str, tuple[int, ...]]]
"""Ids to their text and the first character of each."""


@dataclass(frozen=True, slots=True)
class Section:
    """What the subject reads in one row."""

    ids: tuple[int, ...]
    contexts: tuple[SectionContext, ...]
    too_long: int
    """Contexts left out because they have more than MAX_TOKENS tokens."""

    @property
    def size(self) -> int:
        """In tokens."""
        return len(self.ids)


def sections_of(
    document: Document, half: Half, tokenize: Callable[[str], Tokens], context_chars: int
) -> list[Section]:
    """The document's sections, without those that hold no token."""
    sections = []
    for start, end in cut(document.text, SECTION_CHARS):
        text = document.text[start:end]
        tokens = tokenize(text)
        starts = np.array(tokens.starts, np.int64)
        contexts, too_long = [], 0
        for a, b in cut(text, context_chars):
            first, last = (int(i) for i in np.searchsorted(starts, [a, b]))
            if last - first > MAX_TOKENS:
                too_long += 1
            elif last > first:
                # What stands before the first token (white space) is shown as part of it.
                inside = (0, *(int(s) - a for s in starts[first + 1 : last]))
                digest = context_id(document.id, start + a)
                contexts.append(SectionContext(digest, half, text[a:b], slice(first, last), inside))
        if tokens.ids:
            sections.append(Section(tokens.ids, tuple(contexts), too_long))
    return sections


def sections_of_row(row: TokenRow, half: Half, spell: Spell, context_tokens: int) -> list[Section]:
    """The same of token ids already cut: contexts of so many tokens, told apart by their place in the row."""
    sections = []
    for start in range(0, len(row.ids), SECTION_TOKENS):
        ids = row.ids[start : start + SECTION_TOKENS]
        text, starts = spell(ids)
        contexts = []
        for first in range(0, len(ids), context_tokens):
            last = min(first + context_tokens, len(ids))
            a, b = starts[first], starts[last] if last < len(ids) else len(text)
            digest = context_id(row.id, start + first)
            inside = tuple(s - a for s in starts[first:last])
            contexts.append(SectionContext(digest, half, text[a:b], slice(first, last), inside))
        sections.append(Section(ids, tuple(contexts), 0))
    return sections


def by_length(items: Iterable[Item], length: Callable[[Item], int], device: torch.device) -> Iterator[list[Item]]:
    """What is read in one row each, in groups of one, or of as many tokens as the device reads at once."""
    most = BATCH_TOKENS_CPU if device.type == "cpu" else BATCH_TOKENS
    batch: list[Item] = []
    for item in sorted(items, key=length):
        if batch and (len(batch) + 1) * length(item) > most:
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch
