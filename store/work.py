"""What labelling took: tokens by unit and stage, and the trace of how an explanation was come by."""

from __future__ import annotations

import sqlite3
from dataclasses import astuple

from neurogloss.accounts import Usage, Work
from neurogloss.ids import UnitId

_COUNTS = ("requests", "stored", "prompt_tokens", "cached_tokens", "completion_tokens")


def add(connection: sqlite3.Connection, method: str, unit: UnitId, work: Work) -> None:
    """Add to what the stage cost before; a trace replaces the one before. Within a transaction."""
    sums = ", ".join(f"{name} = {name} + excluded.{name}" for name in _COUNTS)
    connection.execute(
        f"INSERT INTO costs (method, unit, stage, {', '.join(_COUNTS)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
        f"ON CONFLICT (method, unit, stage) DO UPDATE SET {sums}",
        (method, str(unit), work.stage, *astuple(work.usage)),
    )
    if work.trace is not None:
        connection.execute("INSERT OR REPLACE INTO traces VALUES (?, ?, ?)", (method, str(unit), work.trace))


def usage(connection: sqlite3.Connection, method: str, unit: UnitId | None = None) -> dict[str, Usage]:
    """By stage, of one unit or of all."""
    sums = ", ".join(f"sum({name})" for name in _COUNTS)
    found = connection.execute(
        f"SELECT stage, {sums} FROM costs WHERE method = ? AND unit = ifnull(?, unit) GROUP BY stage",
        (method, None if unit is None else str(unit)),
    )
    return {stage: Usage(*counts) for stage, *counts in sorted(map(tuple, found))}


def trace(connection: sqlite3.Connection, method: str, unit: UnitId) -> bytes | None:
    """As it was packed; None where there is none."""
    row = connection.execute(
        "SELECT steps FROM traces WHERE method = ? AND unit = ?", (method, str(unit))
    ).fetchone()
    return None if row is None else row["steps"]
