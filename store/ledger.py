"""The ledger: one SQLite file a run that holds what is known of each unit. It is the truth.

Every method that writes is one transaction, on disk when it returns, so that a kill at any moment leaves
the state before it or after it. One thread at a time uses a ledger; one process writes at a time
(`RunFolder.writing`), any number may read. A damaged file and a full disk are UserErrors of every method.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from neurogloss.accounts import Standing, Usage, Work
from neurogloss.errors import UserError
from neurogloss.ids import UnitId, canonical_json
from neurogloss.records import Explanation, Failure, Label, Outcome, Score, State, UnitStatistics
from neurogloss.store import labels, rows
from neurogloss.store import work as works
from neurogloss.store.candidates import replace as replace_candidates
from neurogloss.store.database import connect, contents, marks, moment, readable, transaction
from neurogloss.store.documents import Documents, number
from neurogloss.store.documents import write as write_document
from neurogloss.store.outcomes import read as read_outcomes
from neurogloss.store.outcomes import replace as replace_outcomes
from neurogloss.store.schema import prepare, require_version

FAILURES = frozenset(State(failure.value) for failure in Failure)
"""The states that stand for a failure and carry a reason."""

_TABLES = ("methods", "units", "explanations", "labels", "scores", "questions", "answers")


class Ledger:
    """The ledger at `path`, made where there is none; with `read_only` it is neither made nor written.

    Raises:
        UserError: the file is no ledger, a newer version wrote it, or it cannot be opened.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = Path(path)
        if read_only and not self.path.is_file():
            raise UserError(
                f"Expected a ledger at {path}, found nothing. Make one with:  neurogloss label {self.path.parent}"
            )
        if not read_only:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with readable(self.path):
            self._connection = connect(self.path, read_only)
            try:
                self._prepare(read_only)
            except BaseException:
                self._connection.close()
                raise

    def _prepare(self, read_only: bool) -> None:
        self.documents = Documents(self._connection, self.path)
        """What filters, orders and words are looked up in."""
        if read_only:
            if not require_version(self._connection, self.path):
                raise UserError(
                    f"Expected a ledger at {self.path}, found an unfinished one. Make it with:  "
                    f"neurogloss label {self.path.parent}"
                )
            return
        require_version(self._connection, self.path)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        with transaction(self._connection):
            prepare(self._connection, self.path)

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _all(self, sql: str, parameters: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """The rows of a query."""
        with readable(self.path):
            return self._connection.execute(sql, parameters).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """All that is written inside, or nothing of it."""
        with readable(self.path), transaction(self._connection):
            yield self._connection

    @contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        """A reader of its own: what is recorded while a caller iterates does not disturb the iteration."""
        with readable(self.path), closing(connect(self.path, read_only=True)) as connection:
            connection.execute("BEGIN")
            yield connection

    @contextmanager
    def reading(self) -> Iterator[None]:
        """All that is read inside is of one moment."""
        with readable(self.path), moment(self._connection):
            yield

    # --- methods and units ------------------------------------------------------------------------

    def add_method(self, method: str, settings: Mapping[str, Any]) -> None:
        """Make a labelling method known; `settings` is JSON. Known already with the same settings: nothing.

        Raises:
            ValueError: it is known with other settings.
        """
        text = canonical_json(dict(settings))
        with self._writing() as connection:
            known = connection.execute("SELECT settings FROM methods WHERE id = ?", (method,)).fetchone()
            if known is not None and known["settings"] != text:
                raise ValueError(f"method {method} has settings {known['settings']}, found {text}")
            if known is None:
                connection.execute("INSERT INTO methods (id, settings) VALUES (?, ?)", (method, text))

    def methods(self) -> dict[str, Mapping[str, Any]]:
        """Settings by method, oldest first."""
        found = self._all("SELECT id, settings FROM methods ORDER BY position")
        return {row["id"]: rows.settings_of(row["settings"]) for row in found}

    def newest_method(self) -> str | None:
        """The newest that was labelled with here; an imported one where there is no other."""
        found = self._all("SELECT id FROM methods ORDER BY id LIKE 'import-%', position DESC LIMIT 1")
        return found[0]["id"] if found else None

    def add_units(self, items: Iterable[tuple[UnitId, UnitStatistics]]) -> None:
        """Make units known; those that are known get the new statistics.

        Raises:
            ValueError: a unit whose id does not read back.
        """
        with self._writing() as connection:
            for unit, statistics in items:
                connection.execute(
                    "INSERT INTO units VALUES (?, ?, ?, ?, ?, ?, ?) "
                    "ON CONFLICT (id) DO UPDATE SET statistics = excluded.statistics",
                    rows.unit_row(unit, statistics),
                )
                density = number(statistics.density)
                connection.execute("UPDATE documents SET density = ? WHERE unit = ?", (density, str(unit)))

    def units(self) -> Iterator[UnitId]:
        """Every unit, ordered by subject, hookpoint, dictionary, index, the positive side first."""
        with self._snapshot() as connection:
            for row in connection.execute(f"SELECT {labels.UNIT} FROM units u ORDER BY {labels.UNIT_ORDER}"):
                yield rows.unit_of(row)

    def ending(self, end: str, n: int) -> list[UnitId]:
        """The first n units whose id ends so, ordered as `units`."""
        found = self._all(
            f"SELECT {labels.UNIT} FROM units u WHERE substr(u.id, -length(?1)) = ?1 ORDER BY {labels.UNIT_ORDER} "
            "LIMIT ?2",
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

    # --- recording --------------------------------------------------------------------------------

    def record_explained(
        self, chosen: Explanation, others: Sequence[Explanation], work: Work | None = None
    ) -> None:
        """Store a unit's explanation and the losing candidates; its state becomes EXPLAINED.

        They replace what the unit had under this method. An explanation that stays keeps its scores.

        Raises:
            ValueError: the candidates are of several labels.
            sqlite3.IntegrityError: an unknown unit or method, or two candidates of one rank.
        """
        label = (chosen.method, str(chosen.unit))
        candidates = [chosen, *others]
        if any((candidate.method, str(candidate.unit)) != label for candidate in candidates):
            raise ValueError("the candidates of one label have one unit and one method")
        with self._writing() as connection:
            replace_candidates(connection, candidates)
            if work:
                works.add(connection, chosen.method, chosen.unit, work)

    def record_failure(
        self, unit: UnitId, method: str, state: State, reason: str, work: Work | None = None
    ) -> None:
        """One attempt more that failed. An explanation that the unit has stays.

        Raises:
            ValueError: `state` is no failure.
            sqlite3.IntegrityError: an unknown unit or method.
        """
        if state not in FAILURES:
            raise ValueError(f"expected a failure, found {state}")
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO labels (method, unit, state, reason, attempts) VALUES (?, ?, ?, ?, 1) "
                "ON CONFLICT (method, unit) DO UPDATE SET state = excluded.state, reason = excluded.reason, "
                "attempts = attempts + 1, changed_at = excluded.changed_at",
                (method, str(unit), state.value, reason),
            )
            write_document(connection, unit, method)
            if work:
                works.add(connection, method, unit, work)

    def record_scores(
        self,
        explanation: Explanation,
        state: State,
        scores: Sequence[Score],
        outcomes: Sequence[Outcome],
        reason: str = "",
        work: Work | None = None,
    ) -> None:
        """Store scores and the outcomes behind them; the unit's state becomes `state`, for that reason.

        They replace what the explanation had of the same scorers; other scorers' stay.

        Raises:
            ValueError: the ledger has not this explanation as its unit's.
        """
        scorers = {score.scorer for score in scores} | {outcome.scorer for outcome in outcomes}
        with self._writing() as connection:
            changed = connection.execute(
                "UPDATE labels SET state = ?, reason = ?, "
                "changed_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') "
                "WHERE method = ? AND unit = ? AND explanation = ?",
                (state.value, reason, explanation.method, str(explanation.unit), explanation.id),
            )
            if changed.rowcount != 1:
                raise ValueError(f"{explanation.id} is not the explanation of {explanation.unit}")
            for scorer in sorted(scorers):
                mine = [outcome for outcome in outcomes if outcome.scorer == scorer]
                replace_outcomes(connection, explanation.id, scorer, mine)
            connection.executemany(
                f"INSERT INTO scores VALUES ({marks(range(17))})",
                [rows.score_row(explanation.id, score) for score in scores],
            )
            write_document(connection, explanation.unit, explanation.method)
            if work:
                works.add(connection, explanation.method, explanation.unit, work)

    def record_imported(
        self,
        methods: Mapping[str, Mapping[str, Any]],
        units: Mapping[UnitId, UnitStatistics],
        explanations: Sequence[Explanation],
    ) -> None:
        """Store what another tool explained, all of it in state EXPLAINED. Units that are known stay as they are.

        Raises:
            sqlite3.IntegrityError: a method that is known already, or a unit or method that is not.
        """
        with self._writing() as connection:
            known = [(id, canonical_json(dict(settings))) for id, settings in methods.items()]
            connection.executemany("INSERT INTO methods (id, settings) VALUES (?, ?)", known)
            connection.executemany(
                f"INSERT INTO units VALUES ({marks(range(7))}) ON CONFLICT (id) DO NOTHING",
                (rows.unit_row(unit, statistics) for unit, statistics in units.items()),
            )
            for explanation in explanations:
                replace_candidates(connection, [explanation])

    # --- reading ----------------------------------------------------------------------------------

    def label(self, unit: UnitId, method: str | None = None) -> Label | None:
        """Where the unit stands under `method`; under the newest that has a label of it where None."""
        if method is None:
            found = self._all(
                "SELECT m.id FROM labels l JOIN methods m ON m.id = l.method WHERE l.unit = ? "
                "ORDER BY m.position DESC LIMIT 1",
                (str(unit),),
            )
            if not found:
                return None
            method = found[0]["id"]
        with readable(self.path):
            return next(labels.read(self._connection, "l.unit = ? AND l.method = ?", (str(unit), method)), None)

    def labels(self, method: str | None = None, states: Collection[State] | None = None) -> Iterator[Label]:
        """The labels of one method, or of all; in all states, or in these. Streamed from a snapshot.

        Ordered by method, oldest first, then as `units`. Each label's scores are ordered by scorer.
        """
        conditions, parameters = ["1"], []
        if method is not None:
            conditions.append("l.method = ?")
            parameters.append(method)
        if states is not None:
            conditions.append(f"l.state IN ({marks(states)})")
            parameters.extend(state.value for state in states)
        with self._snapshot() as connection:
            yield from labels.read(connection, " AND ".join(conditions), parameters)

    def scores(self, method: str) -> Iterator[tuple[str, Score]]:
        """Those of the labels of a method with their units' ids, ordered as `labels`. Streamed from a snapshot.

        Of many labels that is several times faster than reading them whole."""
        with self._snapshot() as connection:
            yield from labels.scores(connection, method)

    def explained(self, ids: Collection[str]) -> dict[str, Label]:
        """The labels whose explanations have these ids, by id."""
        chosen = "l.explanation IN (SELECT value FROM json_each(?))"
        with readable(self.path):
            found = list(labels.read(self._connection, chosen, (json.dumps(list(ids)),)))
        return {label.explanation.id: label for label in found if label.explanation}

    def failed(
        self, method: str, states: Collection[State] | None = None, after: UnitId | None = None, limit: int = 100
    ) -> tuple[list[Label], int]:
        """Labels of a method without an explanation, ordered as `units`, and how many there are in all.

        Args:
            after: only units that come later; at most `limit` labels are returned.
        """
        with readable(self.path):
            return labels.failed(self._connection, method, states, after, limit)

    def candidates(self, unit: UnitId, method: str) -> list[Explanation]:
        """The unit's explanation and the losers, by rank."""
        return self._explanations("e.unit = ? AND e.method = ? ORDER BY e.rank", (str(unit), method))

    def explanation(self, id: str) -> Explanation | None:
        return next(iter(self._explanations("e.id = ?", (id,))), None)

    def _explanations(self, condition: str, parameters: Sequence[str]) -> list[Explanation]:
        chosen = f"SELECT {labels.UNIT}, e.* FROM explanations e JOIN units u ON u.id = e.unit WHERE {condition}"
        found = self._all(chosen, parameters)
        return [rows.explanation_of(row) for row in found]

    def outcomes(self, explanation: str, scorer: str) -> list[Outcome]:
        """What was asked and answered about the explanation of this id, in the order it was recorded."""
        with readable(self.path):
            return read_outcomes(self._connection, explanation, scorer)

    def standings(self, method: str, units: Collection[UnitId]) -> dict[UnitId, Standing]:
        """Where those of the units stand that have a label under this method."""
        with readable(self.path):
            return labels.standings(self._connection, method, units)

    def unknown(self, units: Collection[UnitId]) -> list[UnitId]:
        """Those of the units that `add_units` was never given."""
        known = self._all(
            "SELECT id FROM units WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps([str(unit) for unit in units]),),
        )
        seen = {row["id"] for row in known}
        return [unit for unit in units if str(unit) not in seen]

    def usage(self, method: str, unit: UnitId | None = None) -> dict[str, Usage]:
        """What models were asked under the method, by stage: of one unit, or of all."""
        with readable(self.path):
            return works.usage(self._connection, method, unit)

    def trace(self, unit: UnitId, method: str) -> bytes | None:
        """How the unit's explanation was come by, as it was packed; None where that was not kept."""
        with readable(self.path):
            return works.trace(self._connection, method, unit)

    def states(self, method: str) -> dict[UnitId, State]:
        """The state of each unit that has a label under this method, ordered as `units`."""
        found = self._all(
            f"SELECT {labels.UNIT}, l.state FROM labels l JOIN units u ON u.id = l.unit WHERE l.method = ? "
            f"ORDER BY {labels.UNIT_ORDER}",
            (method,),
        )
        return {rows.unit_of(row): State(row["state"]) for row in found}

    def counts(self, method: str | None = None) -> dict[State, int]:
        """Labels by state, of one method or of all; states without a label are left out."""
        counted = "SELECT state, count(*) AS n FROM labels WHERE ? IS NULL OR method = ? GROUP BY state"
        found = self._all(counted, (method, method))
        numbers = {row["state"]: row["n"] for row in found}
        return {state: numbers[state.value] for state in State if state.value in numbers}

    def n_explained(self) -> int:
        """Labels that have an explanation, in any state."""
        return int(self._all("SELECT count(explanation) FROM labels")[0][0])

    def dump(self) -> str:
        """What was found out of the units, as text that is equal where two ledgers hold the same: without times,
        costs and traces, which differ where a run was cut off and went on."""
        with readable(self.path):
            return contents(self._connection, _TABLES, lambda column: not column.endswith("_at"))
