"""The index: a Chroma collection with one document, and its vector, for each row of a `Documents` table.

`index/KIND.json` names the collection in use. A rebuild fills another collection, then replaces that file:
whatever kills it leaves the old index. One process writes at a time (`RunFolder.writing`); others notice that the
file has changed, and open the collection anew.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np

from neurogloss.errors import UserError
from neurogloss.folder import replace_file
from neurogloss.protocols import Embedder, Float32, Progress, Quiet
from neurogloss.store.chroma import Collection, checksums, drop_others
from neurogloss.store.documents import BROAD, Document, Documents
from neurogloss.store.ledger import Ledger
from neurogloss.store.where import Condition

Item = TypeVar("Item")

FEW = 0.01
"""Share of the documents up to which every cosine is computed."""
LEAST = 300
"""Neighbours that Chroma is asked for if there is a filter: with fewer, its graph misses one in fifty."""
_BATCH = 1000
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
    """Ids of the documents in which the index differs from the ledger."""

    missing: tuple[str, ...]
    """In the ledger only."""
    stale: tuple[str, ...]
    """With other metadata."""
    extra: tuple[str, ...]
    """In the index only."""

    @property
    def ok(self) -> bool:
        return not (self.missing or self.stale or self.extra)


@dataclass(frozen=True, slots=True)
class _Pointer:
    """What `index/KIND.json` says."""

    collection: str
    """Its name, and that of its folder."""
    server: str | None = None
    edition: int = 0
    """Changes with every write to the collection."""
    checksums: dict[str, int] | None = field(default=None, compare=False)
    """Of the graph's files; None while they are written, and on a server."""


class Index:
    """The index of that kind in the folder `path`, opened on first use; for several threads.

    Args:
        remake: the command that makes it, without the run.

    Raises:
        UserError: every method that reads, if there is no index, another embedder or another run made it, or it
            cannot be read.
    """

    def __init__(
        self, path: Path, embedder: Embedder, kind: str = "explanations", remake: str = "index rebuild"
    ) -> None:
        self.path = Path(path)
        self.embedder = embedder
        self.pointer = self.path / f"{kind}.json"
        """Replaced whenever the index changes."""
        self._kind = kind
        self._advice = f"Make it anew with:  neurogloss {remake} {self.path.parent}"
        self._lock = RLock()
        self._opened: tuple[_Pointer, Collection] | None = None

    def erase(self) -> None:
        """Remove the index from its folder."""
        with self._lock:
            self.close()
            self.pointer.unlink(missing_ok=True)
            for folder in self.path.glob(f"{self._kind}-*/"):
                shutil.rmtree(folder, ignore_errors=True)

    def exists(self) -> bool:
        return self.pointer.is_file()

    def require(self) -> None:
        """Raises UserError if there is no index."""
        self._read()

    def close(self) -> None:
        with self._lock:
            if self._opened is not None:
                self._opened[1].close()
            self._opened = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- keeping it equal to the documents ----------------------------------------------------------------

    def sync(self, ledger: Ledger, progress: Progress = _QUIET) -> SyncReport:
        """Make the index equal to the ledger. Only new texts are embedded; a kill loses one batch at most."""
        with self._writable(ledger.documents.run) as collection:
            return self._fill(collection, ledger.documents, progress)

    def add(self, run: str, batches: Iterable[list[Document]]) -> Iterator[list[Document]]:
        """Add documents to the index, or make it, a batch at a time; yields each batch once it is stored."""
        with self._writable(run) as collection:
            for batch in batches:
                collection.add(batch, self.embedder.embed([document.text for document in batch]))
                yield batch

    def check(self, ledger: Ledger) -> IndexCheck:
        """Compare every document with the ledger. Writes nothing."""
        documents = ledger.documents
        if not self.exists():
            return IndexCheck(tuple(document.id for document in documents), (), ())
        missing: list[str] = []
        stale: list[str] = []
        known: set[str] = set()
        with self._open(documents.run) as collection:
            for _, new, changed in _compared(collection, documents, known):
                missing += [document.id for document in new]
                stale += [document.id for document in changed]
            extra = tuple(id for id in collection.ids() if id not in known)
        return IndexCheck(tuple(missing), tuple(stale), extra)

    def rebuild(self, ledger: Ledger, progress: Progress = _QUIET, server: str | None = None) -> SyncReport:
        """Make the index anew, whatever is there and whichever embedder made it.

        Args:
            server: URL of a Chroma server that keeps the collection from now on; None keeps it in the folder.

        Raises:
            UserError: there is no such server.
        """
        with self._lock:
            self.close()
            try:
                before = self._read().server
            except UserError:
                before = None
            run = ledger.documents.run
            pointer, collection = self._create(run, server)
            with closing(collection):
                report = self._fill(collection, ledger.documents, progress)
            self._finish(pointer)
            for folder in self.path.glob(f"{self._kind}-*/"):
                if folder.name != pointer.collection:
                    shutil.rmtree(folder, ignore_errors=True)
            for place in {server, before} - {None}:
                drop_others(str(place), pointer.collection, {"run": run, "kind": self._kind})
            return report

    def _fill(self, collection: Collection, documents: Documents, progress: Progress) -> SyncReport:
        added = changed = 0
        known: set[str] = set()
        progress.start("index", len(documents), "explanations")
        for n, new, stale in _compared(collection, documents, known):
            if new:
                collection.add(new, self.embedder.embed([document.text for document in new]))
            if stale:
                collection.change(stale)
            added, changed = added + len(new), changed + len(stale)
            progress.advance(n)
        extra = [id for id in collection.ids() if id not in known]
        for ids in _batches(extra):
            collection.remove(ids)
        collection.settle()
        return SyncReport(added, changed, len(extra), len(known) - added - changed)

    # --- asking -------------------------------------------------------------------------------------------

    def nearest(
        self, documents: Documents, vector: Float32, n: int, condition: Condition | None = None
    ) -> dict[str, float]:
        """Cosines of the n documents that meet the condition nearest to a vector (dimension,), nearest first.

        1. If most documents meet it, Chroma is asked for more than n, and those that meet the condition stay.
        2. If that leaves fewer than n, or fewer documents meet it, Chroma gets the ids of those that do.
        3. If these are very few, all their cosines are computed: Chroma's graph is slow for them.
        """
        with self._open(documents.run) as collection:
            if condition is None:
                return collection.nearest(vector, n)
            if documents.share(condition) >= BROAD:
                near = collection.nearest(vector, max(3 * n, LEAST))
                met = documents.entries(near, condition)
                found = {id: cosine for id, cosine in near.items() if id in met}
                if len(found) >= n:
                    return dict(islice(found.items(), n))
            ids = documents.ids(condition)
            if len(ids) <= len(documents) * FEW:
                near = self.cosines(documents, vector, ids)
                return dict(sorted(near.items(), key=lambda each: -each[1])[:n])
            return dict(islice(collection.nearest(vector, max(n, LEAST), ids).items(), n))

    def cosines(self, documents: Documents, vector: Float32, ids: Iterable[str]) -> dict[str, float]:
        """Cosines of a vector of unit length with documents, of those that are indexed."""
        found = self.vectors(documents, ids)
        if not found:
            return {}
        values = np.stack([*found.values()]) @ vector
        return dict(zip(found, values.tolist(), strict=True))

    def vectors(self, documents: Documents, ids: Iterable[str]) -> dict[str, Float32]:
        """Vectors of unit length by document, of those that are indexed."""
        with self._open(documents.run) as collection:
            return collection.vectors(list(ids))

    # --- which collection it is ---------------------------------------------------------------------------

    @contextmanager
    def _open(self, run: str) -> Iterator[Collection]:
        with self._lock:
            pointer = self._read()
            if self._opened is None or self._opened[0] != pointer:
                self.close()
                self._opened = pointer, self._collection(pointer)
            collection = self._opened[1]
            try:
                self._require_own(collection, run, pointer)
                yield collection
            except UserError:
                self.close()
                raise

    def _collection(self, pointer: _Pointer, metadata: Mapping[str, Any] | None = None) -> Collection:
        """Open a collection, or make it with this metadata."""
        folder = self.path / pointer.collection
        return Collection(folder, pointer.collection, pointer.server, self._advice, pointer.checksums, metadata)

    def _require_own(self, collection: Collection, run: str, pointer: _Pointer) -> None:
        made = collection.metadata
        place = pointer.server or self.path
        if made.get("run") != run:
            raise UserError(
                f"Expected the index of this run at {place}, found that of another run "
                f"({made.get('run')}, this is {run}). {self._advice}"
            )
        if (made.get("embedder"), made.get("dimension")) != (self.embedder.name, self.embedder.dimension):
            raise UserError(
                f"The index at {place} was made with the embedder {made.get('embedder')} ({made.get('dimension')} "
                f"dimensions), this is {self.embedder.name} ({self.embedder.dimension}). Give the same --embedder "
                f"again, or begin anew. {self._advice}"
            )

    def _create(self, run: str, server: str | None) -> tuple[_Pointer, Collection]:
        """An empty collection that is not in use yet."""
        pointer = _Pointer(f"{self._kind}-{uuid.uuid4().hex[:12]}", server)
        (self.path / pointer.collection).mkdir(parents=True)
        embedder = {"embedder": self.embedder.name, "dimension": self.embedder.dimension}
        return pointer, self._collection(pointer, {"run": run, "kind": self._kind} | embedder)

    @contextmanager
    def _writable(self, run: str) -> Iterator[Collection]:
        """The collection, made if it does not exist. Other processes open it anew after that."""
        with self._lock:
            if not self.exists():
                pointer, collection = self._create(run, None)
                collection.close()
                self._write(pointer)
            with self._open(run) as collection:
                pointer = self._read()
                self._write(replace(pointer, checksums=None))
                yield collection
                pointer = replace(pointer, edition=pointer.edition + 1)
                self._finish(pointer)
                self._opened = pointer, collection

    def _finish(self, pointer: _Pointer) -> None:
        """Name a collection as the one in use, with the checksums of its files as they are now."""
        now = None if pointer.server else checksums(self.path / pointer.collection)
        self._write(replace(pointer, checksums=now))

    def _read(self) -> _Pointer:
        try:
            pointer = _Pointer(**json.loads(self.pointer.read_text("utf-8")))
            if Path(pointer.collection).name != pointer.collection:
                raise ValueError(pointer.collection)
            return pointer
        except FileNotFoundError:
            found = "none"
        except (OSError, ValueError, TypeError):
            found = f"{self.pointer.name} damaged"
        raise UserError(f"Expected an index at {self.path}, found {found}. {self._advice}")

    def _write(self, pointer: _Pointer) -> None:
        replace_file(self.pointer, json.dumps(asdict(pointer)).encode())


def _compared(
    collection: Collection, documents: Documents, known: set[str]
) -> Iterator[tuple[int, list[Document], list[Document]]]:
    """Of each batch: its size, the documents that the collection has not, and those it has with other metadata.

    An id is the hash of unit, method, rank and text: under one id the text is the same. `known` takes all ids.
    """
    for batch in _batches(documents):
        known.update(document.id for document in batch)
        stored = collection.stored([document.id for document in batch])
        new = [document for document in batch if document.id not in stored]
        stale = [document for document in batch if stored.get(document.id, document.metadata) != document.metadata]
        yield len(batch), new, stale


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    iterator = iter(items)
    while batch := list(islice(iterator, _BATCH)):
        yield batch
