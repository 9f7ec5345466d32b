"""The index's own part, read without Chroma: fields to filter on, words to look up, vectors for exact cosines.

1. Each document has a row number, which is also the row of its vector in the file beside.
2. Its metadata are columns of one SQLite table, so that a filter is one condition; a new scorer adds columns.
3. Its text is in an FTS5 table (Porter stems); words are looked up by BM25, any of the query's words counting.
4. Vectors are on disk before the rows that name them, so that a kill between leaves no row without one.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurogloss.errors import UserError
from neurogloss.ids import UnitId, hash64
from neurogloss.protocols import Embedder, Float32
from neurogloss.store.database import connect, marks, transaction
from neurogloss.store.documents import FIELDS, Document, Scalar
from neurogloss.store.vectors import Vectors
from neurogloss.store.where import Condition, Fields, quoted

COMMON = frozenset(
    "a an and are as at be but by for from has have he her his how i in into is it its no not of on or "
    "our she so such that the their them there they this to was we were what when where which who why "
    "will with you your".split()
)
"""English words that are looked up only where a query has no others: half of all explanations hold them."""
_VERSION = 1
_MAPPED = 1 << 34
"""Bytes of the file mapped into memory at most: a filter reads all of it."""
_ANY = Condition("1")
_OWN = ("_row", "_id", "_words")
_TYPES = {str: "TEXT", float: "REAL"}
_SCHEMA = f"""
CREATE TABLE made (embedder TEXT NOT NULL, dimension INTEGER NOT NULL);
CREATE TABLE documents (
  _row INTEGER PRIMARY KEY, _id TEXT NOT NULL UNIQUE, _words INTEGER NOT NULL,
  {", ".join(f"{quoted(name)} {_TYPES[kind]}" for name, kind in FIELDS.items())}
);
CREATE INDEX documents_by_words ON documents (_words);
CREATE VIRTUAL TABLE texts USING fts5 (text, tokenize = 'porter unicode61');
PRAGMA user_version = {_VERSION}
"""

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Entry:
    """What a row stands for."""

    id: str
    """Of the document: an explanation's in the ledger, a context's."""
    unit: str | None
    """As its metadata has it."""
    method: str | None
    words: int
    """Equal for near-duplicate texts (`Document.words`)."""


class Catalogue:
    """The catalogue of that name in the index folder `folder`; `made_by` is the command that makes it.

    Methods but `exists` and `erase` raise UserError where it cannot be read, or another embedder made it.
    """

    def __init__(
        self, folder: Path, embedder: Embedder, name: str = "explanations", made_by: str = "index rebuild"
    ) -> None:
        self.path = folder / f"{name}.sqlite"
        self._mend = f"Make it with:  neurogloss {made_by} {folder.parent}"
        self._embedder = embedder
        self._vectors = Vectors(folder / f"{name}.f16", embedder.dimension)
        self._connection: sqlite3.Connection | None = None
        self._writable = False

    def exists(self) -> bool:
        return self.path.is_file()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def erase(self) -> None:
        self.close()
        for path in self.path.parent.glob(f"{self.path.name}*"):
            path.unlink()
        self._vectors.path.unlink(missing_ok=True)

    @contextmanager
    def _open(self, create: bool = False) -> Iterator[sqlite3.Connection]:
        try:
            if create and not self._writable:
                self.close()
            if self._connection is None:
                if not create and not self.exists():
                    raise UserError(f"Expected an index at {self.path.parent}, found none. {self._mend}")
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._connection = connect(self.path, read_only=not create)
                self._connection.execute(f"PRAGMA mmap_size = {_MAPPED}")
                self._writable = create
                self._prepare(self._connection, create)
            yield self._connection
        except sqlite3.DatabaseError as error:
            self.close()
            raise UserError(
                f"Expected an index at {self.path.parent}, found one that SQLite cannot read: {error}. "
                f"{self._mend}"
            ) from error
        except UserError:
            self.close()
            raise

    def _prepare(self, connection: sqlite3.Connection, create: bool) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        made = (self._embedder.name, self._embedder.dimension)
        if version == 0 and create:
            connection.execute("PRAGMA journal_mode = WAL")
            with transaction(connection):
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute("INSERT INTO made VALUES (?, ?)", made)
        elif version != _VERSION:
            raise UserError(f"Another version of neurogloss made the index at {self.path.parent}. {self._mend}")
        found = tuple(connection.execute("SELECT embedder, dimension FROM made").fetchone())
        if found != made:
            raise UserError(
                f"The index at {self.path.parent} was made with the embedder {found[0]} ({found[1]} dimensions), "
                f"this is {made[0]} ({made[1]}). {self._mend}"
            )
        rows = connection.execute("SELECT ifnull(max(_row) + 1, 0) FROM documents").fetchone()[0]
        if rows > len(self._vectors):
            raise UserError(
                f"Expected {rows} vectors in {self._vectors.path}, found {len(self._vectors)}. {self._mend}"
            )

    # --- keeping it like the ledger -------------------------------------------------------------------

    def stored(self, ids: Collection[str]) -> dict[str, dict[str, Scalar]]:
        """The metadata of those of the documents that are there."""
        with self._open() as connection:
            found = connection.execute(f"SELECT * FROM documents WHERE _id IN ({marks(ids)})", tuple(ids))
            return {
                row["_id"]: {k: row[k] for k in row.keys() if k not in _OWN and row[k] is not None}
                for row in found
            }

    def ids(self) -> Iterator[str]:
        with self._open() as connection:
            yield from (id for (id,) in connection.execute("SELECT _id FROM documents ORDER BY _row"))

    def add(self, documents: Sequence[Document], vectors: Float32) -> None:
        """Make the catalogue, where there is none, and add documents with their vectors (n, dimension)."""
        with self._open(create=True) as connection:
            first = connection.execute("SELECT ifnull(max(_row) + 1, 0) FROM documents").fetchone()[0]
            self._vectors.write(first, vectors)
            with transaction(connection):
                names = _columns(connection, documents)
                connection.executemany(
                    f"INSERT INTO documents (_row, _id, _words, {', '.join(map(quoted, names))}) "
                    f"VALUES (?, ?, ?, {marks(names)})",
                    [
                        (row, document.id, hash64(document.words) >> 1, *map(document.metadata.get, names))
                        for row, document in enumerate(documents, first)
                    ],
                )
                connection.executemany(
                    "INSERT INTO texts (rowid, text) VALUES (?, ?)",
                    [(row, document.text) for row, document in enumerate(documents, first)],
                )

    def change(self, documents: Sequence[Document]) -> None:
        """Give documents that are there new metadata."""
        with self._open(create=True) as connection, transaction(connection):
            names = _columns(connection, documents)
            connection.executemany(
                f"UPDATE documents SET {', '.join(f'{quoted(name)} = ?' for name in names)} WHERE _id = ?",
                [(*map(document.metadata.get, names), document.id) for document in documents],
            )

    def remove(self, ids: Collection[str]) -> None:
        with self._open(create=True) as connection, transaction(connection):
            chosen = f"_id IN ({marks(ids)})"
            connection.execute(
                f"DELETE FROM texts WHERE rowid IN (SELECT _row FROM documents WHERE {chosen})", tuple(ids)
            )
            connection.execute(f"DELETE FROM documents WHERE {chosen}", tuple(ids))

    # --- asking -----------------------------------------------------------------------------------------

    def __len__(self) -> int:
        with self._open() as connection:
            return int(connection.execute("SELECT count(*) FROM documents").fetchone()[0])

    def fields(self) -> Fields:
        """What can be filtered on."""
        with self._open() as connection:
            return _fields(connection)

    def rows(self, condition: Condition | None = None) -> Rows:
        """Those that meet the condition, ascending."""
        where = condition or _ANY
        with self._open() as connection:
            # One long text is read four times as fast as as many rows.
            listed = f"SELECT ifnull(group_concat(_row, ' '), '') FROM documents WHERE {where.sql}"
            found = connection.execute(listed, where.parameters).fetchone()[0]
            return np.sort(np.fromstring(found, np.int64, sep=" "))

    def row_of(self, unit: UnitId) -> int | None:
        """The row of the unit's explanation, the newest where several methods have one."""
        with self._open() as connection:
            found = connection.execute("SELECT max(_row) FROM documents WHERE unit = ?", (str(unit),)).fetchone()[
                0
            ]
            return None if found is None else int(found)

    def vector(self, row: int) -> Float32:
        """(dimension,)"""
        vector: Float32 = self._vectors.rows(np.array([row]))[0]
        return vector

    def cosines(self, vector: Float32, rows: Rows) -> Float32:
        """(len(rows),) with rows ascending."""
        return self._vectors.cosines(vector, rows)

    def nearest(self, vector: Float32, n: int, condition: Condition | None = None) -> list[int]:
        """The n rows that meet the condition with the largest cosines, largest first; of equals, the oldest."""
        rows = self.rows(condition)
        cosines = self.cosines(vector, rows)
        if n < len(rows):
            limit = np.partition(cosines, len(rows) - n)[len(rows) - n]
            rows, cosines = rows[cosines >= limit], cosines[cosines >= limit]
        return [int(row) for row in rows[np.argsort(-cosines, kind="stable")][:n]]

    def matching(self, text: str, n: int, condition: Condition | None = None) -> list[int]:
        """The n rows that meet the condition and hold most of the text's words by BM25, best first."""
        words = re.findall(r"\w+", text.lower())
        words = [word for word in words if word not in COMMON] or words
        where = condition or _ANY
        if not words:
            return []
        with self._open() as connection:
            found = connection.execute(
                "SELECT _row FROM (SELECT rowid AS _found, bm25(texts) AS _far FROM texts WHERE texts MATCH ?) "
                f"JOIN documents ON _row = _found WHERE {where.sql} ORDER BY _far, _id LIMIT ?",
                (" OR ".join(f'"{word}"' for word in dict.fromkeys(words)), *where.parameters, n),
            )
            return [row for (row,) in found]

    def entries(self, rows: Collection[int]) -> dict[int, Entry]:
        """By row, those that are there."""
        with self._open() as connection:
            found = connection.execute(
                "SELECT _row, _id, unit, method, _words FROM documents "
                "WHERE _row IN (SELECT value FROM json_each(?))",
                (json.dumps(list(rows)),),
            )
            return {row: Entry(*rest) for row, *rest in found}

    def rows_of(self, ids: Collection[str]) -> dict[str, int]:
        """The rows of documents by their ids."""
        with self._open() as connection:
            found = connection.execute(f"SELECT _id, _row FROM documents WHERE _id IN ({marks(ids)})", tuple(ids))
            return dict(map(tuple, found))

    def count(self, words: Collection[int], condition: Condition | None = None) -> Mapping[int, int]:
        """How many documents that meet the condition say these words."""
        where = condition or _ANY
        with self._open() as connection:
            found = connection.execute(
                f"SELECT _words, count(*) FROM documents WHERE _words IN ({marks(words)}) AND {where.sql} "
                "GROUP BY _words",
                (*words, *where.parameters),
            )
            return dict(map(tuple, found))


def _fields(connection: sqlite3.Connection) -> dict[str, type]:
    columns = connection.execute("PRAGMA table_info(documents)")
    return {row["name"]: str if row["type"] == "TEXT" else float for row in columns if row["name"] not in _OWN}


def _columns(connection: sqlite3.Connection, documents: Sequence[Document]) -> list[str]:
    """The names of all fields, those that only these documents have made first."""
    known = _fields(connection)
    values = {name: value for document in documents for name, value in document.metadata.items()}
    new = sorted(values.keys() - known.keys())
    for name in new:
        kind = _TYPES[str if isinstance(values[name], str) else float]
        connection.execute(f"ALTER TABLE documents ADD COLUMN {quoted(name)} {kind}")
    return [*known, *new]
