"""SQLite as the ledger uses it: connections, transactions, and what is said of a file that is not SQLite."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from neurogloss.errors import UserError

_BUSY_SECONDS = 30.0
_ROOM = 2**18
"""Bytes; a disk with less is full, though errors may say no more than that something failed."""
_MENDABLE = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOTADB,
)


def connect(path: Path, read_only: bool) -> sqlite3.Connection:
    """In autocommit: a transaction begins and ends by the statements that say so. For one thread at a time."""
    mode = "rwc"
    if read_only:
        # In a folder that cannot be written to, SQLite cannot make the file that readers share.
        alone = not os.access(path.parent, os.W_OK) and not path.with_name(path.name + "-wal").exists()
        mode = "ro&immutable=1" if alone else "ro"
    uri = f"{path.resolve().as_uri()}?mode={mode}"
    connection = sqlite3.connect(
        uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.row_factory = sqlite3.Row
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
    """All that is written inside, or nothing of it. With `DEFERRED`, all that is read inside is of one moment."""
    connection.execute(f"BEGIN {kind}")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """What SQLite says of a ledger that it cannot read or write becomes a UserError; of wrong SQL it does not."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        # Text that is no UTF-8 is Python's to refuse, without a code.
        undecodable = isinstance(error, sqlite3.OperationalError) and not hasattr(error, "sqlite_errorcode")
        if _code(error) not in _MENDABLE and not undecodable:
            raise
        raise busy_or_full(path, error) or UserError(
            f"Expected a neurogloss ledger at {path}, found: {error}. Give the path of a run's ledger.sqlite; if "
            "this is one, restore it from a copy, or save what can be read with sqlite3's command .recover."
        ) from error


def busy_or_full(path: Path, error: sqlite3.DatabaseError) -> UserError | None:
    """What is said where the file is whole, but cannot be written to now; None where the error is another."""
    code = _code(error)
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and is_full(path)):
        return no_room(path, error)
    if code == sqlite3.SQLITE_BUSY:
        return UserError(f"Another process is writing to {path}. Wait until it ends, or use another run folder.")
    return None


def is_full(path: Path) -> bool:
    """Whether so little room is left where the file lies that what failed there failed for that."""
    return path.parent.is_dir() and shutil.disk_usage(path.parent).free < _ROOM


def no_room(path: Path, error: Exception | str) -> UserError:
    """What is said where the disk is full."""
    return UserError(
        f"Expected room to write {path}, found: {error}. Make room, and give the same command again; what was "
        "written before is kept."
    )


def _code(error: sqlite3.DatabaseError) -> int:
    # Errors of Python's own have none; the upper bits say more of the same.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def marks(values: Collection[Any]) -> str:
    """A question mark for each value."""
    return ", ".join("?" * len(values))


def contents(connection: sqlite3.Connection, tables: Iterable[str], keeps: Callable[[str], bool]) -> str:
    """The rows of the tables in order, in those columns that `keeps` says, as text."""
    lines = []
    for table in tables:
        columns = [row["name"] for row in connection.execute(f"PRAGMA table_info({table})")]
        kept = ", ".join(f'"{name}"' for name in columns if keeps(name))
        lines.append(f"# {table}: {kept}")
        found = connection.execute(f"SELECT {kept} FROM {table} ORDER BY {kept}")
        lines.extend(repr(tuple(row)) for row in found)
    return "\n".join(lines) + "\n"
