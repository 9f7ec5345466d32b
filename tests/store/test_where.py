"""Filters, judged by SQLite on a table whose rows can be counted by hand."""

from __future__ import annotations

import sqlite3

import pytest

from neurogloss.errors import UserError
from neurogloss.store.where import Condition, one_of, parse, quoted

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


@pytest.fixture(scope="module")
def table() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute(f"CREATE TABLE t ({', '.join(map(quoted, FIELDS))})")
    connection.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(FIELDS))})", ROWS)
    return connection


def kept(table: sqlite3.Connection, condition: Condition) -> list[int]:
    """Indices of the rows that meet it."""
    found = table.execute(f"SELECT rowid - 1 FROM t WHERE {condition.sql} ORDER BY 1", condition.parameters)
    return [row for (row,) in found]


@pytest.mark.parametrize(
    ("text", "rows"),
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
def test_what_passes(table: sqlite3.Connection, text: str, rows: list[int]) -> None:
    assert kept(table, parse(text, FIELDS)) == rows


def test_conditions_are_joined(table: sqlite3.Connection) -> None:
    either = parse("layer == 7 or layer == 3", FIELDS)
    assert kept(table, either & one_of("state", ["rejected", "explained"])) == [1, 2]
    assert kept(table, one_of("state", ["accepted"]) & either) == [0]


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


def test_quotes_in_names_and_values_stay_what_they_are(table: sqlite3.Connection) -> None:
    assert parse('unit == "x\' OR 1 --"', FIELDS) == Condition('"unit" = ?', ("x' OR 1 --",))
    assert quoted('a"b') == '"a""b"'
