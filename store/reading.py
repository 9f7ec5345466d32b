"""What a ledger is opened with and read with: labels, candidates, outcomes, costs, traces.

A method that returns an iterator reads a snapshot of its own: what is recorded meanwhile does not disturb it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from neurogloss.accounts import Standing, Usage
from neurogloss.errors import UserError
from neurogloss.ids import UnitId
from neurogloss.records import Explanation, Label, Outcome, Score, State, UnitStatistics
from neurogloss.store import rows
from neurogloss.store.database import connect, contents, marks, readable, transaction
from neurogloss.store.documents import Documents
from neurogloss.store.schema import prepare, require_version

_TABLES = ("methods", "units", "explanations", "labels", "scores", "questions", "answers")
_UNIT = "u.subject, u.hookpoint, u.dictionary, u.idx, u.sign"
_IN_ORDER = f"{_UNIT} DESC"
_AFTER = "(u.subject, u.hookpoint, u.dictionary, u.idx, -u.sign) > (?, ?, ?, ?, ?)"
_LISTED = "(SELECT value FROM json_each(?))"
_PAGE = 500


class LedgerReader:
    """Opens the ledger at `path`, and reads it. Every method raises UserError if SQLite cannot read the file."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = Path(path)
        if read_only and not self.path.is_file():
            raise self._missing("nothing")
        if not read_only:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with readable(self.path):
            self._connection = connect(self.path, read_only)
            try:
                self._prepare(read_only)
            except BaseException:
                self._connection.close()
                raise
        self.documents = Documents(self._connection, self.path)
        """What filters, orders and words are looked up in."""

    def _prepare(self, read_only: bool) -> None:
        whole = require_version(self._connection, self.path)
        if read_only:
            if not whole:
                raise self._missing("an unfinished one")
            return
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            self._connection.execute(f"PRAGMA {pragma}")
        with transaction(self._connection):
            prepare(self._connection, self.path)

    def _missing(self, found: str) -> UserError:
        return UserError(
            f"Expected a ledger at {self.path}, found {found}. Make one with:  neurogloss label {self.path.parent}"
        )

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _all(self, sql: str, parameters: Sequence[Any] = ()) -> list[sqlite3.Row]:
        with readable(self.path):
            return self._connection.execute(sql, parameters).fetchall()

    @contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        with readable(self.path), closing(connect(self.path, read_only=True)) as connection:
            connection.execute("BEGIN")
            yield connection

    @contextmanager
    def reading(self) -> Iterator[None]:
        """All that is read inside is of one moment."""
        with readable(self.path), transaction(self._connection, "DEFERRED"):
            yield

    # --- methods and units ------------------------------------------------------------------------

    def methods(self) -> dict[str, Mapping[str, Any]]:
        """Settings by method, oldest first."""
        found = self._all("SELECT id, settings FROM methods ORDER BY position")
        return {row["id"]: rows.settings_of(row["settings"]) for row in found}

    def newest_method(self) -> str | None:
        """The newest that was labelled with here; an imported one where there is no other."""
        found = self._all("SELECT id FROM methods ORDER BY id LIKE 'import-%', position DESC LIMIT 1")
        return found[0]["id"] if found else None

    def method(self, name: str | None = None) -> str:
        """The method of that name, by default the newest. Raises UserError if the ledger has none."""
        known = self.methods()
        chosen = name or self.newest_method()
        if chosen is None or chosen not in known:
            found = ", ".join(known) or "it has none"
            raise UserError(f"Expected a method of {self.path.parent} ({found}), found {name}. Name one of those.")
        return chosen

    def units(self) -> Iterator[UnitId]:
        """Every unit, ordered by subject, hookpoint, dictionary, index, the positive side first."""
        with self._snapshot() as connection:
            for row in connection.execute(f"SELECT {_UNIT} FROM units u ORDER BY {_IN_ORDER}"):
                yield rows.unit_of(row)

    def ending(self, end: str, n: int) -> list[UnitId]:
        """The first n units whose id ends so, ordered as `units`."""
        found = self._all(
            f"SELECT {_UNIT} FROM units u WHERE substr(u.id, -length(?1)) = ?1 ORDER BY {_IN_ORDER} LIMIT ?2",
            (end, n),
        )
        return [rows.unit_of(row) for row in found]

    def places(self) -> dict[tuple[str, str, str], int]:
        """Units by subject, hookpoint and dictionary."""
        by = "subject, hookpoint, dictionary"
        found = self._all(f"SELECT {by}, count(*) AS n FROM units GROUP BY {by} ORDER BY {by}")
        return {(row["subject"], row["hookpoint"], row["dictionary"]): row["n"] for row in found}

    def statistics(self, unit: UnitId) -> UnitStatistics | None:
        found = self._all("SELECT statistics FROM units WHERE id = ?", (str(unit),))
        return rows.statistics_of(found[0]["statistics"]) if found else None

    def unknown(self, units: Collection[UnitId]) -> list[UnitId]:
        """Those of the units that `add_units` was never given."""
        ids = json.dumps([str(unit) for unit in units])
        known = {row["id"] for row in self._all(f"SELECT id FROM units WHERE id IN {_LISTED}", (ids,))}
        return [unit for unit in units if str(unit) not in known]

    # --- labels -----------------------------------------------------------------------------------

    def label(self, unit: UnitId, method: str | None = None) -> Label | None:
        """Where the unit stands under `method`; under the newest that has a label of it where None."""
        found = list(self._labels("l.unit = ? AND l.method = ifnull(?, l.method)", (str(unit), method)))
        return found[-1] if found else None

    def labels(self, method: str | None = None, states: Collection[State] | None = None) -> Iterator[Label]:
        """The labels of one method, or of all; in all states, or in these.

        Ordered by method, oldest first, then as `units`. Each label's scores are ordered by scorer.
        """
        condition, parameters = _condition(method, states)
        with self._snapshot() as connection:
            yield from _read(connection, condition, parameters)

    def explained(self, ids: Collection[str]) -> dict[str, Label]:
        """The labels whose explanations have these ids, by id."""
        found = self._labels(f"l.explanation IN {_LISTED}", (json.dumps(list(ids)),))
        return {label.explanation.id: label for label in found if label.explanation}

    def failed(
        self, method: str, states: Collection[State] | None = None, after: UnitId | None = None, limit: int = 100
    ) -> tuple[list[Label], int]:
        """Labels of a method without an explanation, ordered as `units`, and how many there are in all.

        Args:
            after: only units that come later; at most `limit` labels are returned.
        """
        condition, parameters = _condition(method, states)
        condition += " AND l.explanation IS NULL"
        total = self._all(f"SELECT count(*) FROM labels l WHERE {condition}", parameters)[0][0]
        if after is not None:
            condition += f" AND {_AFTER}"
            parameters += [after.subject, after.hookpoint, after.dictionary, after.index, -after.sign]
        return self._labels(condition, parameters, limit), total

    def _labels(self, condition: str, parameters: Sequence[Any], limit: int = -1) -> list[Label]:
        with readable(self.path):
            return list(_read(self._connection, condition, parameters, limit))

    def scores(self, method: str) -> Iterator[tuple[str, Score]]:
        """Those of the labels of a method with their units' ids, ordered as `labels`.

        Of many labels that is several times faster than reading them whole."""
        # CROSS JOIN keeps SQLite from sorting: units are in order as they are read.
        chosen = (
            "SELECT l.unit, s.* FROM units u CROSS JOIN labels l ON l.unit = u.id CROSS JOIN scores s "
            f"ON s.explanation = l.explanation WHERE l.method = ? ORDER BY {_IN_ORDER}, s.scorer"
        )
        with self._snapshot() as connection:
            for row in connection.execute(chosen, (method,)):
                yield row["unit"], rows.score_of(row)

    def standings(self, method: str, units: Collection[UnitId]) -> dict[UnitId, Standing]:
        """Where those of the units stand that have a label under this method."""
        known = {str(unit): unit for unit in units}
        found = self._all(
            "SELECT unit, state, attempts, l.explanation, json_group_array(scorer) AS scorers FROM labels l "
            f"LEFT JOIN scores s ON s.explanation = l.explanation WHERE method = ? AND unit IN {_LISTED} "
            "GROUP BY unit",
            (method, json.dumps(list(known))),
        )
        return {known[row["unit"]]: rows.standing_of(row) for row in found}

    def states(self, method: str) -> dict[UnitId, State]:
        """The state of each unit that has a label under this method, ordered as `units`."""
        found = self._all(
            f"SELECT {_UNIT}, l.state FROM labels l JOIN units u ON u.id = l.unit WHERE l.method = ? "
            f"ORDER BY {_IN_ORDER}",
            (method,),
        )
        return {rows.unit_of(row): State(row["state"]) for row in found}

    def counts(self, method: str | None = None) -> dict[State, int]:
        """Labels by state, of one method or of all; states without a label are left out."""
        counted = "SELECT state, count(*) FROM labels WHERE ? IS NULL OR method = ? GROUP BY state"
        numbers = dict(map(tuple, self._all(counted, (method, method))))
        return {state: numbers[state.value] for state in State if state.value in numbers}

    # --- what stands behind a label ---------------------------------------------------------------

    def candidates(self, unit: UnitId, method: str) -> list[Explanation]:
        """The unit's explanation and the losers, by rank."""
        return self._explanations("e.unit = ? AND e.method = ? ORDER BY e.rank", (str(unit), method))

    def explanation(self, id: str) -> Explanation | None:
        return next(iter(self._explanations("e.id = ?", (id,))), None)

    def _explanations(self, condition: str, parameters: Sequence[str]) -> list[Explanation]:
        chosen = f"SELECT {_UNIT}, e.* FROM explanations e JOIN units u ON u.id = e.unit WHERE {condition}"
        return [rows.explanation_of(row) for row in self._all(chosen, parameters)]

    def outcomes(self, explanation: str, scorer: str) -> list[Outcome]:
        """What was asked and answered about the explanation of this id, in the order it was recorded."""
        found = self._all(
            "SELECT q.passages, q.truth, q.stratum, a.* FROM answers a "
            "JOIN questions q USING (explanation, scorer, n) "
            "WHERE a.explanation = ? AND a.scorer = ? ORDER BY a.position",
            (explanation, scorer),
        )
        return [rows.outcome_of(row) for row in found]

    def usage(self, method: str, unit: UnitId | None = None) -> dict[str, Usage]:
        """What models were asked under the method, by stage: of one unit, or of all."""
        sums = ", ".join(f"sum({name})" for name in rows.COSTS)
        found = self._all(
            f"SELECT stage, {sums} FROM costs WHERE method = ? AND unit = ifnull(?, unit) GROUP BY stage",
            (method, None if unit is None else str(unit)),
        )
        return {stage: Usage(*counts) for stage, *counts in sorted(map(tuple, found))}

    def trace(self, unit: UnitId, method: str) -> bytes | None:
        """How the unit's explanation was come by, as it was packed; None where that was not kept."""
        found = self._all("SELECT steps FROM traces WHERE method = ? AND unit = ?", (method, str(unit)))
        return found[0]["steps"] if found else None

    def dump(self) -> str:
        """What was found out of the units, as text that is equal where two ledgers hold the same: without times,
        costs and traces, which differ where a run was cut off and went on."""
        with readable(self.path):
            return contents(self._connection, _TABLES, lambda column: not column.endswith("_at"))


def _condition(method: str | None, states: Collection[State] | None) -> tuple[str, list[Any]]:
    """SQL on l (labels) for one method or all, and for these states or all."""
    condition, parameters = "1", list[Any]()
    if method is not None:
        condition, parameters = "l.method = ?", [method]
    if states is not None:
        condition += f" AND l.state IN ({marks(states)})"
        parameters += [state.value for state in states]
    return condition, parameters


def _read(
    connection: sqlite3.Connection, condition: str, parameters: Sequence[Any], limit: int = -1
) -> Iterator[Label]:
    """The labels that meet an SQL condition on l (labels) and u (units), ordered by method, then unit."""
    cursor = connection.execute(
        f"SELECT {_UNIT}, l.method, l.state, l.reason, l.explanation, "
        "e.rank, e.text, e.validation, e.provenance, e.side, e.facets "
        "FROM labels l JOIN methods m ON m.id = l.method JOIN units u ON u.id = l.unit "
        f"LEFT JOIN explanations e ON e.id = l.explanation WHERE {condition} "
        f"ORDER BY m.position, {_IN_ORDER} LIMIT ?",
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
