"""The ledger's search tables: filters, orders, pages and words over chosen explanations.

`documents` has one row for each label that has an explanation, `numbers` one for each of its scores, and `texts`
is an FTS5 index (Porter stems) of the explanations without a copy of them. `write` and `remove` keep them equal to
labels and scores within the ledger's own transactions, so they never lag behind.
"""

from __future__ import annotations

import json
import math
import re
import sqlite3
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from neurogloss.errors import UserError
from neurogloss.ids import UnitId, canonical_json, hash64, layer_of
from neurogloss.store.database import readable
from neurogloss.store.rows import statistics_of
from neurogloss.store.where import COLUMNS, EXPLANATION, Condition, Fields, sql

Scalar: TypeAlias = str | int | float | bool

COMMON = frozenset(
    "a an and are as at be but by for from has have he her his how i in into is it its no not of on or "
    "our she so such that the their them there they this to was we were what when where which who why "
    "will with you your".split()
)
"""English words that a query is searched for only if it has no others: half of all explanations contain them."""
_DIGITS = re.compile(r"\d+")
_PAGE = 1000
_SAMPLE = 200
BROAD = 0.4
"""A condition that this share of the documents meets is checked for each document that is found."""


@dataclass(frozen=True, slots=True)
class Document:
    """An explanation as Chroma stores it."""

    id: str
    """The explanation's in the ledger, or a context's."""
    text: str
    metadata: dict[str, Scalar]
    """By field, those that the label has a value for. A scorer S with headline metric M gives S, S.M (the same
    number), S.floor and S.excess_low."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of `documents`."""

    row: int
    id: str
    """As in Document."""
    words: int
    """Equal for texts that differ in case, white space and full stop only."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries in an order."""

    entries: list[Entry]
    total: int
    """Entries on all pages."""
    next: str | None
    """Cursor of the next page; None on the last."""


def words_of(text: str) -> int:
    """Returns a number that is equal for near-duplicate texts: without case, white space and full stop."""
    return hash64(" ".join(text.casefold().split()).rstrip(".")) >> 11


def natural(text: str) -> str:
    """Returns a key that sorts numbers of up to twelve digits as numbers (layer 2 before layer 10)."""
    return _DIGITS.sub(lambda digits: digits[0].zfill(12), text)


def number(value: float) -> float:
    """Rounds to nine significant digits and nine places: Chroma gives longer floats back changed."""
    return round(float(f"{value:.9g}"), 9) + 0.0


# --- writing, within the ledger's transactions -------------------------------------------------------------------


def write(connection: sqlite3.Connection, unit: UnitId, method: str) -> None:
    """Bring the document of a label that has an explanation up to date."""
    row = connection.execute(
        "SELECT l.state, l.explanation, e.side, e.text, u.statistics FROM labels l "
        "JOIN explanations e ON e.id = l.explanation JOIN units u ON u.id = l.unit "
        "WHERE l.method = ? AND l.unit = ?",
        (method, str(unit)),
    ).fetchone()
    if row is None:
        return
    id = connection.execute("SELECT id FROM documents WHERE explanation = ?", (row["explanation"],)).fetchone()
    if id is not None:
        document = id[0]
        connection.execute(
            "UPDATE documents SET state = ?, side = ? WHERE id = ?", (row["state"], row["side"], document)
        )
        connection.execute("DELETE FROM numbers WHERE document = ?", (document,))
    else:
        document = connection.execute(
            "INSERT INTO documents VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row["explanation"],
                str(unit),
                unit.subject,
                unit.hookpoint,
                layer_of(unit.hookpoint),
                unit.dictionary,
                method,
                row["state"],
                row["side"],
                number(statistics_of(row["statistics"]).density),
                natural(str(unit)),
                natural(unit.hookpoint),
                words_of(row["text"]),
            ),
        ).lastrowid
        connection.execute("INSERT INTO texts (rowid, text) VALUES (?, ?)", (document, row["text"]))
    scores = connection.execute(
        "SELECT scorer, metric, score, floor, excess_low, json_extract(metrics, '$.auroc') AS auroc FROM scores "
        "WHERE explanation = ?",
        (row["explanation"],),
    )
    found = {name: value for score in scores for name, value in _numbers(score)}
    connection.executemany("INSERT OR IGNORE INTO fields (name) VALUES (?)", [(name,) for name in found])
    connection.executemany(
        "INSERT INTO numbers SELECT ?, id, ? FROM fields WHERE name = ?",
        [(document, value, name) for name, value in found.items()],
    )


def _numbers(score: sqlite3.Row) -> Iterator[tuple[str, float]]:
    scorer = score["scorer"]
    named = {
        scorer: score["score"],
        f"{scorer}.auroc": score["auroc"],
        f"{scorer}.{score['metric']}": score["score"],
        f"{scorer}.floor": score["floor"],
        f"{scorer}.excess_low": score["excess_low"],
    }
    for name, value in named.items():
        if value is not None and math.isfinite(float(value)):
            yield name, number(float(value))


def remove(connection: sqlite3.Connection, unit: UnitId, method: str, keep: str) -> None:
    """Remove the document of a label, unless it is of the explanation `keep`. Its explanation is still there."""
    found = connection.execute(
        "SELECT d.id, e.text FROM documents d JOIN explanations e ON e.id = d.explanation "
        "WHERE d.unit = ? AND d.method = ? AND d.explanation <> ?",
        (str(unit), method, keep),
    ).fetchone()
    if found is not None:
        connection.execute("INSERT INTO texts (texts, rowid, text) VALUES ('delete', ?, ?)", tuple(found))
        connection.execute("DELETE FROM documents WHERE id = ?", (found["id"],))


# --- reading -----------------------------------------------------------------------------------------------------


class Documents:
    """Reads the search tables of the ledger at `path`. Methods raise UserError if SQLite cannot read them."""

    table, key, texts = "documents", "explanation", "texts"
    """The table, its column with the documents' ids, and its FTS5 index."""
    columns: Mapping[str, type] = {**COLUMNS, EXPLANATION: str}

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection, self._path = connection, path
        self._entry = f"SELECT d.id AS row, d.{self.key}, d.words FROM {self.table} d"

    def _all(self, statement: str, parameters: Sequence[Any] = ()) -> list[sqlite3.Row]:
        with readable(self._path):
            return self._connection.execute(statement, parameters).fetchall()

    @property
    def run(self) -> str:
        """What the documents are of: the ledger's run id."""
        return str(self._all("SELECT id FROM run")[0][0])

    def __len__(self) -> int:
        return int(self._all(f"SELECT count(*) FROM {self.table}")[0][0])

    def __iter__(self) -> Iterator[Document]:
        """In the order of their rows, with metadata."""
        last = -1
        columns = ", ".join(f"d.{name}" for name in COLUMNS)
        while rows := self._all(
            f"SELECT d.id AS row, d.explanation AS explanation_id, t.text, {columns} FROM documents d "
            "JOIN document_texts t ON t.id = d.id WHERE d.id > ? ORDER BY d.id LIMIT ?",
            (last, _PAGE),
        ):
            last = rows[-1]["row"]
            numbers: dict[int, dict[str, Scalar]] = {}
            for document, name, value in self._all(
                "SELECT document, name, value FROM numbers JOIN fields ON id = field "
                "WHERE document BETWEEN ? AND ?",
                (rows[0]["row"], last),
            ):
                numbers.setdefault(document, {})[name] = value
            for row in rows:
                metadata = {name: row[name] for name in COLUMNS if row[name] is not None}
                yield Document(row["explanation_id"], row["text"], metadata | numbers.get(row["row"], {}))

    def fields(self) -> Fields:
        """Fields that can be filtered and ordered by."""
        return {**dict.fromkeys(self._fields(), float), **self.columns}

    def _fields(self) -> Mapping[str, int]:
        return dict(map(tuple, self._all("SELECT name, id FROM fields ORDER BY name")))

    def _met(self, condition: Condition | None, few: bool = False) -> tuple[str, list[Any]]:
        return sql(condition, self._fields() if condition else {}, few)

    def share(self, condition: Condition) -> float:
        """Roughly which share of the documents meets the condition, by a sample of them."""
        newest = self._all(f"SELECT ifnull(max(id), 0) FROM {self.table}")[0][0]
        sample = json.dumps([*range(1, newest + 1, newest // _SAMPLE + 1)])
        where, parameters = self._met(condition, few=True)
        found = self._all(
            f"SELECT ifnull(avg(ifnull({where}, 0)), 0) FROM {self.table} d "
            "WHERE id IN (SELECT value FROM json_each(?))",
            (*parameters, sample),
        )
        return float(found[0][0])

    def ids(self, condition: Condition | None = None) -> list[str]:
        """Ids of the documents that meet the condition."""
        where, parameters = self._met(condition)
        return [id for (id,) in self._all(f"SELECT {self.key} FROM {self.table} d WHERE {where}", parameters)]

    def units(self, condition: Condition) -> set[UnitId]:
        """Units with a label that meets the condition."""
        where, parameters = self._met(condition)
        return {
            UnitId.parse(unit) for (unit,) in self._all(f"SELECT unit FROM documents d WHERE {where}", parameters)
        }

    def entries(self, ids: Collection[str], condition: Condition | None = None) -> dict[str, Entry]:
        """Entries of these documents by id, if they exist and meet the condition."""
        where, parameters = self._met(condition, few=True)
        chosen = f"{self._entry} WHERE d.{self.key} IN (SELECT value FROM json_each(?)) AND {where}"
        return {entry.id: entry for entry in _entries(self._all(chosen, (json.dumps(list(ids)), *parameters)))}

    def of_unit(self, unit: UnitId) -> Entry | None:
        """The unit's entry, of the newest method that has one."""
        found = self._all(f"{self._entry} WHERE d.unit = ? ORDER BY d.id DESC LIMIT 1", (str(unit),))
        return next(iter(_entries(found)), None)

    def same(self, words: Collection[int], condition: Condition | None = None) -> Mapping[int, int]:
        """How many entries that meet the condition have these words."""
        where, parameters = self._met(condition, few=True)
        found = self._all(
            f"SELECT words, count(*) FROM {self.table} d WHERE words IN (SELECT value FROM json_each(?)) "
            f"AND {where} GROUP BY words",
            (json.dumps(list(words)), *parameters),
        )
        return dict(map(tuple, found))

    def matching(self, text: str, n: int, condition: Condition | None = None) -> list[Entry]:
        """The n entries that meet the condition with the largest BM25 for the words of `text`, best first.

        If n entries contain all words, only those are ranked: ranking takes ten times as long as finding.
        """
        words = re.findall(r"\w+", text.lower())
        words = [word for word in words if word not in COMMON] or words
        quoted = [f'"{word}"' for word in dict.fromkeys(words)]
        fts, table, met = self.texts, self.table, ""
        parameters: list[Any] = []
        if condition is not None and self.share(condition) >= BROAD:
            where, parameters = self._met(condition, few=True)
            met = f"AND EXISTS (SELECT 1 FROM {table} d WHERE d.id = {fts}.rowid AND {where})"
        elif condition is not None:
            where, parameters = self._met(condition)
            # The plus keeps SQLite from asking FTS5 once for each row that meets the condition.
            met = f"AND +{fts}.rowid IN (SELECT d.id FROM {table} d WHERE {where})"
        best = f"SELECT {fts}.rowid AS row, bm25({fts}) AS rank FROM {fts} WHERE {fts} MATCH ? {met} "
        chosen = f"WITH best AS ({best} ORDER BY rank, row LIMIT ?) {self._entry} JOIN best ON best.row = d.id "
        found: list[Entry] = []
        for wanted in dict.fromkeys((" AND ".join(quoted), " OR ".join(quoted))):
            if wanted and len(found) < n:
                found = [*_entries(self._all(f"{chosen} ORDER BY best.rank, d.id", (wanted, *parameters, n)))]
        return found

    def page(
        self, order: str, condition: Condition | None = None, cursor: str = "", skip: int = 0, limit: int = 100
    ) -> Page:
        """A page of the entries that meet the condition.

        Args:
            order: fields separated by commas; a minus puts the largest first. Labels without a value come last,
                and equal ones in the order in which they were made.
            cursor: `next` of the page before.
            skip: entries to pass over after the cursor.

        Raises:
            UserError: an unknown field, or a cursor of another order.
        """
        numbers = self._fields()
        keys, joins, joined = self._keys(order, numbers)
        where, parameters = sql(condition, numbers)
        total = self._all(f"SELECT count(*) FROM documents d WHERE {where}", parameters)[0][0]
        after, place = _after(keys, _read_cursor(cursor, order, len(keys))) if cursor else ("1", [])
        by = ", ".join(
            f"{key} {'DESC' if down else ''} {'NULLS LAST' if null else ''}" for key, down, null in keys
        )
        found = self._all(
            f"SELECT d.id AS row, d.explanation, d.words, {', '.join(key for key, _, _ in keys)} "
            f"FROM documents d {joins} WHERE {where} AND {after} ORDER BY {by}, d.id LIMIT ? OFFSET ?",
            (*joined, *parameters, *place, limit, skip),
        )
        last = found[-1] if len(found) == limit else None
        return Page(
            list(_entries(found)),
            total,
            _write_cursor(order, [*last[3:]], last["row"]) if last is not None else None,
        )

    def _keys(self, order: str, numbers: Mapping[str, int]) -> tuple[list[tuple[str, bool, bool]], str, list[int]]:
        """SQL of each term, whether it descends and may be NULL; joins that they need, with parameters."""
        keys, joins, joined = [], "", []
        for i, term in enumerate(order.split(",")):
            name, down = term.strip().removeprefix("-"), term.strip().startswith("-")
            if name in numbers:
                joins += f"LEFT JOIN numbers n{i} ON n{i}.document = d.id AND n{i}.field = ? "
                joined.append(numbers[name])
                keys.append((f"n{i}.value", down, True))
            elif name in _ORDERED:
                keys.append((_ORDERED[name], down, name == "layer"))
            else:
                raise UserError(
                    f"Expected fields to sort by, found {name!r}. There are {', '.join(self.fields())}."
                )
        return keys, joins, joined


_ORDERED = {name: f"d.{name}" for name in COLUMNS} | {
    "unit": "d.unit_order",
    "hookpoint": "d.hookpoint_order",
    EXPLANATION: "(SELECT text FROM document_texts t WHERE t.id = d.id)",
}


def _entries(rows: Sequence[sqlite3.Row]) -> Iterator[Entry]:
    return (Entry(*tuple(row)[:3]) for row in rows)


def _after(keys: Sequence[tuple[str, bool, bool]], place: tuple[int, list[Any]]) -> tuple[str, list[Any]]:
    """SQL for "comes later than this place", and its parameters."""
    row, values = place
    later, parameters = "d.id > ?", [row]
    for (key, down, _), value in reversed([*zip(keys, values, strict=True)]):
        if value is None:
            later = f"({key} IS NULL AND {later})"
        else:
            further = f"({key} {'<' if down else '>'} ? OR {key} IS NULL)"
            later, parameters = f"({further} OR ({key} = ? AND {later}))", [value, value, *parameters]
    return later, parameters


def _write_cursor(order: str, values: list[Any], row: int) -> str:
    return urlsafe_b64encode(canonical_json([order, row, values]).encode()).decode().rstrip("=")


def _read_cursor(cursor: str, order: str, terms: int) -> tuple[int, list[Any]]:
    try:
        known, row, values = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        fits = known == order and len(values) == terms and isinstance(row, int) and 0 <= row < 1 << 53
        values = [value if value is None or isinstance(value, str) else float(value) for value in values]
        "".join(value for value in values if isinstance(value, str)).encode()
    except (ValueError, TypeError, OverflowError, RecursionError):
        fits = False
    if not fits:
        raise UserError("Expected the cursor of a page in this order, found another. Begin with the first page.")
    return row, values
