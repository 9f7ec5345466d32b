"""The index: a Chroma collection with one document for each explanation that a unit has in the ledger.

It can be rebuilt from the ledger at any time. One process writes to it at a time (`RunFolder.writing`): two
corrupt Chroma's files without an error.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np

from neurogloss.errors import UserError
from neurogloss.ids import UnitId
from neurogloss.protocols import Embedder, Float32, Progress, Quiet
from neurogloss.store.documents import Document, Scalar, documents
from neurogloss.store.ledger import Ledger

Item = TypeVar("Item")

COLLECTION = "explanations"
_BATCH = 1000
_FILE = "chroma.sqlite3"
_QUIET = Quiet()


@dataclass(frozen=True, slots=True)
class Hit:
    """A document near to a query."""

    explanation: str
    """Id of the explanation in the ledger."""
    unit: UnitId
    method: str
    text: str
    similarity: float
    """Cosine with the query, in [-1, 1]."""
    metadata: Mapping[str, Scalar] = field(hash=False)


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
    """In both, with other metadata."""
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
        self._client: Any = None
        self._collection: Any = None

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = self._collection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- keeping it like the ledger ---------------------------------------------------------------

    def sync(self, ledger: Ledger, progress: Progress = _QUIET) -> SyncReport:
        """Make the index equal to the ledger. Only texts that are new are embedded."""
        with self._readable():
            collection = self._open(create=True)
            added = changed = total = 0
            known: set[str] = set()
            progress.start("index", ledger.n_explained(), "explanations")
            for batch in _batches(documents(ledger)):
                new, stale = _compare(collection, batch)
                self._write(collection, new, stale)
                known.update(document.id for document in batch)
                added, changed, total = added + len(new), changed + len(stale), total + len(batch)
                progress.advance(len(batch))
            extra = _extra(collection, known)
            for ids in _batches(extra):
                collection.delete(ids=ids)
        return SyncReport(added, changed, len(extra), total - added - changed)

    def check(self, ledger: Ledger) -> IndexCheck:
        """Compare every document with the ledger. Writes nothing."""
        missing: list[str] = []
        stale: list[str] = []
        known: set[str] = set()
        with self._readable():
            collection = self._open(create=False)
            for batch in _batches(documents(ledger)):
                new, changed = (batch, {}) if collection is None else _compare(collection, batch)
                missing.extend(document.id for document in new)
                stale.extend(changed)
                known.update(document.id for document in batch)
            extra = [] if collection is None else _extra(collection, known)
        return IndexCheck(tuple(missing), tuple(stale), tuple(extra))

    def rebuild(self, ledger: Ledger, progress: Progress = _QUIET) -> SyncReport:
        """Make the index anew, whatever is in the folder now and whichever embedder made it.

        Raises:
            UserError: the folder holds something that is no index.
        """
        self._erase()
        return self.sync(ledger, progress)

    def _write(
        self, collection: Any, new: Sequence[Document], stale: Mapping[str, dict[str, Scalar | None]]
    ) -> None:
        if new:
            texts = [document.text for document in new]
            collection.add(
                ids=[document.id for document in new],
                embeddings=self.embedder.embed(texts),
                documents=texts,
                metadatas=[document.metadata for document in new],
            )
        if stale:
            collection.update(ids=list(stale), metadatas=list(stale.values()))

    # --- asking -----------------------------------------------------------------------------------

    def query(self, query: str | Float32, k: int = 10, where: Mapping[str, Any] | None = None) -> list[Hit]:
        """The k documents nearest to a text, or to a vector (dimension,), by descending cosine.

        `where` is a filter on metadata in Chroma's language, such as `{"density": {"$lt": 0.1}}`.

        Raises:
            UserError: there is no index yet.
            ValueError: Chroma does not understand `where`.
        """
        vector = self.embedder.embed([query])[0] if isinstance(query, str) else np.asarray(query, np.float32)
        with self._readable():
            collection = self._open(create=False)
            if collection is None:
                raise UserError(f"Expected an index at {self.path}, found none. {self._mend}")
            found = collection.query(
                query_embeddings=vector[None],
                n_results=k,
                where=None if where is None else dict(where),
                include=["metadatas", "documents", "distances"],
            )
        columns = (found["ids"][0], found["documents"][0], found["distances"][0], found["metadatas"][0])
        hits = [
            Hit(id, UnitId.parse(metadata["unit"]), metadata["method"], text, 1.0 - distance, metadata)
            for id, text, distance, metadata in zip(*columns, strict=True)
        ]
        return sorted(hits, key=lambda hit: (-hit.similarity, hit.explanation))

    # --- the folder -------------------------------------------------------------------------------

    @property
    def _mend(self) -> str:
        return f"Make it from the ledger with:  neurogloss index rebuild {self.path.parent}"

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """What Chroma says of files that it cannot read becomes a UserError."""
        from chromadb.errors import ChromaError, InvalidArgumentError

        try:
            yield
        except InvalidArgumentError as error:
            raise ValueError(str(error)) from error
        except ChromaError as error:
            raise UserError(
                f"Expected an index at {self.path}, found one that Chroma cannot read: {error}. {self._mend}"
            ) from error

    def _open(self, create: bool) -> Any:
        """The collection; None where there is none and `create` is False."""
        from chromadb.errors import NotFoundError

        if self._collection is not None:
            return self._collection
        if not create and not self.path.is_file() and not (self.path / _FILE).is_file():
            return None
        if self._client is None:
            self._client = _client(self.path)
        try:
            found = self._client.get_collection(COLLECTION, embedding_function=None)
        except NotFoundError:
            if not create:
                return None
            found = self._client.create_collection(
                COLLECTION,
                embedding_function=None,
                metadata={"embedder": self.embedder.name, "dimension": self.embedder.dimension},
                configuration={"hnsw": {"space": "cosine"}},
            )
        self._require_same_embedder(found.metadata or {})
        self._collection = found
        return found

    def _require_same_embedder(self, metadata: Mapping[str, Any]) -> None:
        made_by = (metadata.get("embedder"), metadata.get("dimension"))
        if made_by != (self.embedder.name, self.embedder.dimension):
            raise UserError(
                f"The index at {self.path} was made with the embedder {made_by[0]} ({made_by[1]} "
                f"dimensions), this is {self.embedder.name} ({self.embedder.dimension}). {self._mend}"
            )

    def _erase(self) -> None:
        """Drop the collection and its files; of a folder that Chroma cannot read, everything."""
        from chromadb.errors import ChromaError, NotFoundError

        self._collection = None
        if not self.path.exists():
            return
        if not (self.path / _FILE).is_file() and (self.path.is_file() or any(self.path.iterdir())):
            raise UserError(f"Expected an index at {self.path}, found other files. Move them away first.")
        try:
            if self._client is None:
                self._client = _client(self.path)
            self._client.delete_collection(COLLECTION)
        except NotFoundError:
            pass
        except ChromaError:
            self.close()
            shutil.rmtree(self.path)
            return
        for folder in self.path.iterdir():
            if folder.is_dir():
                shutil.rmtree(folder, ignore_errors=True)


def _client(path: Path) -> Any:
    import chromadb
    from chromadb.api.shared_system_client import SharedSystemClient
    from chromadb.config import Settings
    from chromadb.errors import ChromaError

    name = str(path.resolve())
    try:
        return chromadb.PersistentClient(name, Settings(anonymized_telemetry=False))
    except ChromaError:
        # Chroma remembers a start that failed, and would not try again in this process.
        SharedSystemClient._identifier_to_system.pop(name, None)
        raise


def _compare(
    collection: Any, batch: Sequence[Document]
) -> tuple[list[Document], dict[str, dict[str, Scalar | None]]]:
    """The documents that the index has not, and what to change in the metadata of those it has.

    An id is the hash of unit, method, rank and text: under one id the text is the same.
    """
    found = collection.get(ids=[document.id for document in batch], include=["metadatas"])
    stored = dict(zip(found["ids"], found["metadatas"], strict=True))
    new = [document for document in batch if document.id not in stored]
    stale: dict[str, dict[str, Scalar | None]] = {}
    for document in batch:
        old = stored.get(document.id, document.metadata)
        if old != document.metadata:
            # Chroma merges metadata; a key goes where its value is None.
            stale[document.id] = {**dict.fromkeys(old.keys() - document.metadata.keys()), **document.metadata}
    return new, stale


def _extra(collection: Any, known: set[str]) -> list[str]:
    """Ids in the index that are not known, page by page."""
    extra: list[str] = []
    offset = 0
    while ids := collection.get(limit=_BATCH, offset=offset, include=[])["ids"]:
        extra.extend(id for id in ids if id not in known)
        offset += len(ids)
    return extra


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    iterator = iter(items)
    while batch := list(islice(iterator, _BATCH)):
        yield batch
