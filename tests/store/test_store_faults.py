"""What disks, other processes and other versions do to the store: named, and nothing is lost."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from neurogloss.errors import UserError
from neurogloss.records import State
from neurogloss.store.database import busy_or_full
from neurogloss.store.documents import Document, documents
from neurogloss.store.index import Index
from neurogloss.store.ledger import Ledger

UNITS = 300


@pytest.fixture
def ledger(tmp_path, unit, statistics, explanation) -> Path:
    """Of 300 explained units."""
    path = tmp_path / "run" / "ledger.sqlite"
    with Ledger(path) as ledger:
        ledger.add_method("m1", {})
        ledger.add_units((unit(i), statistics) for i in range(UNITS))
        for i in range(UNITS):
            ledger.record_explained(explanation(i, f"the number {i} " * 10), [])
    return path


def fill_up(connection: sqlite3.Connection) -> None:
    """SQLite takes its file for a disk without room for one page more."""
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_is_named_and_what_was_recorded_stays(ledger, unit, explanation):
    with Ledger(ledger) as opened:
        before = opened.dump()
        fill_up(opened._connection)
        with pytest.raises(UserError, match=r"Expected room to write .*ledger.sqlite.* disk is full\. Make room"):
            opened.record_explained(explanation(0, "long " * 10_000), [explanation(0, "a loser", rank=1)])
        assert opened.dump() == before
        opened.record_failure(unit(0), "m1", State.TRANSPORT, "down")
    with Ledger(ledger) as opened:
        opened.record_explained(explanation(0, "long " * 10_000), [])
        assert opened.label(unit(0)).explanation.text == "long " * 10_000


def test_a_disk_that_fills_up_under_the_catalogue_leaves_it_as_it_was(tmp_path, ledger, embedder):
    with Ledger(ledger) as opened, Index(tmp_path / "run" / "index", embedder) as index:
        some = list(documents(opened))
        catalogue = index.catalogue
        catalogue.add(some[:10], embedder.embed([document.text for document in some[:10]]))
        fill_up(catalogue._connection)
        vectors = embedder.embed([document.text for document in some[10:]])
        with pytest.raises(UserError, match=r"Expected room to write .*explanations.sqlite"):
            catalogue.add(some[10:], vectors)
        assert len(catalogue) == 10 and catalogue.rows().tolist() == list(range(10))
        catalogue.add(some[10:], vectors)
        assert len(catalogue) == UNITS
        assert catalogue.cosines(vectors[-1], np.array([UNITS - 1])) == pytest.approx([1], abs=1e-3)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_no_room_for_vectors_leaves_no_row_without_one(tmp_path, ledger, embedder):
    with Ledger(ledger) as opened, Index(tmp_path / "run" / "index", embedder) as index:
        [document, other, *_] = documents(opened)
        index.catalogue.add([document], embedder.embed([document.text]))
        vectors = index.path / "explanations.f16"
        vectors.rename(vectors.with_suffix(".kept"))
        vectors.symlink_to("/dev/full")
        with pytest.raises(OSError, match="No space left"):
            index.catalogue.add([other], embedder.embed([other.text]))
        vectors.unlink()
        vectors.with_suffix(".kept").rename(vectors)
        assert [*index.catalogue.ids()] == [document.id]


def spoil(path: Path, pages: Callable[[int], bool]) -> None:
    """Overwrite pages of an SQLite file."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    data = bytearray(path.read_bytes())
    for page in range(1, len(data) // size):
        if pages(page):
            data[page * size : (page + 1) * size] = b"\xa5" * size
    path.write_bytes(data)


@pytest.mark.parametrize("read_only", [True, False])
def test_damaged_pages_of_a_ledger_are_named_by_whatever_meets_them(ledger, unit, explanation, read_only):
    spoil(ledger, lambda page: page > 20)
    before = ledger.read_bytes()

    def uses(opened):
        return [
            lambda: list(opened.labels()),
            lambda: opened.label(unit(7)),
            lambda: opened.states("m1"),
            opened.dump,
            *([] if read_only else [lambda: opened.record_explained(explanation(7, "other"), [])]),
        ]

    with Ledger(ledger, read_only=read_only) as opened:
        for use in uses(opened):
            with pytest.raises(UserError, match=r"ledger.sqlite, found: .*malformed.*\.recover"):
                use()
    assert ledger.read_bytes() == before


def test_a_catalogue_with_damaged_pages_is_named_and_can_be_rebuilt(tmp_path, ledger, embedder):
    with Ledger(ledger) as opened, Index(tmp_path / "run" / "index", embedder) as index:
        index.sync(opened)
        index.close()
        spoil(index.path / "explanations.sqlite", lambda page: page > 20)
        with pytest.raises(UserError, match=r"SQLite cannot read: .*malformed.*neurogloss index rebuild"):
            index.check(opened)
        index.rebuild(opened)
        assert index.check(opened).ok


HOLDING = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_ledger_that_another_process_holds_is_named(ledger, unit, monkeypatch):
    monkeypatch.setattr("neurogloss.store.database._BUSY_SECONDS", 0.1)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(ledger)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with Ledger(ledger, read_only=True) as reader:
            assert reader.n_explained() == UNITS
        with pytest.raises(UserError, match=r"Another process is writing to .*ledger.sqlite\. Wait"):
            Ledger(ledger)
        other.kill()
    with Ledger(ledger) as opened:
        opened.record_failure(unit(0), "m1", State.TRANSPORT, "down")


DYING = """
import os, signal, sqlite3, sys
from pathlib import Path
import numpy as np
from neurogloss.store.catalogue import Catalogue
from neurogloss.store.documents import Document

class Embedder:
    name, dimension = "words", 64

def write(folder, moment):
    folder.mkdir(parents=True)
    left, connect = moment, sqlite3.connect
    def counted(statement):
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    def traced(*arguments, **named):
        connection = connect(*arguments, **named)
        connection.set_trace_callback(counted)
        return connection
    sqlite3.connect = traced
    written = Catalogue(folder, Embedder())
    for batch in range(3):
        some = [Document(f"b2:{batch}-{i}", f"text {i}", {"layer": batch}) for i in range(3)]
        written.add(some, np.eye(3, 64, dtype=np.float32))
        (folder / "batches").write_text(str(batch + 1))

moment, status = 0, None
while status != 0:
    moment += 1
    if (child := os.fork()) == 0:
        write(Path(sys.argv[1]) / str(moment) / "index", moment)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL), status
"""


def test_a_catalogue_s_writer_killed_before_any_statement(tmp_path, make_embedder):
    """Batches before the kill are whole, of the one at the kill there is nothing, and writing goes on."""
    subprocess.run([sys.executable, "-c", DYING, str(tmp_path)], check=True)
    seen = Counter()
    for folder in tmp_path.glob("*/index"):
        batches = int((folder / "batches").read_text()) if (folder / "batches").exists() else 0
        with Index(folder, make_embedder()) as index:
            catalogue = index.catalogue
            ids = [f"b2:{batch}-{i}" for batch in range(batches) for i in range(3)]
            seen[batches, catalogue.exists()] += 1
            if catalogue.exists():
                assert [*catalogue.ids()] == ids
                assert len(catalogue) == len(catalogue.rows()) == len(ids)
                assert catalogue.stored(["b2:0-2", "b2:1-0"]) == {
                    id: {"layer": int(id[3])} for id in ids if id in ("b2:0-2", "b2:1-0")
                }
            catalogue.add([Document("b2:later", "a text", {"layer": 9})], np.eye(1, 64, dtype=np.float32))
            assert [*catalogue.ids()] == [*ids, "b2:later"]
            assert catalogue.stored(["b2:later"]) == {"b2:later": {"layer": 9}}
    assert seen.keys() == {(0, False), (0, True), (1, True), (2, True), (3, True)}
    assert seen[0, False] > 5 and seen[3, True] == 1


def test_an_error_of_a_full_disk_is_named_as_one(tmp_path, ledger, monkeypatch):
    """SQLite says of a file that it cannot map only that something failed."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    assert busy_or_full(ledger, error) is None
    usage = shutil.disk_usage(tmp_path)._replace(free=0)
    monkeypatch.setattr("neurogloss.store.database.shutil.disk_usage", lambda path: usage)
    assert "Make room" in str(busy_or_full(ledger, error))


@pytest.mark.parametrize(
    "said, free",
    [
        ("error returned from database: (code: 13) database or disk is full", 2**40),
        ("Error in compaction: Failed to apply logs to the metadata segment", 0),
    ],
)
def test_no_room_for_chroma_is_named(tmp_path, ledger, embedder, monkeypatch, said, free):
    """In the words that its folder on a full file system gave; of some of them only the file system knows why."""
    from chromadb.errors import InternalError

    def full(self, create):
        raise InternalError(said)

    monkeypatch.setattr("neurogloss.store.chroma.Chroma._open", full)
    usage = shutil.disk_usage(tmp_path)._replace(free=free)
    monkeypatch.setattr("neurogloss.store.database.shutil.disk_usage", lambda path: usage)
    with Ledger(ledger) as opened, Index(tmp_path / "run" / "index", embedder) as index:
        with pytest.raises(UserError, match=r"Expected room to write .*index, found: .*\. Make room"):
            index.sync(opened)


def chroma_of(index: Index) -> sqlite3.Connection:
    index.close()
    return sqlite3.connect(index.path / "chroma.sqlite3", isolation_level=None)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE migrations SET hash = 'of another version'",
        "ALTER TABLE collections RENAME COLUMN name TO title",
        "DROP TABLE embeddings",
    ],
)
def test_a_chroma_folder_of_another_version_is_named_and_can_be_rebuilt(tmp_path, ledger, embedder, change):
    with Ledger(ledger) as opened, Index(tmp_path / "run" / "index", embedder) as index:
        index.sync(opened)
        connection = chroma_of(index)
        connection.execute(change)
        connection.close()
        with pytest.raises(UserError, match=r"that Chroma cannot read.*neurogloss index rebuild"):
            index.check(opened)
        index.rebuild(opened)
        assert index.check(opened).ok


def test_text_that_is_no_text_is_named(ledger, unit):
    with sqlite3.connect(ledger) as connection:
        connection.execute("UPDATE explanations SET text = CAST(x'6cfffe65' AS TEXT)")
    connection.close()
    with Ledger(ledger, read_only=True) as opened, pytest.raises(UserError, match="Could not decode"):
        opened.candidates(unit(0), "m1")
