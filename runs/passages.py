"""Searches the contexts of a run by meaning and by words.

The vectors are a second Chroma collection. The words are an FTS5 index in `index/contexts.sqlite`. The texts stay
in the cache.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from neurogloss.errors import UserError
from neurogloss.folder import RunFolder, replace_file
from neurogloss.ids import content_id
from neurogloss.protocols import Embedder, Progress, Quiet
from neurogloss.sources.cache import Cache
from neurogloss.sources.contexts import HALVES
from neurogloss.store.database import connect, transaction
from neurogloss.store.documents import Document, Documents, words_of
from neurogloss.store.index import Index
from neurogloss.store.search import By, search_contexts

_BATCH = 256
_REMAKE = "index contexts --rebuild"
_SCHEMA = """
CREATE TABLE run (id TEXT NOT NULL);
CREATE TABLE fields (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE contexts (
  id INTEGER PRIMARY KEY, context TEXT NOT NULL UNIQUE, half TEXT NOT NULL, words INTEGER NOT NULL
);
CREATE INDEX contexts_by_words ON contexts (words);
CREATE VIRTUAL TABLE texts USING fts5 (text, content = '', tokenize = 'porter unicode61');
"""


@dataclass(frozen=True, slots=True)
class FoundContext:
    """A context that a query found."""

    id: str
    """Hash of the context, 16 hexadecimal digits."""
    text: str
    half: str
    """`explain` or `score`."""
    similarity: float
    """Cosine of query and text, in [-1, 1], to three digits. NaN if the search was by words only."""
    same: int
    """How many contexts with this text pass the filter, including this one."""


class Contexts(Documents):
    """Reads the search tables of contexts."""

    table, key, texts = "contexts", "context", "texts"
    columns = {"half": str}

    def halves(self, ids: list[str]) -> dict[str, str]:
        """The half of each context."""
        marks = ", ".join("?" * len(ids))
        found = self._all(f"SELECT context, half FROM contexts WHERE context IN ({marks})", ids)
        return dict(map(tuple, found))


def index_contexts(
    folder: RunFolder, cache: Cache, embedder: Embedder, progress: Progress | None = None, rebuild: bool = False
) -> int:
    """Embeds the contexts that are not indexed yet. A kill loses one batch at most.

    Args:
        rebuild: embed all contexts again, with any embedder.

    Returns:
        How many contexts were added.
    """
    progress = progress or Quiet()
    path = _path(folder)
    index = _index(folder, embedder)
    if rebuild:
        index.erase()
    if rebuild or not path.is_file():
        for old in path.parent.glob(f"{path.name}*"):
            old.unlink()
        _make(path, cache)
    added = 0
    with closing(connect(path, read_only=False)) as connection, index:
        contexts = Contexts(connection, path)
        known = set(contexts.ids())
        total = sum(len(cache.hashes(half)) for half in HALVES)
        progress.start("index", total, "contexts", len(known))
        documents = _documents(cache, known)
        batches = iter(lambda: list(islice(documents, _BATCH)), [])
        for batch in index.add(contexts.run, batches):
            with transaction(connection):
                for document in batch:
                    row = connection.execute(
                        "INSERT INTO contexts VALUES (NULL, ?, ?, ?)",
                        (document.id, document.metadata["half"], words_of(document.text)),
                    ).lastrowid
                    connection.execute("INSERT INTO texts (rowid, text) VALUES (?, ?)", (row, document.text))
            added += len(batch)
            progress.advance(len(batch))
    return added


def find_contexts(
    folder: RunFolder, cache: Cache, embedder: Embedder, query: str, k: int, where: str, by: By
) -> list[FoundContext]:
    """The k contexts nearest to the query, best first. Raises UserError if they are not indexed."""
    path = _path(folder)
    if not path.is_file():
        raise UserError(
            f"Expected the contexts of {folder.path} to be indexed, they are not. "
            f"Index them with:  neurogloss index contexts {folder.path}"
        )
    with closing(connect(path, read_only=True)) as connection, _index(folder, embedder) as index:
        contexts = Contexts(connection, path)
        found = search_contexts(index, contexts, query, k, where=where, by=by)
        halves = contexts.halves([each.id for each in found])
    return [
        FoundContext(each.id, cache.context(int(each.id, 16)).text, halves[each.id], each.similarity, each.same)
        for each in found
    ]


def _index(folder: RunFolder, embedder: Embedder) -> Index:
    return Index(folder.index, embedder, "contexts", _REMAKE)


def _path(folder: RunFolder) -> Path:
    return folder.index / "contexts.sqlite"


def _make(path: Path, cache: Cache) -> None:
    """Creates an empty index atomically: a kill leaves no file."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(_SCHEMA)
        manifest = cache.manifest
        connection.execute("INSERT INTO run VALUES (?)", (content_id([cache.subject, manifest.get("corpus")]),))
        replace_file(path, connection.serialize())


def _documents(cache: Cache, known: set[str]) -> Iterator[Document]:
    for half in HALVES:
        for digest in cache.hashes(half).tolist():
            context = cache.context(digest)
            if context.id not in known:
                yield Document(context.id, context.text, {"half": half})
