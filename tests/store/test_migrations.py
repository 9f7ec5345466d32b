from __future__ import annotations

import hashlib
import json
import sqlite3

import pytest

from neurogloss.errors import UserError
from neurogloss.folder import replace_file
from neurogloss.records import State
from neurogloss.sources import cache
from neurogloss.store import catalogue, migrations
from neurogloss.store.database import transaction
from neurogloss.store.index import Index
from neurogloss.store.ledger import Ledger

# A step that has been released is never edited: append another to MIGRATIONS, and its line here.
RELEASED = {"0001_initial": "e2f8dd96b4e0b6c1", "0002_sides_traces_costs": "8d7103fbe925f637"}


def test_released_steps_are_what_they_were():
    found = {name: hashlib.blake2b(sql.encode(), digest_size=8).hexdigest() for name, sql in migrations.MIGRATIONS}
    assert found == RELEASED


def schema(connection: sqlite3.Connection) -> list[tuple[str, str, tuple[str, ...]]]:
    names = connection.execute(
        "SELECT type, name FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type DESC, name"
    ).fetchall()
    return [
        (kind, name, tuple(row[2] if kind == "index" else row[1] for row in info))
        for kind, name in names
        for info in [connection.execute(f"PRAGMA {kind}_info({name})").fetchall()]
    ]


def test_the_schema_is_the_one_that_is_documented(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite"):
        pass
    connection = sqlite3.connect(tmp_path / "ledger.sqlite")
    found = "\n".join(f"{kind} {name}: {' '.join(columns)}" for kind, name, columns in schema(connection))
    mode = connection.execute("PRAGMA journal_mode").fetchone()
    connection.close()
    assert mode == ("wal",)
    assert (
        found
        == """\
table answers: explanation scorer position asked n probability failure reason
table costs: method unit stage requests stored prompt_tokens cached_tokens completion_tokens
table explanations: id method unit rank text validation provenance side facets
table labels: method unit state reason attempts explanation changed_at
table methods: position id settings
table migrations: name applied_at
table questions: explanation scorer n truth stratum passages
table scores: explanation scorer judge metric score score_low score_high floor floor_low floor_high \
excess excess_low excess_high p_value metrics n_questions failures
table traces: method unit steps
table units: id subject hookpoint dictionary idx sign statistics
index explanations_in_order: unit method rank
index labels_by_explanation: explanation
index labels_by_unit: unit
index units_in_order: subject hookpoint dictionary idx sign"""
    )


def test_an_appended_step_is_taken_once_and_keeps_what_is_there(tmp_path, monkeypatch):
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        ledger.add_method("m", {})
    step = ("0002_notes", "CREATE TABLE notes (a); INSERT INTO notes VALUES (1)")
    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, step))
    for _ in range(2):
        with Ledger(path) as ledger:
            assert list(ledger.methods()) == ["m"]
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT a FROM notes").fetchall() == [(1,)]
    connection.close()


def test_a_step_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, ("0002_bad", "CREATE NONSENSE")))
    connection = sqlite3.connect(tmp_path / "a", isolation_level=None)
    with pytest.raises(sqlite3.OperationalError), transaction(connection):
        migrations.migrate(connection, "a")
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    connection.close()


@pytest.mark.parametrize("steps", range(1, len(migrations.MIGRATIONS)))
def test_a_ledger_of_each_earlier_format_is_brought_up_to_date(
    tmp_path, monkeypatch, unit, statistics, explanation, score, outcomes, steps
):
    now, then = tmp_path / "now.sqlite", tmp_path / "then.sqlite"
    chosen = explanation(validation=0.75)
    with Ledger(now) as ledger:
        ledger.add_method("m1", {"explainer": "pmi"})
        ledger.add_units([(unit(), statistics), (unit(1), statistics)])
        ledger.record_explained(chosen, [explanation(text="a loser", rank=1)])
        ledger.record_scores(chosen, State.ACCEPTED, [score()], outcomes(chosen.id))
        ledger.record_failure(unit(1), "m1", State.REFUSAL, "it declined")
        expected = ledger.dump()
    connection = sqlite3.connect(then, isolation_level=None)
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS[:steps])
        with transaction(connection):
            migrations.migrate(connection, "then")
    connection.execute("ATTACH ? AS present", (str(now),))
    tables = [name for kind, name, _ in schema(connection) if kind == "table" and name != "migrations"]
    for table in tables:
        columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({table})"))
        connection.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM present.{table}")
    connection.close()
    with pytest.raises(UserError, match="Bring it up to date with:  neurogloss index rebuild"):
        Ledger(then, read_only=True)
    with Ledger(then) as ledger:
        assert ledger.dump() == expected
        assert ledger.label(unit()).explanation == chosen


def test_an_index_of_an_earlier_format_is_named_and_made_anew(tmp_path, unit, statistics, explanation, embedder):
    with Ledger(tmp_path / "run" / "ledger.sqlite") as ledger:
        ledger.add_method("m1", {})
        ledger.add_units([(unit(), statistics)])
        ledger.record_explained(explanation(), [])
        with Index(tmp_path / "run" / "index", embedder) as index:
            index.sync(ledger)
        for earlier in range(1, catalogue._VERSION):
            connection = sqlite3.connect(index.path / "explanations.sqlite")
            connection.execute(f"PRAGMA user_version = {earlier}")
            connection.close()
            with Index(index.path, embedder) as index:
                with pytest.raises(UserError, match="Another version of neurogloss made .* index rebuild"):
                    index.check(ledger)
                index.rebuild(ledger)
                assert index.check(ledger).ok


def test_a_cache_of_an_earlier_format_is_named(tmp_path):
    for earlier in range(1, cache.VERSION):
        replace_file(tmp_path / "manifest.json", json.dumps({"version": earlier, "complete": True}).encode())
        with pytest.raises(UserError, match=f"Expected version {cache.VERSION} of a cache .* Collect again"):
            cache.read_manifest(tmp_path)
