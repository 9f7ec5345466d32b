"""One Chroma collection: in a folder of its own, or on a server."""

from __future__ import annotations

import os
import shutil
import sqlite3
import zlib
from collections.abc import Collection as Several
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit
from weakref import finalize

import numpy as np
from filelock import FileLock

from neurogloss.errors import UserError
from neurogloss.protocols import Float32
from neurogloss.store.database import connect, is_full, no_room
from neurogloss.store.documents import Document, Scalar

FILE = "chroma.sqlite3"
_LOCK = "chroma.lock"
_WHOLE = "index_metadata.pickle"
_PAGE = 1000
_PART = 1 << 24
_open: set[str] = set()
"""Paths that this process has open: Chroma has one cache for each path, and would not see what others wrote."""


class Collection:
    """An open collection.

    Args:
        folder: holds the collection, unless it is on a server.
        name: in that folder, or on that server.
        server: URL of a Chroma server; None for the folder.
        advice: the sentence that says how to make the collection anew.
        checksums: of the graph's files, see `checksums`; None if they are not known.
        metadata: makes the collection with this metadata; None opens one that exists.

    Raises:
        UserError: every method, if Chroma cannot read or reach the collection.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        server: str | None,
        advice: str,
        checksums: Mapping[str, int] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self._folder, self._name, self._server, self._advice = folder, name, server, advice
        self._place = str(server or folder)
        self._exits = ExitStack()
        self._release = finalize(self, self._exits.close)
        self._release.atexit = False
        if server is None and metadata is None:
            self._require_whole(checksums)
        with self._readable(), self._alone():
            self._open(metadata)

    def _open(self, metadata: Mapping[str, Any] | None) -> None:
        client = self._embedded() if self._server is None else self._connected(self._server)
        if metadata is not None:
            self._collection = client.create_collection(
                self._name,
                embedding_function=None,
                metadata=dict(metadata),
                configuration={"hnsw": {"space": "cosine"}},
            )
            return
        self._collection = client.get_collection(self._name, embedding_function=None)
        if self._server is None and self._collection.count():
            self.settle()  # loads the graph while no other process writes it

    @property
    def metadata(self) -> Mapping[str, Any]:
        return self._collection.metadata or {}

    def close(self) -> None:
        """Also done when nothing refers to the collection any more."""
        self._release()

    # --- writing ----------------------------------------------------------------------------------------

    def add(self, documents: Sequence[Document], vectors: Float32) -> None:
        """Add documents with their vectors (n, dimension). Those that exist already are replaced."""
        with self._readable(), self._alone():
            self._collection.upsert(
                ids=[document.id for document in documents],
                embeddings=vectors,
                documents=[document.text for document in documents],
                metadatas=[document.metadata or None for document in documents],
            )

    def change(self, documents: Sequence[Document]) -> None:
        """Replace the metadata of documents that exist."""
        # Chroma merges metadata; None deletes a key.
        old = self.stored([document.id for document in documents])
        new = [
            {**dict.fromkeys(old[document.id].keys() - document.metadata.keys()), **document.metadata}
            for document in documents
        ]
        with self._readable(), self._alone():
            self._collection.update(ids=[document.id for document in documents], metadatas=new)

    def remove(self, ids: Several[str]) -> None:
        with self._readable(), self._alone():
            self._collection.delete(ids=list(ids))

    def settle(self) -> None:
        """Have Chroma write what it holds back until a query."""
        self.nearest(np.ones(int(self.metadata["dimension"]), np.float32), 1)

    # --- reading ----------------------------------------------------------------------------------------

    def stored(self, ids: Several[str]) -> dict[str, Mapping[str, Scalar]]:
        """The metadata of these documents, of those that exist."""
        with self._readable():
            found = self._collection.get(ids=list(ids), include=["metadatas"])
            return dict(zip(found["ids"], (metadata or {} for metadata in found["metadatas"]), strict=True))

    def ids(self) -> Iterator[str]:
        offset = 0
        with self._readable():
            while ids := self._collection.get(limit=_PAGE, offset=offset, include=[])["ids"]:
                yield from ids
                offset += len(ids)

    def vectors(self, ids: Several[str]) -> dict[str, Float32]:
        """Vectors of unit length by id, of those documents that exist."""
        found: dict[str, Float32] = {}
        wanted = list(ids)
        with self._readable():
            for start in range(0, len(wanted), _PAGE):
                got = self._collection.get(ids=wanted[start : start + _PAGE], include=["embeddings"])
                for id, vector in zip(got["ids"], got["embeddings"], strict=True):
                    found[id] = np.asarray(vector, np.float32) / np.linalg.norm(vector)
        return found

    def nearest(self, vector: Float32, n: int, ids: Several[str] | None = None) -> dict[str, float]:
        """Cosines of the n documents nearest to a vector (dimension,), nearest first; among `ids` if given."""
        from chromadb.errors import InternalError

        with self._readable():
            try:
                return self._query(vector, n, None if ids is None else list(ids))
            except InternalError:
                # Chroma refuses ids that it does not know: those of documents that are not indexed yet.
                known = [] if not ids else self._collection.get(ids=list(ids), include=[])["ids"]
                if ids is None or len(known) == len(ids):
                    raise
                return self._query(vector, n, known)

    def _query(self, vector: Float32, n: int, ids: list[str] | None) -> dict[str, float]:
        most = self._collection.count() if ids is None else len(ids)
        if not most:
            return {}
        found = self._collection.query(
            query_embeddings=vector[None], n_results=min(n, most), ids=ids, include=["distances"]
        )
        return {id: 1 - distance for id, distance in zip(found["ids"][0], found["distances"][0], strict=True)}

    # --- the folder, or the server ----------------------------------------------------------------------

    def _embedded(self) -> Any:
        import chromadb
        from chromadb.config import Settings

        folder = self._folder
        if (folder / FILE).exists() and not (os.access(folder, os.W_OK) and os.access(folder / FILE, os.W_OK)):
            # Chroma writes to its folder when it opens it.
            copy = self._exits.enter_context(TemporaryDirectory(prefix="neurogloss-index-"))
            folder = Path(shutil.copytree(folder, copy, dirs_exist_ok=True, copy_function=shutil.copyfile))
        path = str(folder.resolve())
        while path in _open:
            path += "/."
        # If this fails, the path stays taken: Chroma remembers a failed start, and would not try again.
        _open.add(path)
        client = chromadb.PersistentClient(path, Settings(anonymized_telemetry=False))
        self._exits.callback(_open.discard, path)
        self._exits.callback(client.close)
        return client

    def _connected(self, server: str) -> Any:
        client = _remote(server)
        self._exits.callback(client.close)
        return client

    def _alone(self) -> Any:
        """Keeps a process from loading the files of an embedded collection while another one writes them."""
        writable = self._server is None and self._folder.is_dir() and os.access(self._folder, os.W_OK)
        return FileLock(self._folder / _LOCK) if writable else nullcontext()

    def _require_whole(self, known: Mapping[str, int] | None) -> None:
        """Find damage before Chroma does: its library panics on some, and ends the process on other.

        `PRAGMA quick_check` takes about 2 ms a megabyte, the checksums less.
        """
        file = self._folder / FILE
        # A process that was killed while it wrote leaves a journal, which only a writer may roll back.
        writable = file.is_file() and os.access(file, os.W_OK) and os.access(self._folder, os.W_OK)
        try:
            with closing(connect(file, read_only=not writable)) as connection:
                found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        except sqlite3.DatabaseError as error:
            found = str(error)
        if found == "ok" and known is not None:
            now = checksums(self._folder)
            found = next((f"{name} has changed" for name in known if now.get(name) != known[name]), found)
        if found != "ok":
            raise self._unreadable(found)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Turns what Chroma raises into a UserError."""
        from chromadb.errors import ChromaError
        from httpx import TransportError

        try:
            yield
        except (ChromaError, TransportError) as error:
            raise self._unreadable(str(error)) from error
        except BaseException as error:
            # A panic of Chroma's library: its class can be imported from nowhere.
            if type(error).__name__ != "PanicException":
                raise
            raise self._unreadable(str(error)) from error

    def _unreadable(self, found: str) -> UserError:
        if "disk is full" in found or (self._server is None and is_full(self._folder)):
            return no_room(self._folder, found)
        return UserError(
            f"Expected an index at {self._place}, found one that Chroma cannot read: {_first_line(found)}. "
            f"{self._advice}"
        )


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def checksums(folder: Path) -> dict[str, int]:
    """CRC-32 of each file of the graphs in a folder. Chroma writes them only when documents are added.

    A graph that was never written as a whole has no metadata yet; Chroma makes its files anew whenever it opens
    them.
    """
    found = {}
    for path in sorted(each for whole in folder.glob(f"*/{_WHOLE}") for each in whole.parent.iterdir()):
        crc = 0
        with open(path, "rb") as file:
            while part := file.read(_PART):
                crc = zlib.crc32(part, crc)
        found[str(path.relative_to(folder))] = crc
    return found


def _remote(server: str) -> Any:
    import chromadb
    from chromadb.config import Settings

    url = urlsplit(server)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise UserError(f"Expected the URL of a Chroma server, like http://localhost:8000; found {server}.")
    secure = url.scheme == "https"
    port = url.port or (443 if secure else 80)
    try:
        return chromadb.HttpClient(url.hostname, port, secure, settings=Settings(anonymized_telemetry=False))
    except ValueError as error:
        raise UserError(
            f"Expected a Chroma server at {server}, found: {error}. Start one with:  chroma run --port {port}"
        ) from error


def drop_others(server: str, keep: str, metadata: Mapping[str, str]) -> None:
    """Delete the collections with this metadata from a server, but one. If it does not answer, they stay."""
    from chromadb.errors import ChromaError

    try:
        client = _remote(server)
        for each in client.list_collections():
            if each.name != keep and metadata.items() <= (each.metadata or {}).items():
                client.delete_collection(each.name)
    except (ChromaError, UserError):
        pass
