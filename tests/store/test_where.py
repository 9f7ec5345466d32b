"""Filters, on rows that can be counted by hand, and on any rows with plain SQL as the judge."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurogloss.errors import UserError
from neurogloss.store.schema import prepare
from neurogloss.store.where import COLUMNS, Comparison, Fields, parse, sql

FIELDS = {
    "unit": str,
    "layer": float,
    "state": str,
    "side": str,
    "detection": float,
    "detection.floor": float,
    "a-b.floor": float,
}
ROWS = [
    ("m/h.3/d/0", 3, "accepted", "input", 0.9, 0.5, -0.5),
    ("m/h.3/d/1", 3, "rejected", "input", 0.4, 0.5, 0.5),
    ("m/h.7/D/2", 7, "explained", "output", None, None, 0.0),
    ("m/embed/d/3", None, "accepted", "mixed", 0.7, 0.5, None),
]


TEXT = {"unit": "u", "subject": "s", "hookpoint": "h", "dictionary": "d", "method": "m", "state": "x", "side": "i"}


class Rows:
    """The search tables of a ledger, filled by hand; None is no value."""

    def __init__(self, fields: Fields, rows: Sequence[Sequence[Any]]) -> None:
        self.fields = fields
        self._connection = sqlite3.connect(":memory:")
        prepare(self._connection, Path("none"))
        self._connection.execute("PRAGMA ignore_check_constraints = ON")
        added = [name for name in fields if name not in COLUMNS]
        self._numbers = {name: i for i, name in enumerate(added)}
        self._connection.executemany(
            "INSERT INTO fields VALUES (?, ?)", [(i, name) for i, name in enumerate(added)]
        )
        for id, row in enumerate(rows):
            self._add(id, dict(zip(fields, row, strict=True)))

    def _add(self, id: int, values: Mapping[str, Any]) -> None:
        columns = {**TEXT, "layer": None, "density": 0.0, "method": str(id)}
        columns |= {name: value for name, value in values.items() if name in COLUMNS}
        columns |= {"id": id, "explanation": str(id), "unit_order": "", "hookpoint_order": "", "words": 0}
        self._connection.execute(
            f"INSERT INTO documents ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
            [*columns.values()],
        )
        self._connection.executemany(
            "INSERT INTO numbers VALUES (?, ?, ?)",
            [
                (id, self._numbers[name], value)
                for name, value in values.items()
                if name in self._numbers and value is not None
            ],
        )

    def kept(self, text: str) -> list[int]:
        """Indices of the rows that pass a filter."""
        found = []
        for few in (False, True):
            where, parameters = sql(parse(text, self.fields), self._numbers, few)
            ids = self._connection.execute(f"SELECT id FROM documents d WHERE {where} ORDER BY id", parameters)
            found.append([id for (id,) in ids])
        assert found[0] == found[1]
        return found[0]


@pytest.fixture(scope="module")
def rows() -> Rows:
    return Rows(FIELDS, ROWS)


@pytest.mark.parametrize(
    ("text", "passing"),
    [
        ("layer >= 3", [0, 1, 2]),
        ("layer > 3", [2]),
        ("layer == 3", [0, 1]),
        ("layer != 3", [2]),
        ("not layer == 3", [2]),
        ("layer in (3, 7)", [0, 1, 2]),
        ("layer not in [3]", [2]),
        ("layer in ()", []),
        ('state == "accepted"', [0, 3]),
        ("state in ('accepted', 'rejected') and layer < 100", [0, 1]),
        ('unit ~ "/D/"', [0, 1, 2, 3]),
        ('unit ~ "H.7"', [2]),
        ("not unit ~ 'h.'", [3]),
        ('unit ~ "@~"', []),
        ("detection > 0.5", [0, 3]),
        ("not (detection > 0.5)", [1]),
        ("detection.floor == .5 and (detection < 0.5 or layer == 3)", [0, 1]),
        ("a-b.floor <= -0.5 or a-b.floor > 1e-3", [0, 1]),
        (' side == "mixed" or side == "output" and layer == 7 ', [2, 3]),
        ("layer >= 10 and detection > 0.8", []),
    ],
)
def test_what_passes(rows: Rows, text: str, passing: list[int]) -> None:
    assert rows.kept(text) == passing


NUMBERS = st.sampled_from([-1.5, 0.0, 0.1, 2.0])
TEXTS = st.sampled_from(["", "a", "A b", "b", "é", "É%_", "it's"])
NUMERIC, TEXTUAL = st.sampled_from(["layer", "y.z"]), st.sampled_from(["subject", "dictionary"])


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def listed(values: list, written) -> str:
    return f"({', '.join(map(written, values))},)"


LEAVES = st.one_of(
    st.tuples(NUMERIC, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), NUMBERS).map(
        lambda c: (f"{c[0]} {c[1]} {c[2]}", f'"{c[0]}" {c[1]} {c[2]}')
    ),
    st.tuples(TEXTUAL, st.sampled_from(["==", "!="]), TEXTS).map(
        lambda c: (f"{c[0]} {c[1]} {c[2]!r}", f'"{c[0]}" {c[1]} {quoted(c[2])}')
    ),
    st.tuples(NUMERIC, st.sampled_from(["in", "not in"]), st.lists(NUMBERS, min_size=1)).map(
        lambda c: (
            f"{c[0]} {c[1]} {listed(c[2], repr)}",
            f'"{c[0]}" {c[1]} {listed(c[2], repr)}'.replace(",)", ")"),
        )
    ),
    st.tuples(TEXTUAL, st.sampled_from(["in", "not in"]), st.lists(TEXTS, min_size=1)).map(
        lambda c: (
            f"{c[0]} {c[1]} {listed(c[2], repr)}",
            f'"{c[0]}" {c[1]} {listed(c[2], quoted)}'.replace(",)", ")"),
        )
    ),
    st.tuples(TEXTUAL, TEXTS).map(
        lambda c: (f"{c[0]} ~ {c[1]!r}", f'instr(lower("{c[0]}"), lower({quoted(c[1])})) > 0')
    ),
)
"""A filter, and the same in SQL."""
FILTERS = st.recursive(
    LEAVES,
    lambda parts: st.one_of(
        parts.map(lambda part: (f"not ({part[0]})", f"NOT ({part[1]})")),
        st.tuples(parts, st.sampled_from(["and", "or"]), parts).map(
            lambda c: (f"({c[0][0]}) {c[1]} ({c[2][0]})", f"({c[0][1]}) {c[1]} ({c[2][1]})")
        ),
    ),
    max_leaves=6,
)
TABLES = st.lists(st.tuples(st.none() | NUMBERS, st.none() | NUMBERS, TEXTS, TEXTS), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(TABLES, FILTERS)
def test_the_same_rows_pass_as_in_sqlite_with_its_nulls(table: list, filter: tuple[str, str]) -> None:
    judge = sqlite3.connect(":memory:")
    judge.execute('CREATE TABLE t (layer REAL, "y.z" REAL, subject TEXT, dictionary TEXT)')
    judge.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", table)
    expected = [row for (row,) in judge.execute(f"SELECT rowid - 1 FROM t WHERE {filter[1]} ORDER BY rowid")]
    rows = Rows({"layer": float, "y.z": float, "subject": str, "dictionary": str}, table)
    assert rows.kept(filter[0]) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("detection.flor > 1", "found detection.flor; the nearest are detection.floor"),
        ("zzzzzz == 1", "found zzzzzz; there are a-b.floor, detection"),
        ('layer == "three"', 'layer is a number: .* not with "three"'),
        ("layer == True", "layer is a number"),
        ("layer ~ '3'", "layer is a number: .* not with ~"),
        ("unit == 3", "unit is text"),
        ("unit == accepted", "unit is text: .* not with accepted"),
        ('unit > "a"', "unit is text: compare it with ==, !=, in or ~"),
        ("unit ~ 3", "Expected text in quotes after unit ~, found 3"),
        ("state == 'acepted'", "state is one of explained, accepted, .*; found 'acepted'"),
        ("side in ('input', 'left')", "side is one of input, .*; found 'left'"),
        ("layer = 3", "of the form"),
        ("layer", "of the form"),
        ("3 < layer", "of the form"),
        ("1 < layer < 3", "of the form"),
        ("unit @ 'x'", "of the form"),
        ("(layer > 3", "of the form"),
        ("layer > 3 and", "of the form"),
        ("layer in 3", "of the form"),
        ("__import__('os')", "of the form"),
        ("detection.__class__ == 1", "found detection.__class__"),
        ("layer > 3; drop", "of the form"),
        ("layer >\n3", "of the form"),
        ("layer == 1" + "0" * 400, "of the form|is a number"),
        ("not " * 600 + "layer == 3", "of the form"),
        ("'unterminated", "of the form"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse(text, FIELDS)


def test_quotes_in_values_stay_what_they_are(rows: Rows) -> None:
    assert parse('unit == "x\' OR 1 --"', FIELDS) == Comparison("unit", "in", ("x' OR 1 --",))
    assert rows.kept('unit == "x\' OR 1 --"') == []
    assert parse(r'unit == "a\"b\n"', FIELDS) == Comparison("unit", "in", ('a"b\n',))
    assert rows.kept(r'unit == "\ud800"') == [], "half a surrogate, which SQLite does not take"
