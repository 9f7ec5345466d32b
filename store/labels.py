"""Labels in the ledger: read in pages, each with its explanation and scores."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from neurogloss.accounts import Standing
from neurogloss.ids import UnitId
from neurogloss.records import Label, Score, State
from neurogloss.store import rows
from neurogloss.store.database import marks

UNIT = "u.subject, u.hookpoint, u.dictionary, u.idx, u.sign"
UNIT_ORDER = "u.subject, u.hookpoint, u.dictionary, u.idx, u.sign DESC"
_PAGE = 500
_AFTER = "(u.subject, u.hookpoint, u.dictionary, u.idx, -u.sign) > (?, ?, ?, ?, ?)"


def read(
    connection: sqlite3.Connection, condition: str, parameters: Sequence[Any], limit: int = -1
) -> Iterator[Label]:
    """Those that meet an SQL condition on l (labels) and u (units), ordered by method, then unit."""
    cursor = connection.execute(
        f"SELECT {UNIT}, l.method, l.state, l.reason, l.explanation, "
        "e.rank, e.text, e.validation, e.provenance, e.side, e.facets "
        "FROM labels l JOIN methods m ON m.id = l.method JOIN units u ON u.id = l.unit "
        f"LEFT JOIN explanations e ON e.id = l.explanation WHERE {condition} "
        f"ORDER BY m.position, {UNIT_ORDER} LIMIT ?",
        (*parameters, limit),
    )
    while page := cursor.fetchmany(_PAGE):
        ids = [row["explanation"] for row in page if row["explanation"] is not None]
        scores: dict[str, list[Score]] = {}
        for row in connection.execute(
            f"SELECT * FROM scores WHERE explanation IN ({marks(ids)}) ORDER BY explanation, scorer", ids
        ):
            scores.setdefault(row["explanation"], []).append(rows.score_of(row))
        for row in page:
            yield rows.label_of(row, scores.get(row["explanation"], ()))


def failed(
    connection: sqlite3.Connection, method: str, states: Collection[State] | None, after: UnitId | None, limit: int
) -> tuple[list[Label], int]:
    """As `Ledger.failed`."""
    condition = "l.method = ? AND l.explanation IS NULL"
    parameters: list[Any] = [method]
    if states is not None:
        condition += f" AND l.state IN ({marks(states)})"
        parameters += [state.value for state in states]
    total = connection.execute(f"SELECT count(*) FROM labels l WHERE {condition}", parameters).fetchone()[0]
    if after is not None:
        condition += f" AND {_AFTER}"
        parameters += [after.subject, after.hookpoint, after.dictionary, after.index, -after.sign]
    return list(read(connection, condition, parameters, limit)), int(total)


def scores(connection: sqlite3.Connection, method: str) -> Iterator[tuple[str, Score]]:
    """As `Ledger.scores`."""
    # CROSS JOIN keeps SQLite from sorting: units are in order as they are read.
    found = connection.execute(
        "SELECT l.unit, s.* FROM units u CROSS JOIN labels l ON l.unit = u.id CROSS JOIN scores s "
        f"ON s.explanation = l.explanation WHERE l.method = ? ORDER BY {UNIT_ORDER}, s.scorer",
        (method,),
    )
    for row in found:
        yield row["unit"], rows.score_of(row)


def standings(connection: sqlite3.Connection, method: str, units: Collection[UnitId]) -> dict[UnitId, Standing]:
    """As `Ledger.standings`."""
    known = {str(unit): unit for unit in units}
    found = connection.execute(
        "SELECT unit, state, attempts, l.explanation, json_group_array(scorer) AS scorers FROM labels l "
        "LEFT JOIN scores s ON s.explanation = l.explanation "
        "WHERE method = ? AND unit IN (SELECT value FROM json_each(?)) GROUP BY unit",
        (method, json.dumps(list(known))),
    )
    return {
        known[row["unit"]]: Standing(
            State(row["state"]),
            row["attempts"],
            row["explanation"] is not None,
            frozenset(filter(None, json.loads(row["scorers"]))),
        )
        for row in found
    }
