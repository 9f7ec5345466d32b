"""The index: one document for each explanation that a unit has in the ledger, in two parts.

The Chroma collection has vectors, texts and metadata for approximate neighbours and for other programs; the
catalogue has the same for filters, words and exact neighbours. Both can be rebuilt from the ledger at any time.
One process writes to them at a time (`RunFolder.writing`): two corrupt Chroma's files without an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import numpy as np

from neurogloss.errors import UserError
from neurogloss.folder import replace_file
from neurogloss.protocols import Embedder, Float32, Progress, Quiet
from neurogloss.store.catalogue import Catalogue
from neurogloss.store.chroma import Chroma
from neurogloss.store.documents import Document, documents
from neurogloss.store.ledger import Ledger
from neurogloss.store.where import Condition

Item = TypeVar("Item")

EXACT_ROWS = 200_000
"""Exact cosines up to so many documents that pass a filter: importing Chroma alone takes longer than they do."""
_ASKED = (1, 4, 16)
"""Times as many as are wanted."""
_BATCH = 1000
_SERVER = "server.url"
_QUIET = Quiet()


@dataclass(frozen=True, slots=True)
class SyncReport:
    """Documents by what a sync did to them."""

    added: int
    changed: int
    removed: int
    unchanged: int


@dataclass(frozen=True, slots=True)
class IndexCheck:
    """Ids of the documents in which a part of the index differs from the ledger."""

    missing: tuple[str, ...]
    """In the ledger, not in both parts."""
    stale: tuple[str, ...]
    """With other metadata."""
    extra: tuple[str, ...]
    """In the index only."""

    @property
    def ok(self) -> bool:
        return not (self.missing or self.stale or self.extra)


class Index:
    """The index in the folder `path`, opened on first use.

    Methods raise UserError where the folder cannot be read as an index, or where another embedder made it.
    """

    def __init__(self, path: Path, embedder: Embedder) -> None:
        self.path = Path(path)
        self.embedder = embedder
        self.catalogue = Catalogue(self.path, embedder)
        remembered = self.path / _SERVER
        self._chroma = Chroma(self.path, embedder, remembered.read_text() if remembered.is_file() else None)

    def close(self) -> None:
        for part in self._parts:
            part.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _parts(self) -> tuple[Chroma | Catalogue, ...]:
        return (self._chroma, self.catalogue)

    # --- keeping it like the ledger ---------------------------------------------------------------

    def sync(self, ledger: Ledger, progress: Progress = _QUIET) -> SyncReport:
        """Make the index equal to the ledger. Only texts that are new are embedded."""
        added: set[str] = set()
        changed: set[str] = set()
        known: set[str] = set()
        progress.start("index", ledger.n_explained(), "explanations")
        for batch in _batches(documents(ledger)):
            self._write(batch, added, changed)
            known.update(document.id for document in batch)
            progress.advance(len(batch))
        removed = self._remove_but(known)
        return SyncReport(len(added), len(changed - added), removed, len(known - added - changed))

    def check(self, ledger: Ledger) -> IndexCheck:
        """Compare every document with the ledger. Writes nothing."""
        found = {part: part.exists() for part in self._parts}
        missing: list[str] = []
        stale: list[str] = []
        known: set[str] = set()
        for batch in _batches(documents(ledger)):
            compared = [_compare(part, batch) if exists else (batch, []) for part, exists in found.items()]
            lacking = {document.id for new, _ in compared for document in new}
            other = {document.id for _, changed in compared for document in changed}
            missing += [document.id for document in batch if document.id in lacking]
            stale += [document.id for document in batch if document.id in other]
            known.update(document.id for document in batch)
        extra = dict.fromkeys(
            id for part, exists in found.items() if exists for id in part.ids() if id not in known
        )
        return IndexCheck(tuple(missing), tuple(stale), tuple(extra))

    def rebuild(self, ledger: Ledger, progress: Progress = _QUIET, server: str | None = None) -> SyncReport:
        """Make the index anew, whatever is in the folder now and whichever embedder made it.

        Args:
            server: URL of the Chroma server that is to have the collection from now on; the folder has it if None.

        Raises:
            UserError: the folder holds something that is no index, or there is no such server.
        """
        known = (*self.path.glob("*.sqlite*"), self.path / _SERVER)
        if self.path.exists() and (
            self.path.is_file() or (any(self.path.iterdir()) and not any(path.is_file() for path in known))
        ):
            raise UserError(f"Expected an index at {self.path}, found other files. Move them away first.")
        self.close()
        self.catalogue.erase()
        # A server that the index leaves may be gone: what is on it stays.
        for place in dict.fromkeys((None, server)):
            self._chroma = Chroma(self.path, self.embedder, place)
            self._chroma.erase()
        if server is None:
            (self.path / _SERVER).unlink(missing_ok=True)
        else:
            replace_file(self.path / _SERVER, server.encode())
        return self.sync(ledger, progress)

    def _write(self, batch: Sequence[Document], added: set[str], changed: set[str]) -> None:
        """Bring one batch up to date in both parts, each text embedded once."""
        differing = [(part, *(_compare(part, batch) if part.exists() else (batch, []))) for part in self._parts]
        new = {document.id: document for _, some, _ in differing for document in some}
        vectors = self.embedder.embed([document.text for document in new.values()]) if new else None
        place = {id: i for i, id in enumerate(new)}
        for part, some, stale in differing:
            if some and vectors is not None:
                part.add(some, vectors[[place[document.id] for document in some]])
            if stale:
                part.change(stale)
            changed.update(document.id for document in stale)
        added.update(new)

    def _remove_but(self, known: set[str]) -> int:
        """Remove what the ledger has not; returns how many documents that were."""
        removed: set[str] = set()
        for part in self._parts:
            extra = [id for id in part.ids() if id not in known] if part.exists() else []
            for ids in _batches(extra):
                part.remove(ids)
            removed.update(extra)
        return len(removed)

    # --- asking -----------------------------------------------------------------------------------

    def nearest(self, vector: Float32, n: int, condition: Condition | None = None) -> list[int]:
        """The n rows of the catalogue that meet the condition, nearest to a vector (dimension,) first.

        1. Beyond EXACT_ROWS rows that meet it, Chroma's graph is asked: approximate, but in a time that hardly
           grows. Of its answer the rows that meet the condition remain; it is asked for more until there are n.
        2. Up to so many rows, and where those near to the vector do not meet the condition, the cosine of each row
           that does is computed.
        """
        rows = self.catalogue.rows(condition)
        for asked in _ASKED if len(rows) > EXACT_ROWS else ():
            ids = self._chroma.nearest(vector, min(asked * n, len(self.catalogue)))
            known = self.catalogue.rows_of(ids)
            near = np.array([known[id] for id in ids if id in known], np.int64)
            found = near[np.isin(near, rows)][:n]
            if len(found) == min(n, len(rows)):
                return [int(row) for row in found]
        return self.catalogue.nearest_of(rows, vector, n)


def _compare(part: Chroma | Catalogue, batch: Sequence[Document]) -> tuple[list[Document], list[Document]]:
    """The documents that the part has not, and those that it has with other metadata.

    An id is the hash of unit, method, rank and text: under one id the text is the same.
    """
    stored = part.stored([document.id for document in batch])
    new = [document for document in batch if document.id not in stored]
    stale = [document for document in batch if stored.get(document.id, document.metadata) != document.metadata]
    return new, stale


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    iterator = iter(items)
    while batch := list(islice(iterator, _BATCH)):
        yield batch
