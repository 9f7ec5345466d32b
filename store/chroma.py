"""The Chroma collection of the index: in a folder of the run, or on a server."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from neurogloss.errors import UserError
from neurogloss.ids import hash64
from neurogloss.protocols import Embedder, Float32
from neurogloss.store.database import is_full, no_room
from neurogloss.store.documents import Document, Scalar

COLLECTION = "explanations"
_FILE = "chroma.sqlite3"
_PAGE = 1000


class Chroma:
    """The collection in the folder `path`, or, where `server` is its URL, on that server; opened on first use.

    Methods raise UserError where it cannot be read or reached, or where another embedder made it.
    """

    def __init__(self, path: Path, embedder: Embedder, server: str | None = None) -> None:
        self.path = path
        self.name = COLLECTION if server is None else f"{COLLECTION}-{hash64(str(path.resolve())):016x}"
        self._embedder = embedder
        self._server = server
        self._mend = f"Make it from the ledger with:  neurogloss index rebuild {path.parent}"
        self._client: Any = None
        self._collection: Any = None

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = self._collection = None

    def exists(self) -> bool:
        with self._readable():
            return self._open(create=False) is not None

    def stored(self, ids: Collection[str]) -> dict[str, Mapping[str, Scalar]]:
        """The metadata of those of the documents that are there."""
        with self._readable():
            found = self._existing().get(ids=list(ids), include=["metadatas"])
            return dict(zip(found["ids"], (metadata or {} for metadata in found["metadatas"]), strict=True))

    def ids(self) -> Iterator[str]:
        offset = 0
        with self._readable():
            while ids := self._existing().get(limit=_PAGE, offset=offset, include=[])["ids"]:
                yield from ids
                offset += len(ids)

    def add(self, documents: Sequence[Document], vectors: Float32) -> None:
        """Make the collection, where there is none, and add documents with their vectors (n, dimension)."""
        with self._readable():
            self._open(create=True).add(
                ids=[document.id for document in documents],
                embeddings=vectors,
                documents=[document.text for document in documents],
                metadatas=[document.metadata for document in documents],
            )

    def change(self, documents: Sequence[Document]) -> None:
        """Give documents that are there new metadata."""
        # Chroma merges metadata; a key goes where its value is None.
        old = self.stored([document.id for document in documents])
        new = [
            {**dict.fromkeys(old[document.id].keys() - document.metadata.keys()), **document.metadata}
            for document in documents
        ]
        with self._readable():
            self._existing().update(ids=[document.id for document in documents], metadatas=new)

    def remove(self, ids: Collection[str]) -> None:
        with self._readable():
            self._existing().delete(ids=list(ids))

    def nearest(self, vector: Float32, n: int, where: Mapping[str, Any] | None = None) -> list[str]:
        """Ids of the n documents nearest to a vector (dimension,), nearest first; `where` in Chroma's language."""
        with self._readable():
            found = self._existing().query(
                query_embeddings=vector[None], n_results=n, where=where, include=["distances"]
            )
            return list(found["ids"][0])

    # --- the folder, or the server ------------------------------------------------------------------------

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """What Chroma says of files that it cannot read becomes a UserError."""
        from chromadb.errors import ChromaError

        try:
            yield
        except ChromaError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> UserError:
        if "disk is full" in str(error) or (self._server is None and is_full(self.path)):
            return no_room(self.path, error)
        return UserError(
            f"Expected an index at {self._server or self.path}, found one that Chroma cannot read: {error}. "
            f"{self._mend}"
        )

    def _existing(self) -> Any:
        """The collection. Raises UserError where there is none."""
        found = self._open(create=False)
        if found is None:
            raise UserError(f"Expected an index at {self._server or self.path}, found none. {self._mend}")
        return found

    def _open(self, create: bool) -> Any:
        """The collection; where there is none it is made with `create`, and without it there is None."""
        from chromadb.errors import NotFoundError

        if self._collection is not None:
            return self._collection
        if not create and self._server is None and not self.path.is_file() and not (self.path / _FILE).is_file():
            return None
        self._connect()
        try:
            found = self._client.get_collection(self.name, embedding_function=None)
        except NotFoundError:
            if not create:
                return None
            found = self._client.create_collection(
                self.name,
                embedding_function=None,
                metadata={"embedder": self._embedder.name, "dimension": self._embedder.dimension},
                configuration={"hnsw": {"space": "cosine"}},
            )
        self._require_same_embedder(found.metadata or {})
        self._collection = found
        return found

    def _require_same_embedder(self, metadata: Mapping[str, Any]) -> None:
        made_by = (metadata.get("embedder"), metadata.get("dimension"))
        if made_by != (self._embedder.name, self._embedder.dimension):
            raise UserError(
                f"The index at {self._server or self.path} was made with the embedder {made_by[0]} ({made_by[1]} "
                f"dimensions), this is {self._embedder.name} ({self._embedder.dimension}). "
                f"Give the same --embedder again, or begin anew. {self._mend}"
            )

    def _connect(self) -> None:
        if self._client is None:
            self._client = _local(self.path) if self._server is None else _remote(self._server)

    def erase(self) -> None:
        """Drop the collection and its files; of a folder that Chroma cannot read, everything."""
        from chromadb.errors import ChromaError, NotFoundError

        self._collection = None
        if self._server is None and not (self.path / _FILE).is_file():
            return
        try:
            self._connect()
            self._client.delete_collection(self.name)
        except NotFoundError:
            pass
        except ChromaError as error:
            if self._server is not None:
                raise self._unreadable(error) from error
            shutil.rmtree(self.path)
        finally:
            self.close()
        if self._server is None and self.path.is_dir():
            for folder in self.path.iterdir():
                if folder.is_dir():
                    shutil.rmtree(folder, ignore_errors=True)


def _local(path: Path) -> Any:
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


def _remote(server: str) -> Any:
    import chromadb
    from chromadb.config import Settings

    url = urlsplit(server)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise UserError(f"Expected the URL of a Chroma server, as http://localhost:8000; found {server}.")
    secure = url.scheme == "https"
    port = url.port or (443 if secure else 80)
    try:
        return chromadb.HttpClient(url.hostname, port, secure, settings=Settings(anonymized_telemetry=False))
    except ValueError as error:
        raise UserError(
            f"Expected a Chroma server at {server}, found: {error}. Start one with:  chroma run --port {port}"
        ) from error
