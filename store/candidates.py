"""Explanations of one label in the ledger: the chosen one and the losers."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from neurogloss.records import Explanation, State
from neurogloss.store import documents, rows
from neurogloss.store.database import marks


def replace(connection: sqlite3.Connection, candidates: Sequence[Explanation]) -> None:
    """Put candidates, the chosen one first, in the place of those that their label had. Within a transaction.

    An explanation that stays keeps its scores. The label's state becomes EXPLAINED.
    """
    chosen = candidates[0]
    label, ids = (chosen.method, str(chosen.unit)), [candidate.id for candidate in candidates]
    documents.remove(connection, chosen.unit, chosen.method, keep=chosen.id)
    connection.execute(
        f"DELETE FROM explanations WHERE method = ? AND unit = ? AND id NOT IN ({marks(ids)})", (*label, *ids)
    )
    connection.executemany(
        f"INSERT INTO explanations VALUES ({marks(range(9))}) ON CONFLICT (id) DO UPDATE "
        "SET validation = excluded.validation, provenance = excluded.provenance, "
        "side = excluded.side, facets = excluded.facets",
        map(rows.explanation_row, candidates),
    )
    connection.execute(
        "INSERT INTO labels (method, unit, state, reason, attempts, explanation) "
        "VALUES (?, ?, ?, '', 0, ?) ON CONFLICT (method, unit) DO UPDATE SET state = excluded.state, "
        "reason = '', explanation = excluded.explanation, changed_at = excluded.changed_at",
        (*label, State.EXPLAINED.value, chosen.id),
    )
    documents.write(connection, chosen.unit, chosen.method)
