"""The ledger's schema: one version, made whole or not at all."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from neurogloss.errors import UserError

VERSION = 2
_APPLICATION = 0x6E676C73
"""Marks an SQLite file as a ledger (`PRAGMA application_id`); spells "ngls"."""

_SCHEMA = """
CREATE TABLE run (id TEXT NOT NULL);
INSERT INTO run VALUES (lower(hex(randomblob(8))));
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
  provenance TEXT NOT NULL,
  side TEXT NOT NULL,
  facets TEXT NOT NULL
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
) WITHOUT ROWID;
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
) WITHOUT ROWID;

-- What filters, orders and words are looked up in: one row for each chosen explanation, see documents.py.
CREATE TABLE documents (
  id INTEGER PRIMARY KEY,
  explanation TEXT NOT NULL UNIQUE REFERENCES explanations (id) DEFERRABLE INITIALLY DEFERRED,
  unit TEXT NOT NULL,
  subject TEXT NOT NULL,
  hookpoint TEXT NOT NULL,
  layer INTEGER,
  dictionary TEXT NOT NULL,
  method TEXT NOT NULL,
  state TEXT NOT NULL,
  side TEXT NOT NULL,
  density REAL NOT NULL,
  unit_order TEXT NOT NULL,
  hookpoint_order TEXT NOT NULL,
  words INTEGER NOT NULL,
  UNIQUE (unit, method)
);
CREATE INDEX documents_in_order ON documents (unit_order);
CREATE INDEX documents_by_words ON documents (words);
CREATE INDEX documents_by_layer ON documents (layer);
CREATE TABLE fields (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE numbers (
  document INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
  field INTEGER NOT NULL REFERENCES fields (id),
  value REAL NOT NULL,
  PRIMARY KEY (document, field)
) WITHOUT ROWID;
CREATE INDEX numbers_by_value ON numbers (field, value);
CREATE VIEW document_texts AS
  SELECT d.id, e.text FROM documents d JOIN explanations e ON e.id = d.explanation;
CREATE VIRTUAL TABLE texts USING fts5 (
  text, content = 'document_texts', content_rowid = 'id', tokenize = 'porter unicode61'
);
"""


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the schema in an empty database; a ledger of this version stays as it is.

    The caller holds a transaction.

    Raises:
        UserError: see `require_version`.
    """
    if require_version(connection, path):
        return
    for statement in _SCHEMA.split(";\n"):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def require_version(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether this database is a ledger of this version; False if it is empty.

    Raises:
        UserError: another program, or another version of neurogloss, wrote it.
    """
    run = path.parent
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application == _APPLICATION and version == VERSION:
        return True
    tables = sorted(name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'"))
    if not tables:
        return False
    if application == _APPLICATION and version > VERSION:
        raise UserError(
            f"A newer version of neurogloss wrote the ledger at {path} (format {version}, this one reads "
            f"{VERSION}). Update with:  pip install --upgrade neurogloss"
        )
    if application == _APPLICATION or "migrations" in tables:
        raise UserError(
            f"Expected a ledger of format {VERSION} at {path}, found one that an earlier version of neurogloss "
            f"wrote. Export its labels with that version:  neurogloss export {run} labels.jsonl --format jsonl  "
            "Then move ledger.sqlite and index away, and import the labels with this version:  "
            f"neurogloss import {run} labels.jsonl --format jsonl"
        )
    raise UserError(
        f"Expected a neurogloss ledger at {path}, found an SQLite database of another program "
        f"(tables {', '.join(tables)}). Give the path of a run's ledger.sqlite."
    )
