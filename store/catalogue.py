"""The index's own part, read without Chroma: fields to filter on, words to look up, vectors for exact cosines.

1. Each document has a row number in an SQLite table, which is also the row of its vector in the file beside.
2. Its metadata are that row of the columns of `neurogloss.store.columns`, which decide filters; a new scorer adds
   columns.
3. Its text is in an FTS5 table (Porter stems); words are looked up by BM25, any of the query's words counting.
4. Vectors are on disk before the rows that name them, so that a kill between leaves no row without one.
"""

from __future__ import annotations

import json
import re
import sqlite3
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurogloss.errors import UserError
from neurogloss.folder import replace_file
from neurogloss.ids import UnitId, canonical_json, hash64
from neurogloss.protocols import Embedder, Float32
from neurogloss.store.columns import SCHEMA, Columns, Mask, Place, Rows, Term
from neurogloss.store.database import busy_or_full, connect, transaction
from neurogloss.store.documents import FIELDS, Document, Scalar
from neurogloss.store.vectors import Vectors
from neurogloss.store.where import Comparison, Condition, Fields, Joined

COMMON = frozenset(
    "a an and are as at be but by for from has have he her his how i in into is it its no not of on or "
    "our she so such that the their them there they this to was we were what when where which who why "
    "will with you your".split()
)
"""English words that are looked up only where a query has no others: half of all explanations hold them."""
_VERSION = 2
_MAPPED = 1 << 34
"""Bytes of the file mapped into memory at most: a filter reads whole columns of it."""
_WORDS = "_words"
"""A field of every document that cannot be filtered on: equal for near-duplicate texts (`Document.words`)."""
_ANY = Comparison(_WORDS, ">=", (0,))
_SCHEMA = f"""
CREATE TABLE made (embedder TEXT NOT NULL, dimension INTEGER NOT NULL);
CREATE TABLE documents (row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE);
CREATE VIRTUAL TABLE texts USING fts5 (text, tokenize = 'porter unicode61');
{SCHEMA};
PRAGMA user_version = {_VERSION}
"""


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


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of an order."""

    rows: list[int]
    total: int
    """Of all pages."""
    next: str | None
    """The cursor of the next page; None on the last."""


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
        # SQLite's own file first: what it leaves beside one that is gone is removed before the next is made.
        for path in sorted(self.path.parent.glob(f"{self.path.name}*")):
            path.unlink()
        self._vectors.path.unlink(missing_ok=True)

    @contextmanager
    def _open(self, create: bool = False) -> Iterator[sqlite3.Connection]:
        try:
            if create and not self._writable:
                self.close()
            if self._connection is None:
                if not self.exists():
                    if not create:
                        raise UserError(f"Expected an index at {self.path.parent}, found none. {self._mend}")
                    self._make()
                self._connection = connect(self.path, read_only=not create)
                self._columns = Columns(self._connection)
                self._connection.execute(f"PRAGMA mmap_size = {_MAPPED}")
                self._writable = create
                self._require_same(self._connection)
                if create:
                    self._connection.execute("PRAGMA journal_mode = WAL")
            yield self._connection
        except sqlite3.DatabaseError as error:
            self.close()
            raise busy_or_full(self.path, error) or UserError(
                f"Expected an index at {self.path.parent}, found one that SQLite cannot read: {error}. "
                f"{self._mend}"
            ) from error
        except UserError:
            self.close()
            raise

    def _make(self) -> None:
        """Without documents. The file is there with its whole schema or, where this is killed, not at all."""
        self.erase()
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
            connection.executescript(_SCHEMA)
            connection.execute("INSERT INTO made VALUES (?, ?)", self._made)
            Columns(connection).add_fields({**FIELDS, _WORDS: float})
            replace_file(self.path, connection.serialize())

    @property
    def _made(self) -> tuple[str, int]:
        return self._embedder.name, self._embedder.dimension

    def _require_same(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version != _VERSION:
            raise UserError(f"Another version of neurogloss made the index at {self.path.parent}. {self._mend}")
        made = self._made
        found = tuple(connection.execute("SELECT embedder, dimension FROM made").fetchone())
        if found != made:
            raise UserError(
                f"The index at {self.path.parent} was made with the embedder {found[0]} ({found[1]} dimensions), "
                f"this is {made[0]} ({made[1]}). Give the same --embedder again, or begin anew. {self._mend}"
            )
        rows = _next_row(connection)
        if rows > len(self._vectors):
            raise UserError(
                f"Expected {rows} vectors in {self._vectors.path}, found {len(self._vectors)}. {self._mend}"
            )

    # --- keeping it like the ledger -------------------------------------------------------------------

    def stored(self, ids: Collection[str]) -> dict[str, dict[str, Scalar]]:
        """The metadata of those of the documents that are there."""
        rows = self.rows_of(ids)
        with self._open():
            found = self._columns.values_at(np.array([*rows.values()], np.int64))
        return {
            id: {field: value for field, value in values.items() if field != _WORDS}
            for id, values in zip(rows, found, strict=True)
        }

    def ids(self) -> Iterator[str]:
        with self._open() as connection:
            yield from (id for (id,) in connection.execute("SELECT id FROM documents ORDER BY row"))

    def add(self, documents: Sequence[Document], vectors: Float32) -> None:
        """Make the catalogue, where there is none, and add documents with their vectors (n, dimension)."""
        with self._open(create=True) as connection:
            first = _next_row(connection)
            self._vectors.write(first, vectors)
            with transaction(connection):
                connection.executemany(
                    "INSERT INTO documents VALUES (?, ?)",
                    [(row, document.id) for row, document in enumerate(documents, first)],
                )
                connection.executemany(
                    "INSERT INTO texts (rowid, text) VALUES (?, ?)",
                    [(row, document.text) for row, document in enumerate(documents, first)],
                )
                self._columns.write(np.arange(first, first + len(documents)), [*map(_values, documents)])

    def change(self, documents: Sequence[Document]) -> None:
        """Give documents that are there new metadata."""
        with self._open(create=True) as connection:
            rows = self.rows_of([document.id for document in documents])
            with transaction(connection):
                self._columns.write(
                    np.array([rows[document.id] for document in documents]), [*map(_values, documents)]
                )

    def remove(self, ids: Collection[str]) -> None:
        with self._open(create=True) as connection:
            rows = [*self.rows_of(ids).values()]
            with transaction(connection):
                for table, key in (("texts", "rowid"), ("documents", "row")):
                    connection.executemany(f"DELETE FROM {table} WHERE {key} = ?", [(row,) for row in rows])
                self._columns.clear(np.array(rows, np.int64))

    # --- asking -----------------------------------------------------------------------------------------

    def __len__(self) -> int:
        with self._open() as connection:
            return int(connection.execute("SELECT count(*) FROM documents").fetchone()[0])

    def fields(self) -> Fields:
        """What can be filtered on."""
        with self._open():
            return {name: kind for name, kind in self._columns.fields().items() if name != _WORDS}

    def rows(self, condition: Condition | None = None) -> Rows:
        """Those that meet the condition, ascending."""
        return np.flatnonzero(self._meeting(condition))

    def _meeting(self, condition: Condition | None) -> Mask:
        with self._open():
            return self._columns.meeting(condition or _ANY)

    def page(
        self, order: str, condition: Condition | None = None, cursor: str = "", skip: int = 0, limit: int = 100
    ) -> Page:
        """Some of the rows that meet the condition.

        Args:
            order: fields, separated by commas, a minus before those whose largest come first.
            cursor: of the page before; `skip` rows more are passed over.

        Raises:
            UserError: no such field, or a cursor of another order.
        """
        terms = _terms(order, self.fields())
        with self._open():
            after = _place(cursor, order) if cursor else None
            rows, total = self._columns.page(condition or _ANY, terms, after, skip, limit)
            last = self._columns.place(rows[-1], terms) if len(rows) == limit else None
        return Page(rows, total, _cursor(last, order) if last else None)

    def row_of(self, unit: UnitId) -> int | None:
        """The row of the unit's explanation, the newest where several methods have one."""
        rows = self.rows(Comparison("unit", "in", (str(unit),)))
        return int(rows[-1]) if len(rows) else None

    def vector(self, row: int) -> Float32:
        """(dimension,)"""
        vector: Float32 = self._vectors.rows(np.array([row]))[0]
        return vector

    def cosines(self, vector: Float32, rows: Rows) -> Float32:
        """(len(rows),) with rows ascending."""
        return self._vectors.cosines(vector, rows)

    def nearest(self, vector: Float32, n: int, condition: Condition | None = None) -> list[int]:
        """The n rows that meet the condition with the largest cosines, largest first; of equals, the oldest."""
        return self.nearest_of(self.rows(condition), vector, n)

    def nearest_of(self, rows: Rows, vector: Float32, n: int) -> list[int]:
        """The same of these rows, ascending."""
        cosines = self.cosines(vector, rows)
        if n < len(rows):
            limit = np.partition(cosines, len(rows) - n)[len(rows) - n]
            rows, cosines = rows[cosines >= limit], cosines[cosines >= limit]
        return [int(row) for row in rows[np.argsort(-cosines, kind="stable")][:n]]

    def matching(self, text: str, n: int, condition: Condition | None = None) -> list[int]:
        """The n rows that meet the condition and hold most of the text's words by BM25, best first.

        Where n rows hold all of the words, others take no part: weighing is what takes time, 1 to 2 µs a row.
        """
        words = re.findall(r"\w+", text.lower())
        words = [word for word in words if word not in COMMON] or words
        if not words:
            return []
        quoted = [f'"{word}"' for word in dict.fromkeys(words)]
        found: list[int] = []
        for wanted in dict.fromkeys((" AND ".join(quoted), " OR ".join(quoted))):
            found = self._weighed(wanted, n, condition)
            if len(found) == n:
                break
        return found

    def _weighed(self, wanted: str, n: int, condition: Condition | None) -> list[int]:
        """The n best rows for a query of FTS5; what does not meet the condition is not weighed."""
        held = self._meeting(condition).tobytes() if condition else b""
        with self._open() as connection:
            # What another process has added since then is left out.
            connection.create_function("meets", 1, lambda row: row < len(held) and held[row])
            found = connection.execute(
                f"SELECT rowid FROM texts WHERE texts MATCH ? {'AND meets(rowid)' if condition else ''} "
                "ORDER BY bm25(texts), rowid LIMIT ?",
                (wanted, n),
            )
            return [row for (row,) in found]

    def entries(self, rows: Collection[int]) -> dict[int, Entry]:
        """By row, those that are there."""
        with self._open() as connection:
            found = connection.execute(
                "SELECT row, id FROM documents WHERE row IN (SELECT value FROM json_each(?))",
                (json.dumps(list(rows)),),
            )
            ids = dict(map(tuple, found))
            known = np.array([*ids], np.int64)
            units, methods = (self._columns.texts_at(field, known) for field in ("unit", "method"))
            words = self._columns.at(_WORDS, known).astype(np.int64).tolist()
        return {row: Entry(*values) for row, *values in zip(ids, ids.values(), units, methods, words, strict=True)}

    def rows_of(self, ids: Collection[str]) -> dict[str, int]:
        """The rows of documents by their ids."""
        with self._open() as connection:
            found = connection.execute(
                "SELECT id, row FROM documents WHERE id IN (SELECT value FROM json_each(?))",
                (json.dumps(list(ids)),),
            )
            return dict(map(tuple, found))

    def count(self, words: Collection[int], condition: Condition | None = None) -> Mapping[int, int]:
        """How many documents that meet the condition say these words."""
        said = Comparison(_WORDS, "in", tuple(words))
        rows = self.rows(Joined(True, (said, condition)) if condition else said)
        with self._open():
            return Counter(self._columns.at(_WORDS, rows).astype(np.int64).tolist())


def _next_row(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT ifnull(max(row) + 1, 0) FROM documents").fetchone()[0])


def _values(document: Document) -> dict[str, Scalar]:
    # 53 bits are a float64 exactly.
    return {**document.metadata, _WORDS: hash64(document.words) >> 11}


def _terms(order: str, fields: Fields) -> list[Term]:
    terms = [Term(name.strip().removeprefix("-"), name.strip().startswith("-")) for name in order.split(",")]
    unknown = [term.field for term in terms if term.field not in fields]
    if unknown:
        raise UserError(f"Expected fields to sort by, found {unknown[0]!r}. There are {', '.join(fields)}.")
    return terms


def _cursor(place: Place, order: str) -> str:
    said = canonical_json([order, place.row, place.values])
    return urlsafe_b64encode(said.encode()).decode().rstrip("=")


def _place(cursor: str, order: str) -> Place:
    try:
        known, row, values = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        place = Place(tuple(v if v is None or isinstance(v, str) else float(v) for v in values), int(row))
        fits = known == order and len(place.values) == order.count(",") + 1 and 0 <= place.row < 1 << 53
    except (ValueError, TypeError, OverflowError, RecursionError):
        fits = False
    if not fits:
        raise UserError("Expected the cursor of a page in this order, found another. Begin with the first page.")
    return place
