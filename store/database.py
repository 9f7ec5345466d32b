"""SQLite as the ledger uses it: connections, transactions, and what is said of a file that is not SQLite."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from neurogloss.errors import UserError

_BUSY_SECONDS = 30.0


def connect(path: Path, read_only: bool) -> sqlite3.Connection:
    """In autocommit: a transaction begins and ends by the statements that say so."""
    mode = "rwc"
    if read_only:
        # In a folder that cannot be written to, SQLite cannot make the file that readers share.
        alone = not os.access(path.parent, os.W_OK) and not path.with_name(path.name + "-wal").exists()
        mode = "ro&immutable=1" if alone else "ro"
    uri = f"{path.resolve().as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
    connection.row_factory = sqlite3.Row
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All that is written inside, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """What SQLite says of a file that it cannot open becomes a UserError."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise UserError(
            f"Expected a neurogloss ledger at {path}, found: {error}. Give the path of a run's "
            "ledger.sqlite; if this is one, restore it from a copy, or use another run folder."
        ) from error


def marks(values: Collection[Any]) -> str:
    """A question mark for each value."""
    return ", ".join("?" * len(values))
