"""The fields of documents as columns of numbers, in an SQLite database, and filters on them by numpy.

1. Each field is one column of float64, a row a document. A number is itself, a text is the code that the table
   `vocabulary` has for it, and no value is NaN.
2. A column is cut into pieces of 4,096 rows, a blob each: a write touches few of them, and is part of the
   transaction around it.
3. A filter compares whole columns, which are read once and kept until the database is written to. SQLite itself
   would take 200 ns a document for each look at its rows, numpy takes 1.
4. Rows are ordered by whole columns, too: texts by their numbers as numbers (2 before 10), what has no value last.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurogloss.store.documents import Scalar
from neurogloss.store.where import Comparison, Condition, Fields

Rows = NDArray[np.int64]
Column = NDArray[np.float64]
Mask = NDArray[np.bool_]

SCHEMA = """
CREATE TABLE fields (name TEXT PRIMARY KEY, text INTEGER NOT NULL);
CREATE TABLE pieces (
  field TEXT NOT NULL, number INTEGER NOT NULL, numbers BLOB NOT NULL, PRIMARY KEY (field, number)
);
CREATE TABLE vocabulary (code INTEGER PRIMARY KEY, field TEXT NOT NULL, text TEXT NOT NULL, UNIQUE (field, text))
"""
_PIECE = 4096
_NUMBER = re.compile(r"\d+")
_STORED = np.dtype("<f8")
_ORDERED: Mapping[str, Callable[[Column, float], Mask]] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


@dataclass(frozen=True, slots=True)
class Term:
    """A field to order by."""

    field: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row stands in an order, whatever has come before it since."""

    values: tuple[Scalar | None, ...]
    """One a term."""
    row: int


class Columns:
    """Those of the database behind `connection`, which has the tables of SCHEMA."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._whole: dict[str, Column] = {}
        self._version = -1
        self._ranks: dict[str, Column] = {}

    def fields(self) -> Fields:
        """Name and type of each."""
        found = self._connection.execute("SELECT name, text FROM fields ORDER BY name")
        return {name: str if text else float for name, text in found}

    def add_fields(self, fields: Fields) -> None:
        """Those that are known already stay as they are."""
        self._connection.executemany(
            "INSERT OR IGNORE INTO fields VALUES (?, ?)", [(name, kind is str) for name, kind in fields.items()]
        )

    # --- writing: the caller holds a transaction ------------------------------------------------------------

    def write(self, rows: Rows, values: Sequence[Mapping[str, Scalar]]) -> None:
        """Give rows new values: fields that are not named have none from then on."""
        seen = {name: value for some in values for name, value in some.items()}
        self.add_fields({name: str if isinstance(value, str) else float for name, value in seen.items()})
        for field, kind in self.fields().items():
            given = [some.get(field) for some in values]
            codes = self._learn(field, {text for text in given if isinstance(text, str)}) if kind is str else {}
            numbers = [np.nan if value is None else codes.get(value, value) for value in given]
            self._put(field, rows, np.array(numbers, np.float64))
        self._whole.clear()

    def clear(self, rows: Rows) -> None:
        """Rows without any value meet no condition."""
        self.write(rows, [{}] * len(rows))

    def _put(self, field: str, rows: Rows, numbers: Column) -> None:
        for piece in np.unique(rows // _PIECE).tolist():
            mine = rows // _PIECE == piece
            before = self._piece(field, piece)
            after = before.copy()
            after[rows[mine] % _PIECE] = numbers[mine]
            if not np.array_equal(before, after, equal_nan=True):
                self._connection.execute(
                    "INSERT OR REPLACE INTO pieces VALUES (?, ?, ?)",
                    (field, piece, after.astype(_STORED).tobytes()),
                )

    def _learn(self, field: str, texts: Collection[str]) -> dict[str | int | float, float]:
        """The code of each text, new where it has none."""
        self._connection.executemany(
            "INSERT OR IGNORE INTO vocabulary (field, text) VALUES (?, ?)",
            [(field, text) for text in sorted(texts)],
        )
        found = self._connection.execute(
            "SELECT text, code FROM vocabulary WHERE field = ? AND text IN (SELECT value FROM json_each(?))",
            (field, json.dumps(list(texts))),
        )
        return dict(map(tuple, found))

    # --- reading --------------------------------------------------------------------------------------------

    def at(self, field: str, rows: Rows) -> Column:
        """(len(rows),) values of some rows."""
        numbers = np.full(len(rows), np.nan)
        for piece in np.unique(rows // _PIECE).tolist():
            mine = rows // _PIECE == piece
            numbers[mine] = self._piece(field, piece)[rows[mine] % _PIECE]
        return numbers

    def texts_at(self, field: str, rows: Rows) -> list[str | None]:
        """The same of a field of texts, in words."""
        codes = self.at(field, rows)
        known = np.unique(codes[~np.isnan(codes)]).astype(np.int64).tolist()
        found = self._connection.execute(
            "SELECT code, text FROM vocabulary WHERE code IN (SELECT value FROM json_each(?))",
            (json.dumps(known),),
        )
        texts: dict[float, str] = dict(map(tuple, found))
        return [texts.get(code) for code in codes.tolist()]

    def values_at(self, rows: Rows) -> list[dict[str, Scalar]]:
        """What `write` was given."""
        values: list[dict[str, Scalar]] = [{} for _ in rows]
        for field, kind in self.fields().items():
            column = self.texts_at(field, rows) if kind is str else self.at(field, rows).tolist()
            for some, value in zip(values, column, strict=True):
                if value is not None and value == value:
                    some[field] = value
        return values

    def meeting(self, condition: Condition) -> Mask:
        """Whether each row meets the condition. At least as many as there are rows: what is beyond does not."""
        with self._unchanged() as pieces:
            return self._mask(condition, pieces)

    def page(
        self, condition: Condition, order: Sequence[Term], after: Place | None, skip: int, limit: int
    ) -> tuple[list[int], int]:
        """Rows that meet the condition, in that order, of equals the oldest first; and how many there are of all.

        Args:
            after: only rows that come later; of those, `skip` are passed over, and `limit` given at most.
        """
        with self._unchanged() as pieces:
            rows = np.flatnonzero(self._mask(condition, pieces))
            keys, total = [self._key(term, pieces)[rows] for term in order], len(rows)
            if after is not None:
                later, level = np.zeros(total, np.bool_), np.ones(total, np.bool_)
                known = [self._key_of(term, value) for term, value in zip(order, after.values, strict=True)]
                for key, value in zip((*keys, rows), (*known, after.row), strict=True):
                    later |= level & (key > value)
                    level &= key == value
                rows, keys = rows[later], [key[later] for key in keys]
            chosen = np.lexsort((rows, *reversed(keys)))[skip : skip + limit]
            return rows[chosen].tolist(), total

    def place(self, row: int, order: Sequence[Term]) -> Place:
        """Where a row stands in an order."""
        [values] = self.values_at(np.array([row]))
        return Place(tuple(values.get(term.field) for term in order), row)

    def _key(self, term: Term, pieces: int) -> Column:
        """By which the term orders rows, ascending."""
        column = self._column(term.field, pieces)
        if self.fields()[term.field] is str:
            column = self._ranked(term.field, column)
        key = -column if term.descending else column
        return np.where(np.isnan(key), np.inf, key)

    def _key_of(self, term: Term, value: Scalar | None) -> float:
        """The same of one value."""
        if isinstance(value, str):
            found = self._numbers(Comparison(term.field, "in", (value,)))
            value = float(self._ranked(term.field, found)[0]) if len(found) else None
        if value is None:
            return np.inf
        return -float(value) if term.descending else float(value)

    def _ranked(self, field: str, codes: Column) -> Column:
        """The places of texts among all of the field, by their codes."""
        newest = self._connection.execute("SELECT ifnull(max(code), 0) FROM vocabulary").fetchone()[0]
        if field not in self._ranks or len(self._ranks[field]) <= newest:
            found = self._connection.execute(
                "SELECT code, text FROM vocabulary WHERE field = ?", (field,)
            ).fetchall()
            ranks = np.full(newest + 1, np.nan)
            ranks[[code for code, _ in sorted(found, key=lambda each: _natural(each[1]))]] = np.arange(len(found))
            self._ranks[field] = ranks
        return self._ranks[field][np.nan_to_num(codes).astype(np.int64)]

    @contextmanager
    def _unchanged(self) -> Iterator[int]:
        """All columns as they are at one moment; yields the number of pieces of the longest."""
        self._connection.execute("BEGIN")
        try:
            pieces = self._connection.execute("SELECT ifnull(max(number) + 1, 0) FROM pieces").fetchone()[0]
            version = self._connection.execute("PRAGMA data_version").fetchone()[0]
            if version != self._version:
                self._whole.clear()
            self._version = version
            yield pieces
        finally:
            self._connection.execute("COMMIT")

    def _mask(self, condition: Condition, pieces: int) -> Mask:
        if isinstance(condition, Comparison):
            return self._compared(condition, pieces)
        parts = (self._mask(part, pieces) for part in condition.parts)
        join = np.logical_and if condition.every else np.logical_or
        mask = next(parts)
        for part in parts:
            mask = join(mask, part)
        return mask

    def _compared(self, comparison: Comparison, pieces: int) -> Mask:
        column = self._column(comparison.field, pieces)
        if comparison.op in _ORDERED:
            return _ORDERED[comparison.op](column, float(comparison.values[0]))
        among = _among(column, self._numbers(comparison))
        return among if not comparison.negated else ~among & ~np.isnan(column)

    def _numbers(self, comparison: Comparison) -> Column:
        """What the column has for the comparison's values."""
        values = comparison.values
        if comparison.op.endswith("~"):
            # In ASCII alone, as SQLite does it.
            part = str(values[0]).encode(errors="replace").lower().decode()
            sql, parameters = "field = ? AND instr(lower(text), ?) > 0", [comparison.field, part]
        elif any(isinstance(value, str) for value in values):
            sql = "field = ? AND text IN (SELECT value FROM json_each(?))"
            parameters = [comparison.field, json.dumps(list(values))]
        else:
            return np.array(values, np.float64)
        found = self._connection.execute(f"SELECT code FROM vocabulary WHERE {sql}", parameters)
        return np.array([code for (code,) in found], np.float64)

    def _column(self, field: str, pieces: int) -> Column:
        if field not in self._whole:
            column = np.full(pieces * _PIECE, np.nan)
            found = self._connection.execute("SELECT number, numbers FROM pieces WHERE field = ?", (field,))
            for number, blob in found:
                column[number * _PIECE : (number + 1) * _PIECE] = np.frombuffer(blob, _STORED)
            self._whole[field] = column
        return self._whole[field]

    def _piece(self, field: str, number: int) -> Column:
        found = self._connection.execute(
            "SELECT numbers FROM pieces WHERE field = ? AND number = ?", (field, number)
        ).fetchone()
        return np.full(_PIECE, np.nan) if found is None else np.frombuffer(found[0], _STORED)


def _natural(text: str) -> str:
    """Compares as the text does, numbers of up to twelve digits as numbers."""
    return _NUMBER.sub(lambda digits: digits[0].zfill(12), text)


def _among(column: Column, values: Column) -> Mask:
    """Where the column has one of the values; for few of them faster than `numpy.isin`."""
    known = np.unique(values)
    if not len(known):
        return np.zeros(len(column), np.bool_)
    mask: Mask = known[np.searchsorted(known, column).clip(max=len(known) - 1)] == column
    return mask
