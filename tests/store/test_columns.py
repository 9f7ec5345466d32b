"""Columns in pieces, held against lists of dictionaries."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from neurogloss.store.columns import SCHEMA, Columns, Place, Term
from neurogloss.store.where import Comparison

MANY = 10_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.sqlite"


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    found = sqlite3.connect(path, isolation_level=None)
    found.executescript(f"PRAGMA journal_mode = WAL;{SCHEMA}")
    yield found
    found.close()


def rows(columns: Columns, field: str, op: str, *values) -> list[int]:
    return np.flatnonzero(columns.meeting(Comparison(field, op, values))).tolist()


def test_what_was_written_is_read_over_the_ends_of_pieces(connection):
    columns = Columns(connection)
    given = [{"n": i / 7, "t": f"word {i % 5}"} if i % 3 else {"n": -0.0} for i in range(MANY)]
    columns.write(np.arange(4000), given[:4000])
    columns.write(np.arange(4000, MANY), given[4000:])
    some = np.array([0, 1, 4095, 4096, 8191, 8192, MANY - 1, MANY + 9000])
    assert columns.values_at(some) == [*(given[i] for i in some[:-1]), {}]
    assert rows(columns, "t", "in", "word 2") == [i for i in range(MANY) if i % 3 and i % 5 == 2]
    assert rows(columns, "n", ">=", 1400.0) == [i for i in range(MANY) if i % 3 and i / 7 >= 1400]


def test_rows_are_changed_and_cleared_and_a_new_field_begins_in_the_middle(connection):
    columns = Columns(connection)
    columns.write(np.arange(MANY), [{"n": i} for i in range(MANY)])
    assert rows(columns, "n", "<", 3) == [0, 1, 2]
    columns.write(np.array([9000, 1, 5000]), [{"late": "x"}, {"n": 7}, {"n": 1}])
    assert rows(columns, "n", "<", 3) == [0, 2, 5000]
    assert rows(columns, "late", "in", "x") == [9000] and columns.fields() == {"n": float, "late": str}
    assert columns.values_at(np.array([9000, 1])) == [{"late": "x"}, {"n": 7}]
    columns.clear(np.array([0, 9000]))
    assert rows(columns, "n", "<", 3) == [2, 5000] and rows(columns, "late", "not in", "y") == []


def test_a_reader_sees_what_another_connection_wrote_and_not_what_it_took_back(connection, path):
    reader = Columns(sqlite3.connect(path, isolation_level=None))
    writer = Columns(connection)
    writer.write(np.arange(2), [{"n": 1}, {"n": 2}])
    assert rows(reader, "n", ">", 1) == [1]
    connection.execute("BEGIN")
    writer.write(np.arange(2, 5000), [{"n": 3}] * 4998)
    assert rows(reader, "n", ">", 1) == [1]
    connection.execute("ROLLBACK")
    assert rows(reader, "n", ">", 1) == [1]
    writer.write(np.array([6000]), [{"n": 9}])
    assert rows(reader, "n", ">", 1) == [1, 6000]


def test_rows_are_ordered_by_several_fields_and_what_has_no_value_stands_last(connection):
    columns = Columns(connection)
    given = [{"n": 1, "t": "u/10"}, {"n": 2, "t": "u/9"}, {"t": "u/9"}, {"n": 2, "t": "u/10"}, {"n": 1}, {"n": 2}]
    columns.write(np.arange(6), given)
    every = Comparison("n", "<", (9,))

    def paged(*order: Term, after: Place | None = None, skip: int = 0, limit: int = 9) -> tuple[list[int], int]:
        return columns.page(every, order, after, skip, limit)

    assert paged(Term("n"), Term("t")) == ([0, 4, 1, 3, 5], 5)
    assert paged(Term("n", descending=True), Term("t")) == ([1, 3, 5, 0, 4], 5)
    assert paged(Term("t", descending=True)) == ([0, 3, 1, 4, 5], 5)
    order = Term("n", descending=True), Term("t")
    assert columns.place(3, order) == Place((2.0, "u/10"), 3) and columns.place(4, order) == Place((1.0, None), 4)
    assert paged(*order, after=columns.place(3, order)) == ([5, 0, 4], 5)
    assert paged(*order, after=columns.place(5, order), skip=1, limit=1) == ([4], 5)
    assert paged(*order, after=columns.place(4, order)) == ([], 5)
    # A place stays where it is when its row, or even its text, is there no longer.
    assert paged(*order, after=Place((2.0, "u/9"), 1)) == ([3, 5, 0, 4], 5)
    columns.clear(np.array([3]))
    assert paged(*order, after=Place((2.0, "u/10"), 3)) == ([5, 0, 4], 4)
