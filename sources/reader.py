"""From sections to sketches: what a pass does with each batch that the subject has read.

1. The subject reads a batch of sections up to the last hookpoint; of its vectors those inside contexts are kept.
2. Each dictionary encodes them, a bounded number of values at a time.
3. Sparse codes are gathered until they are worth a sort, dense ones are taken in at once.
4. A context's pairs go to the sketch of its document's half.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neurogloss.sources.codes import Codes
from neurogloss.sources.contexts import HALVES
from neurogloss.sources.corpus import Half
from neurogloss.sources.hookpoints import Hookpoint
from neurogloss.sources.pairs import Cut, Entries, Int, Pairs, pairs_of_dense, pairs_of_entries
from neurogloss.sources.sections import MAX_TOKENS, Section
from neurogloss.sources.sites import Listener
from neurogloss.sources.sketch import Sketch
from neurogloss.sources.subject import Subject

if TYPE_CHECKING:
    import torch

CODES_AT_ONCE = 2**24
"""Values of the encoder's product in memory: 64 MiB."""
ENTRIES = 2**20
"""Sparse values that are sorted together."""

Sketches = dict[tuple[str, Half], Sketch]
"""By site and half."""


@dataclass(frozen=True)
class Batch:
    """Vectors inside contexts, the contexts one after another."""

    vectors: Mapping[Hookpoint, torch.Tensor]
    """(T, width) for each hookpoint."""
    cut: Cut
    is_score: NDArray[np.bool_]
    """(C,)"""
    silent: NDArray[np.bool_]
    """(T,): positions of special tokens, at which no unit counts as active."""


def read(subject: Subject, sections: Sequence[Section], hookpoints: Sequence[Hookpoint]) -> Batch:
    """Let the subject read some sections."""
    import torch

    found = subject.vectors([section.ids for section in sections], hookpoints)
    contexts = [(row, context) for row, section in enumerate(sections) for context in section.contexts]
    longest = max(len(section.ids) for section in sections)
    at = np.concatenate([np.arange(c.tokens.start, c.tokens.stop) + row * longest for row, c in contexts])
    lengths = np.array([c.tokens.stop - c.tokens.start for _, c in contexts])
    ids = np.concatenate([section.ids[c.tokens] for section in sections for c in section.contexts])
    index = torch.from_numpy(at)
    return Batch(
        {hookpoint: v.flatten(0, 1)[index.to(v.device)] for hookpoint, v in found.items()},
        Cut(np.array([c.digest for _, c in contexts], np.uint64), np.cumsum(lengths) - lengths, lengths),
        np.array([c.half == "score" for _, c in contexts]),
        np.isin(ids, list(subject.special_ids)),
    )


def encode(listener: Listener, batch: Batch) -> Iterator[tuple[Codes, Cut, Int]]:
    """The codes of a batch in parts that end where a context ends, where the contexts lie in them, and which."""
    import torch

    vectors, cut = batch.vectors[listener.hookpoint], batch.cut
    rows = max(CODES_AT_ONCE // listener.dictionary.n_units, 1)
    first = 0
    while first < len(cut):
        last = max(int(np.searchsorted(cut.starts + cut.lengths, cut.starts[first] + rows, "right")), first + 1)
        part = slice(int(cut.starts[first]), int(cut.starts[last - 1] + cut.lengths[last - 1]))
        with torch.inference_mode():
            codes = listener.dictionary.encode(vectors[part])
            if batch.silent[part].any():
                silent = torch.from_numpy(batch.silent[part]).to(codes.values.device)
                codes = Codes(codes.values.masked_fill(silent[:, None], 0), codes.units, codes.n_units)
        mine = slice(first, last)
        yield (
            codes,
            Cut(cut.hashes[mine], cut.starts[mine] - part.start, cut.lengths[mine]),
            np.arange(first, last),
        )
        first = last


@dataclass
class _Gathered:
    """Sparse codes that wait to be sorted."""

    entries: list[Entries] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)
    is_score: list[NDArray[np.bool_]] = field(default_factory=list)

    @property
    def size(self) -> int:
        return sum(len(part.values) for part in self.entries)


class Reader:
    """Takes sections into sketches, which it changes."""

    def __init__(
        self,
        subject: Subject,
        listeners: Sequence[Listener],
        thresholds: Mapping[str, NDArray[np.float32]],
        sketches: Sketches,
    ) -> None:
        self._subject, self._listeners, self._thresholds = subject, listeners, thresholds
        self._hookpoints = [listener.hookpoint for listener in listeners]
        self._gathered = {listener.site.name: _Gathered() for listener in listeners}
        self.sketches = sketches

    def read(self, sections: Sequence[Section]) -> None:
        """Sections that each hold a context."""
        batch = read(self._subject, sections, self._hookpoints)
        for listener in self._listeners:
            for codes, cut, rows in encode(listener, batch):
                if listener.dictionary.sparse:
                    self._gather(listener, codes, cut, batch.is_score[rows])
                else:
                    self._take_dense(listener, codes, cut, batch.is_score[rows])

    def finish(self) -> None:
        """Take in what was gathered."""
        for listener in self._listeners:
            self._sort(listener)

    def _gather(self, listener: Listener, codes: Codes, cut: Cut, is_score: NDArray[np.bool_]) -> None:
        gathered = self._gathered[listener.site.name]
        gathered.entries.append(Entries.of_codes(codes))
        gathered.cuts.append(cut)
        gathered.is_score.append(is_score)
        if gathered.size >= ENTRIES:
            self._sort(listener)

    def _sort(self, listener: Listener) -> None:
        gathered = self._gathered[listener.site.name]
        if not gathered.cuts:
            return
        entries = Entries.join(gathered.entries, [int(cut.lengths.sum()) for cut in gathered.cuts])
        lengths = np.concatenate([cut.lengths for cut in gathered.cuts])
        cut = Cut(np.concatenate([c.hashes for c in gathered.cuts]), np.cumsum(lengths) - lengths, lengths)
        is_score = np.concatenate(gathered.is_score)
        self._gathered[listener.site.name] = _Gathered()
        n_units, signed = listener.dictionary.n_units, listener.dictionary.signed
        self._take(
            listener, cut, is_score, lambda mine: pairs_of_entries(entries, mine, n_units, signed, MAX_TOKENS)
        )

    def _take_dense(self, listener: Listener, codes: Codes, cut: Cut, is_score: NDArray[np.bool_]) -> None:
        limits = self._thresholds[listener.site.name]
        self._take(listener, cut, is_score, lambda mine: pairs_of_dense(codes, mine, limits, MAX_TOKENS))

    def _take(
        self, listener: Listener, cut: Cut, is_score: NDArray[np.bool_], pairs_of: Callable[[Cut], Pairs]
    ) -> None:
        """Each half's contexts to the half's sketch."""
        for half in HALVES:
            mine = cut.take(np.flatnonzero(is_score == (half == "score")))
            self.sketches[listener.site.name, half].take(pairs_of(mine), len(mine))
