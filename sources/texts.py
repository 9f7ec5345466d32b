"""Documents as a language model reads them: the text source of a pass.

1. A batch of sections is read up to the last hookpoint.
2. Of its vectors those inside contexts are kept, the contexts one after another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neurogloss.protocols import Progress
from neurogloss.settings import CollectSettings
from neurogloss.sources.corpus import Document, Half, half_of, read_documents
from neurogloss.sources.hookpoints import Hookpoint
from neurogloss.sources.outputs import write_outputs
from neurogloss.sources.pairs import Cut
from neurogloss.sources.sections import Section, by_length, sections_of, sections_of_row
from neurogloss.sources.sites import Listener
from neurogloss.sources.source import Batch
from neurogloss.sources.subject import Subject
from neurogloss.sources.tokens import TokenRow, is_token_corpus, read_token_rows

SHARD_TOKENS = 32_768
"""Least tokens between two states on disk."""
TOKENS_PER_SIDE = 4
"""Tokens between two states for each side: then writing them costs a few per cent of the pass at most."""


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
