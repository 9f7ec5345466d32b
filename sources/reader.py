"""From vectors to sketches: what a pass does with each batch that the subject has read.

1. Each dictionary encodes the vectors, a bounded number of values at a time.
2. Sparse codes are gathered until they are worth a sort, dense ones are taken in at once.
3. A context's pairs go to the sketch of its document's half.

On another device than the CPU steps 2 and 3 of one part run beside step 1 of the next: a thread of their own waits
for the codes, moves them and sorts them, while the device is given more to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from neurogloss.sources.contexts import HALVES
from neurogloss.sources.corpus import Half
from neurogloss.sources.dictionaries.activations import Codes, rows_at_once
from neurogloss.sources.pairs import Cut, Entries, Int, Pairs, pairs_of_dense, pairs_of_entries
from neurogloss.sources.sketch import Sketch
from neurogloss.sources.source import Batch, Listener

ENTRIES = 2**18
"""Sparse values that are sorted together: more are not sorted faster, and take memory."""

Sketches = dict[tuple[str, Half], Sketch]
"""By site and half."""


def encode(listener: Listener, batch: Batch) -> Iterator[tuple[Codes, Cut, Int]]:
    """The codes of a batch in parts that end where a context ends, where the contexts lie in them, and which."""
    import torch

    vectors, cut = batch.vectors[listener.hookpoint], batch.cuts[listener.hookpoint]
    rows = rows_at_once(listener.dictionary.n_units, vectors.device)
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


class Gathered:
    """Buffer of sparse activations awaiting a sort. It reuses its arrays: arrays for each batch, which outlive the
    batch, would fragment the heap."""

    def __init__(self) -> None:
        self._held = Entries(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
        self.clear()

    def clear(self) -> None:
        self.size = self._n_vectors = 0
        self.cuts: list[Cut] = []
        self.is_score: list[NDArray[np.bool_]] = []

    def add(self, entries: Entries, cut: Cut, is_score: NDArray[np.bool_]) -> None:
        first, last = self.size, self.size + len(entries.values)
        if last > len(self._held.values):
            self._grow(last + ENTRIES)
        held = self._held
        np.add(entries.vectors, self._n_vectors, out=held.vectors[first:last])
        held.units[first:last], held.values[first:last] = entries.units, entries.values
        self.size = last
        self._n_vectors += int(cut.lengths.sum())
        self.cuts.append(cut)
        self.is_score.append(is_score)

    def _grow(self, size: int) -> None:
        held = self._held
        self._held = Entries(
            np.resize(held.vectors, size), np.resize(held.units, size), np.resize(held.values, size)
        )

    def entries(self) -> Entries:
        """All of them, until `clear`."""
        held = self._held
        return Entries(held.vectors[: self.size], held.units[: self.size], held.values[: self.size])


class Reader:
    """Takes batches into sketches, which it changes."""

    def __init__(
        self,
        listeners: Sequence[Listener],
        thresholds: Mapping[str, NDArray[np.float32]],
        sketches: Sketches,
        beside: bool = False,
    ) -> None:
        """`beside`: whether codes are taken in while the next are made."""
        self._listeners, self._thresholds = listeners, thresholds
        self._gathered = {listener.site.name: Gathered() for listener in listeners}
        self.sketches = sketches
        self._beside = ThreadPoolExecutor(1) if beside else None
        self._running: Future[None] | None = None

    def take(self, batch: Batch) -> None:
        """What the subject has read."""
        for listener in self._listeners:
            absorb = self._gather if listener.dictionary.sparse else self._take_dense
            for codes, cut, rows in encode(listener, batch):
                self._wait()
                if self._beside:
                    self._running = self._beside.submit(absorb, listener, codes, cut, batch.is_score[rows])
                else:
                    absorb(listener, codes, cut, batch.is_score[rows])

    def finish(self) -> None:
        """Take in what was gathered."""
        self._wait()
        for listener in self._listeners:
            self._sort(listener)

    def _wait(self) -> None:
        """Until the part before is taken in: no more than two are in memory."""
        if self._running:
            self._running.result()
            self._running = None

    def _gather(self, listener: Listener, codes: Codes, cut: Cut, is_score: NDArray[np.bool_]) -> None:
        gathered = self._gathered[listener.site.name]
        gathered.add(Entries.of_codes(codes), cut, is_score)
        if gathered.size >= ENTRIES:
            self._sort(listener)

    def _sort(self, listener: Listener) -> None:
        gathered = self._gathered[listener.site.name]
        if not gathered.cuts:
            return
        entries = gathered.entries()
        lengths = np.concatenate([cut.lengths for cut in gathered.cuts])
        cut = Cut(np.concatenate([c.hashes for c in gathered.cuts]), np.cumsum(lengths) - lengths, lengths)
        is_score = np.concatenate(gathered.is_score)
        n_units, signed = listener.dictionary.n_units, listener.dictionary.signed
        self._take(
            listener,
            cut,
            is_score,
            lambda mine: pairs_of_entries(entries, mine, n_units, signed, listener.site.window),
        )
        gathered.clear()

    def _take_dense(self, listener: Listener, codes: Codes, cut: Cut, is_score: NDArray[np.bool_]) -> None:
        limits = self._thresholds[listener.site.name]
        self._take(listener, cut, is_score, lambda mine: pairs_of_dense(codes, mine, limits, listener.site.window))

    def _take(
        self, listener: Listener, cut: Cut, is_score: NDArray[np.bool_], pairs_of: Callable[[Cut], Pairs]
    ) -> None:
        """Each half's contexts to the half's sketch."""
        for half in HALVES:
            mine = cut.take(np.flatnonzero(is_score == (half == "score")))
            self.sketches[listener.site.name, half].take(pairs_of(mine), len(mine))
