"""The ledger: one SQLite file a run that holds what is known of each unit. It is the truth.

Every method that writes is one transaction, on disk when it returns, so that a kill at any moment leaves
the state before it or after it. One thread at a time uses a ledger; one process writes at a time
(`RunFolder.writing`), any number may read. A damaged file and a full disk are UserErrors of every method.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from typing import Any

from neurogloss.accounts import Work
from neurogloss.ids import UnitId, canonical_json
from neurogloss.records import Explanation, Failure, Outcome, Question, Score, State, UnitStatistics
from neurogloss.store import documents, rows
from neurogloss.store.database import marks, readable, transaction
from neurogloss.store.reading import LedgerReader

FAILURES = frozenset(State(failure.value) for failure in Failure)
"""The states that stand for a failure and carry a reason."""


class Ledger(LedgerReader):
    """The ledger at `path`, made where there is none; with `read_only` it is neither made nor written.

    Raises:
        UserError: the file is no ledger, a newer version wrote it, or it cannot be opened.
    """

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """All that is written inside, or nothing of it."""
        with readable(self.path), transaction(self._connection):
            yield self._connection

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

    def add_units(self, items: Iterable[tuple[UnitId, UnitStatistics]]) -> None:
        """Make units known; those that are known get the new statistics.

        Raises:
            ValueError: a unit whose id does not read back.
        """
        renewed = "ON CONFLICT (id) DO UPDATE SET statistics = excluded.statistics"
        with self._writing() as connection:
            for unit, statistics in items:
                _insert(connection, "units", [rows.unit_row(unit, statistics)], renewed)
                density = documents.number(statistics.density)
                connection.execute("UPDATE documents SET density = ? WHERE unit = ?", (density, str(unit)))

    def record_explained(
        self, chosen: Explanation, others: Sequence[Explanation], work: Work | None = None
    ) -> None:
        """Store a unit's explanation and the losing candidates; its state becomes EXPLAINED.

        They replace what the unit had under this method. An explanation that stays keeps its scores.

        Raises:
            ValueError: the candidates are of several labels.
            sqlite3.IntegrityError: an unknown unit or method, or two candidates of one rank.
        """
        candidates = [chosen, *others]
        if any((each.method, each.unit) != (chosen.method, chosen.unit) for each in candidates):
            raise ValueError("the candidates of one label have one unit and one method")
        with self._writing() as connection:
            _replace_candidates(connection, candidates)
            _add_work(connection, chosen.method, chosen.unit, work)

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
            documents.write(connection, unit, method)
            _add_work(connection, method, unit, work)

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
        method, unit = explanation.method, explanation.unit
        scorers = {score.scorer for score in scores} | {outcome.scorer for outcome in outcomes}
        with self._writing() as connection:
            changed = connection.execute(
                "UPDATE labels SET state = ?, reason = ?, "
                "changed_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') "
                "WHERE method = ? AND unit = ? AND explanation = ?",
                (state.value, reason, method, str(unit), explanation.id),
            )
            if changed.rowcount != 1:
                raise ValueError(f"{explanation.id} is not the explanation of {unit}")
            for scorer in sorted(scorers):
                mine = [outcome for outcome in outcomes if outcome.scorer == scorer]
                _replace_outcomes(connection, explanation.id, scorer, mine)
            _insert(connection, "scores", [rows.score_row(explanation.id, score) for score in scores])
            documents.write(connection, unit, method)
            _add_work(connection, method, unit, work)

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
            _insert(
                connection,
                "units",
                [rows.unit_row(unit, statistics) for unit, statistics in units.items()],
                "ON CONFLICT (id) DO NOTHING",
            )
            for explanation in explanations:
                _replace_candidates(connection, [explanation])


# --- parts of these transactions ------------------------------------------------------------------


def _insert(
    connection: sqlite3.Connection, table: str, values: Sequence[tuple[Any, ...]], conflict: str = ""
) -> None:
    """Whole rows of a table."""
    if values:
        connection.executemany(f"INSERT INTO {table} VALUES ({marks(values[0])}) {conflict}", values)


def _replace_candidates(connection: sqlite3.Connection, candidates: Sequence[Explanation]) -> None:
    """Put candidates, the chosen one first, in the place of those that their label had; its state is EXPLAINED."""
    chosen = candidates[0]
    label, ids = (chosen.method, str(chosen.unit)), [candidate.id for candidate in candidates]
    documents.remove(connection, chosen.unit, chosen.method, keep=chosen.id)
    connection.execute(
        f"DELETE FROM explanations WHERE method = ? AND unit = ? AND id NOT IN ({marks(ids)})", (*label, *ids)
    )
    _insert(
        connection,
        "explanations",
        [*map(rows.explanation_row, candidates)],
        "ON CONFLICT (id) DO UPDATE SET validation = excluded.validation, provenance = excluded.provenance, "
        "side = excluded.side, facets = excluded.facets",
    )
    connection.execute(
        "INSERT INTO labels (method, unit, state, reason, attempts, explanation) "
        "VALUES (?, ?, ?, '', 0, ?) ON CONFLICT (method, unit) DO UPDATE SET state = excluded.state, "
        "reason = '', explanation = excluded.explanation, changed_at = excluded.changed_at",
        (*label, State.EXPLAINED.value, chosen.id),
    )
    documents.write(connection, chosen.unit, chosen.method)


def _replace_outcomes(
    connection: sqlite3.Connection, explanation: str, scorer: str, outcomes: Sequence[Outcome]
) -> None:
    """Put one scorer's outcomes in the place of what it had, its score too.

    A question that was asked with several explanations is stored once.
    """
    for table in ("scores", "questions"):  # answers go with their questions
        connection.execute(f"DELETE FROM {table} WHERE explanation = ? AND scorer = ?", (explanation, scorer))
    numbers: dict[tuple[Question, int], int] = {}
    seen: Counter[tuple[str, Question]] = Counter()
    answers = []
    for position, outcome in enumerate(outcomes):
        question, asked = outcome.question, (outcome.asked, outcome.question)
        n = numbers.setdefault((question, seen[asked]), len(numbers))
        seen[asked] += 1
        answers.append(rows.answer_row(explanation, position, n, outcome))
    questions = [rows.question_row(explanation, scorer, n, question) for (question, _), n in numbers.items()]
    _insert(connection, "questions", questions)
    _insert(connection, "answers", answers)


def _add_work(connection: sqlite3.Connection, method: str, unit: UnitId, work: Work | None) -> None:
    """Add to what the stage cost before; a trace replaces the one before."""
    if work is None:
        return
    sums = ", ".join(f"{name} = {name} + excluded.{name}" for name in rows.COSTS)
    row = (method, str(unit), work.stage, *astuple(work.usage))
    _insert(connection, "costs", [row], f"ON CONFLICT (method, unit, stage) DO UPDATE SET {sums}")
    if work.trace is not None:
        connection.execute("INSERT OR REPLACE INTO traces VALUES (?, ?, ?)", (method, str(unit), work.trace))
