"""Documents as a language model reads them: the text source of a pass.

1. A document is cut at white space into sections that fit the subject.
2. A section is tokenized as a whole and cut, on its text, into contexts. Each token belongs to the context that
   holds its first character.
3. A batch of sections is read up to the last hookpoint.
4. Of its vectors those inside contexts are kept, the contexts one after another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from neurogloss.protocols import Progress
from neurogloss.settings import CollectSettings
from neurogloss.sources.contexts import MAX_TOKENS
from neurogloss.sources.corpus import (
    Document,
    Half,
    TokenRow,
    context_id,
    cut,
    half_of,
    is_token_corpus,
    read_documents,
    read_token_rows,
)
from neurogloss.sources.hookpoints import Hookpoint
from neurogloss.sources.outputs import write_outputs
from neurogloss.sources.pairs import Cut
from neurogloss.sources.source import Batch, Listener, SectionContext
from neurogloss.sources.subject import Subject, Tokens

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
SHARD_TOKENS = 32_768
"""Least tokens between two states on disk."""
TOKENS_PER_SIDE = 4
"""Tokens between two states for each side: then writing them costs a few per cent of the pass at most."""


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


class Texts:
    """Implements `neurogloss.sources.source.Source`."""

    measure = "tokens"
    pictures = ""

    def __init__(self, settings: CollectSettings, subject: Subject) -> None:
        self._settings, self.subject = settings, subject

    @property
    def facts(self) -> Mapping[str, Any]:
        return {"name": self.subject.name, "fingerprint": self.subject.fingerprint, "bos": self.subject.bos}

    @property
    def origin(self) -> str:
        return self._settings.corpus

    @property
    def limit(self) -> int:
        return self._settings.tokens

    def shard_size(self, sides: int) -> int:
        return self._settings.shard_tokens or max(SHARD_TOKENS, TOKENS_PER_SIDE * sides)

    def documents(self) -> Iterator[Document | TokenRow]:
        if is_token_corpus(self._settings.corpus):
            return read_token_rows(self._settings.corpus)
        return read_documents(self._settings.corpus, column=self._settings.column)

    def half(self, document: Document | TokenRow) -> Half:
        return half_of(document.id, self._settings.seed)

    def sections(self, document: Document | TokenRow) -> list[Section]:
        if isinstance(document, TokenRow):
            return sections_of_row(
                document, self.half(document), self.subject.spell, self._settings.context_tokens
            )
        return sections_of(document, self.half(document), self.subject.tokenize, self._settings.context_chars)

    def batches(self, sections: Sequence[Section]) -> Iterator[list[Section]]:
        """Of like length, so that little is padded."""
        read = [section for section in sections if section.contexts]
        return by_length(read, lambda section: section.size, self.subject.device)

    def read(self, sections: Sequence[Section], hookpoints: Sequence[Hookpoint]) -> Batch:
        import torch

        found = self.subject.vectors([section.ids for section in sections], hookpoints)
        contexts = [(row, context) for row, section in enumerate(sections) for context in section.contexts]
        longest = max(len(section.ids) for section in sections)
        at = np.concatenate([np.arange(c.tokens.start, c.tokens.stop) + row * longest for row, c in contexts])
        lengths = np.array([c.tokens.stop - c.tokens.start for _, c in contexts])
        ids = np.concatenate([section.ids[c.tokens] for section in sections for c in section.contexts])
        index = torch.from_numpy(at)
        cut = Cut(np.array([c.digest for _, c in contexts], np.uint64), np.cumsum(lengths) - lengths, lengths)
        return Batch(
            {hookpoint: v.flatten(0, 1)[index.to(v.device)] for hookpoint, v in found.items()},
            dict.fromkeys(found, cut),
            np.array([c.half == "score" for _, c in contexts]),
            np.isin(ids, list(self.subject.special_ids)),
        )

    def write_outputs(self, cache: Path, listeners: Sequence[Listener], progress: Progress) -> None:
        write_outputs(cache, self.subject, listeners, progress)
