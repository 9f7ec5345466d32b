"""The ledger's schema, as the list of steps that lead to it. Steps are only ever appended."""

from __future__ import annotations

import sqlite3

from neurogloss.errors import UserError

MIGRATIONS: tuple[tuple[str, str], ...] = (
    (
        "0001_initial",
        """
CREATE TABLE methods (
  position INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  settings TEXT NOT NULL
);
CREATE TABLE units (
  id TEXT PRIMARY KEY,
  subject TEXT NOT NULL,
  hookpoint TEXT NOT NULL,
  dictionary TEXT NOT NULL,
  idx INTEGER NOT NULL,
  sign INTEGER NOT NULL CHECK (sign IN (-1, 1)),
  statistics TEXT NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX units_in_order ON units (subject, hookpoint, dictionary, idx, sign DESC);
CREATE TABLE explanations (
  id TEXT PRIMARY KEY,
  method TEXT NOT NULL REFERENCES methods (id),
  unit TEXT NOT NULL REFERENCES units (id),
  rank INTEGER NOT NULL,
  text TEXT NOT NULL,
  validation REAL,
  provenance TEXT NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX explanations_in_order ON explanations (unit, method, rank);
CREATE TABLE labels (
  method TEXT NOT NULL REFERENCES methods (id),
  unit TEXT NOT NULL REFERENCES units (id),
  state TEXT NOT NULL,
  reason TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  explanation TEXT REFERENCES explanations (id) DEFERRABLE INITIALLY DEFERRED,
  changed_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  PRIMARY KEY (method, unit)
) WITHOUT ROWID;
CREATE INDEX labels_by_unit ON labels (unit);
CREATE INDEX labels_by_explanation ON labels (explanation);
CREATE TABLE scores (
  explanation TEXT NOT NULL REFERENCES explanations (id) ON DELETE CASCADE,
  scorer TEXT NOT NULL,
  judge TEXT NOT NULL,
  metric TEXT NOT NULL,
  score REAL,
  score_low REAL,
  score_high REAL,
  floor REAL,
  floor_low REAL,
  floor_high REAL,
  excess REAL,
  excess_low REAL,
  excess_high REAL,
  p_value REAL,
  metrics TEXT NOT NULL,
  n_questions INTEGER NOT NULL,
  failures TEXT NOT NULL,
  PRIMARY KEY (explanation, scorer)
) WITHOUT ROWID;
CREATE TABLE questions (
  explanation TEXT NOT NULL REFERENCES explanations (id) ON DELETE CASCADE,
  scorer TEXT NOT NULL,
  n INTEGER NOT NULL,
  truth INTEGER NOT NULL CHECK (truth IN (0, 1)),
  stratum TEXT NOT NULL,
  passages TEXT NOT NULL,
  PRIMARY KEY (explanation, scorer, n)
) WITHOUT ROWID;
CREATE TABLE answers (
  explanation TEXT NOT NULL,
  scorer TEXT NOT NULL,
  position INTEGER NOT NULL,
  asked TEXT NOT NULL,
  n INTEGER NOT NULL,
  probability REAL,
  failure TEXT,
  reason TEXT NOT NULL,
  PRIMARY KEY (explanation, scorer, position),
  FOREIGN KEY (explanation, scorer, n) REFERENCES questions (explanation, scorer, n) ON DELETE CASCADE,
  CHECK ((probability IS NULL) <> (failure IS NULL))
) WITHOUT ROWID
""",
    ),
    (
        "0002_sides_traces_costs",
        """
ALTER TABLE explanations ADD COLUMN side TEXT NOT NULL DEFAULT 'input';
ALTER TABLE explanations ADD COLUMN facets TEXT NOT NULL DEFAULT '[]';
CREATE TABLE traces (
  method TEXT NOT NULL REFERENCES methods (id),
  unit TEXT NOT NULL REFERENCES units (id),
  steps BLOB NOT NULL,
  PRIMARY KEY (method, unit)
);
CREATE TABLE costs (
  method TEXT NOT NULL REFERENCES methods (id),
  unit TEXT NOT NULL REFERENCES units (id),
  stage TEXT NOT NULL,
  requests INTEGER NOT NULL,
  stored INTEGER NOT NULL,
  prompt_tokens INTEGER NOT NULL,
  cached_tokens INTEGER NOT NULL,
  completion_tokens INTEGER NOT NULL,
  PRIMARY KEY (method, unit, stage)
) WITHOUT ROWID
""",
    ),
)
"""Name and SQL of each step; no statement holds a semicolon."""

_BOOKKEEPING = (
    "CREATE TABLE migrations (name TEXT PRIMARY KEY, "
    "applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')))"
)


def pending(connection: sqlite3.Connection, where: str) -> list[tuple[str, str]]:
    """The steps that this database has not seen. `where` names it in errors.

    Raises:
        UserError: it is another program's database, or a newer version of neurogloss wrote it.
    """
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables and "migrations" not in tables:
        raise UserError(
            f"Expected a neurogloss ledger at {where}, found an SQLite database of another program "
            f"(tables {', '.join(sorted(tables))}). Give the path of a run's ledger.sqlite."
        )
    applied = {name for (name,) in connection.execute("SELECT name FROM migrations")} if tables else set()
    unknown = sorted(applied - {name for name, _ in MIGRATIONS})
    if unknown:
        raise UserError(
            f"A newer version of neurogloss wrote the ledger at {where} (this one does not know "
            f"{', '.join(unknown)}). Update with:  pip install --upgrade neurogloss"
        )
    return [(name, sql) for name, sql in MIGRATIONS if name not in applied]


def migrate(connection: sqlite3.Connection, where: str) -> None:
    """Take every pending step. The caller holds one transaction around it: all of them, or none."""
    steps = pending(connection, where)
    if steps and steps[0] == MIGRATIONS[0]:
        connection.execute(_BOOKKEEPING)
    for name, sql in steps:
        for statement in sql.split(";"):
            connection.execute(statement)
        connection.execute("INSERT INTO migrations (name) VALUES (?)", (name,))
