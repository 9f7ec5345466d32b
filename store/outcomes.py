"""Questions and answers of one explanation in the ledger, a scorer at a time."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence

from neurogloss.records import Outcome, Question
from neurogloss.store import rows
from neurogloss.store.database import marks


def replace(connection: sqlite3.Connection, explanation: str, scorer: str, outcomes: Sequence[Outcome]) -> None:
    """Put one scorer's outcomes in the place of what it had, its score too. Within a transaction.

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
    connection.executemany(
        f"INSERT INTO questions VALUES ({marks(range(6))})",
        [rows.question_row(explanation, scorer, n, question) for (question, _), n in numbers.items()],
    )
    connection.executemany(f"INSERT INTO answers VALUES ({marks(range(8))})", answers)


def read(connection: sqlite3.Connection, explanation: str, scorer: str) -> list[Outcome]:
    """Those of an explanation by a scorer, in the order they were recorded."""
    found = connection.execute(
        "SELECT q.passages, q.truth, q.stratum, a.* FROM answers a "
        "JOIN questions q USING (explanation, scorer, n) "
        "WHERE a.explanation = ? AND a.scorer = ? ORDER BY a.position",
        (explanation, scorer),
    )
    return [rows.outcome_of(row) for row in found]
