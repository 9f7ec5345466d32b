"""What disks, other processes and other versions do to the store: named, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from neurogloss.errors import UserError
from neurogloss.records import Explanation, State
from neurogloss.store.database import busy_or_full
from neurogloss.store.index import Index
from neurogloss.store.ledger import Ledger
from neurogloss.store.search import By, search

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
    spoil(ledger, lambda page: page > 60)
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
            assert len(reader.documents) == UNITS
        with pytest.raises(UserError, match=r"Another process is writing to .*ledger.sqlite\. Wait"):
            Ledger(ledger)
        other.kill()
    with Ledger(ledger) as opened:
        opened.record_failure(unit(0), "m1", State.TRANSPORT, "down")


def test_an_error_of_a_full_disk_is_named_as_one(tmp_path, ledger, monkeypatch):
    """SQLite says of a file that it cannot map only that something failed."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    assert busy_or_full(ledger, error) is None
    usage = shutil.disk_usage(tmp_path)._replace(free=0)
    monkeypatch.setattr("neurogloss.store.database.shutil.disk_usage", lambda path: usage)
    assert "Make room" in str(busy_or_full(ledger, error))


def test_text_that_is_no_text_is_named(ledger, unit):
    with sqlite3.connect(ledger) as connection:
        connection.execute("UPDATE explanations SET text = CAST(x'6cfffe65' AS TEXT)")
    connection.close()
    with Ledger(ledger, read_only=True) as opened, pytest.raises(UserError, match="Could not decode"):
        opened.candidates(unit(0), "m1")


# --- the index ------------------------------------------------------------------------------------------


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

    def full(self, **_):
        raise InternalError(said)

    usage = shutil.disk_usage(tmp_path)._replace(free=free)
    with Ledger(ledger) as opened, Index(tmp_path / "run" / "index", embedder) as index:
        monkeypatch.setattr("chromadb.api.models.Collection.Collection.upsert", full)
        monkeypatch.setattr("neurogloss.store.database.shutil.disk_usage", lambda path: usage)
        with pytest.raises(UserError, match=r"Expected room to write .*index.*, found: .*\. Make room"):
            index.sync(opened)


def chroma(index: Path) -> Path:
    """The folder of the collection in use."""
    [file] = index.glob("*/chroma.sqlite3")
    return file.parent


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
        index.close()
        connection = sqlite3.connect(chroma(index.path) / "chroma.sqlite3", isolation_level=None)
        connection.execute(change)
        connection.close()
        with pytest.raises(UserError, match=r"that Chroma cannot read.*neurogloss index rebuild"):
            index.check(opened)
        index.rebuild(opened)
        assert index.check(opened).ok


@pytest.fixture
def small(tmp_path, unit, statistics, explanation, embedder) -> Path:
    """A run of three labels, with its index."""
    with Ledger(tmp_path / "small" / "ledger.sqlite") as ledger:
        ledger.add_method("m1", {})
        ledger.add_units((unit(i), statistics) for i in range(3))
        for i, text in enumerate(("parts of the day", "names of cities", "python code")):
            ledger.record_explained(explanation(i, text), [])
        with Index(tmp_path / "small" / "index", embedder) as index:
            index.sync(ledger)
    return tmp_path / "small"


def uses(index: Index, ledger: Ledger) -> list[Callable[[], object]]:
    """What `index check`, `search` and `label` do."""
    return [
        lambda: index.check(ledger),
        lambda: search(index, ledger, "day"),
        lambda: search(index, ledger, "day", where="layer >= 1"),
        lambda: index.sync(ledger),
    ]


def damaged_pages(folder: Path) -> Iterator[int]:
    """Zero each page of Chroma's database in turn; the file is whole again in the end."""
    file = folder / "chroma.sqlite3"
    whole = file.read_bytes()
    for start in range(0, len(whole), 4096):
        file.write_bytes(whole[:start] + bytes(4096) + whole[start + 4096 :])
        yield start // 4096
    file.write_bytes(whole)


def test_any_page_of_chroma_s_database_that_is_lost_is_named_and_mended_by_rebuild(small, embedder, capfd):
    with Ledger(small / "ledger.sqlite") as ledger:
        pages = 0
        for page in damaged_pages(chroma(small / "index")):
            pages += 1
            with Index(small / "index", embedder) as index:
                for use in uses(index, ledger):
                    with pytest.raises(UserError, match=r"cannot read: .*neurogloss index rebuild \S+$") as said:
                        use()
                    assert "\n" not in str(said.value), page
        assert pages > 40
        (chroma(small / "index") / "chroma.sqlite3").write_bytes(bytes(100_000))
        with Index(small / "index", embedder) as index:
            index.rebuild(ledger)
            assert index.check(ledger).ok and len(search(index, ledger, "day")) == 3
    assert capfd.readouterr() == ("", "")


def test_what_a_killed_writer_began_is_rolled_back(small, embedder, tmp_path):
    """It leaves SQLite's journal next to a database with half of what it wrote."""
    file = chroma(small / "index") / "chroma.sqlite3"
    journal = file.with_name(file.name + "-journal")
    whole = file.read_bytes()
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE embedding_metadata SET string_value = hex(randomblob(100000))")
    killed = {path: path.read_bytes() for path in (file, journal)}
    connection.execute("ROLLBACK")
    connection.close()
    assert file.read_bytes() == whole != killed[file]
    for path, content in killed.items():
        path.write_bytes(content)
    with Ledger(small / "ledger.sqlite") as ledger, Index(small / "index", embedder) as index:
        assert index.check(ledger).ok and len(search(index, ledger, "day", by=By.DENSE)) == 3
    assert not journal.exists()


def test_what_chroma_makes_of_damage_that_was_not_found_before_is_a_sentence_too(small, embedder, monkeypatch):
    """Its library panics on some pages, with a BaseException of its own."""
    monkeypatch.setattr("neurogloss.store.chroma.Collection._require_whole", lambda self, known: None)
    panics = 0
    with Ledger(small / "ledger.sqlite") as ledger:
        for _ in damaged_pages(chroma(small / "index")):
            with Index(small / "index", embedder) as index:
                for use in uses(index, ledger)[:2]:
                    try:
                        use()
                    except UserError as error:
                        panics += type(error.__cause__).__name__ == "PanicException"
    assert panics > 0


@pytest.mark.parametrize("change", ["cut", "gone", "empty"])
def test_a_chroma_database_that_is_cut_is_named(small, embedder, change):
    file = chroma(small / "index") / "chroma.sqlite3"
    data = file.read_bytes()
    file.unlink()
    if change != "gone":
        file.write_bytes(data[:100_000] if change == "cut" else b"")
    with Ledger(small / "ledger.sqlite") as ledger, Index(small / "index", embedder) as index:
        for use in uses(index, ledger):
            with pytest.raises(UserError, match=r"cannot read: .*neurogloss index rebuild"):
                use()
        index.rebuild(ledger)
        assert index.check(ledger).ok


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"collection": "../../x"}', b'{"collection": 5}', b"\xff\xfe"]
)
def test_a_damaged_pointer_is_named(small, embedder, content):
    (small / "index" / "explanations.json").write_bytes(content)
    with Ledger(small / "ledger.sqlite") as ledger, Index(small / "index", embedder) as index:
        for use in uses(index, ledger):
            with pytest.raises(UserError, match="explanations.json damaged.*neurogloss index rebuild"):
                use()
        index.rebuild(ledger)
        assert index.check(ledger).ok and len([*(small / "index").glob("*/chroma.sqlite3")]) == 1


def test_a_damaged_graph_is_named_before_chroma_reads_it(tmp_path, embedder, unit, statistics):
    """Chroma's library ends the process on some of these."""
    with (
        Ledger(tmp_path / "run" / "ledger.sqlite") as ledger,
        Index(tmp_path / "run" / "index", embedder) as index,
    ):
        units = [unit(i) for i in range(1200)]
        said = [Explanation(each, f"number {each.index}", "m1") for each in units]
        ledger.record_imported({"m1": {}}, dict.fromkeys(units, statistics), said)
        index.sync(ledger)
        assert index.sync(ledger).unchanged == 1200
        files = sorted(chroma(index.path).glob("*/*"))
        assert [file.name for file in files if file.stat().st_size] == [
            "data_level0.bin",
            "header.bin",
            "index_metadata.pickle",
            "length.bin",
            "link_lists.bin",
        ]
        for file in files:
            index.close()
            whole = file.read_bytes()
            for damaged in (bytes(len(whole)), whole[:-1], whole[:50] + b"\xff" + whole[51:], None):
                file.unlink()
                if damaged is not None:
                    file.write_bytes(damaged)
                with pytest.raises(UserError, match=r"has changed.*neurogloss index rebuild"):
                    index.check(ledger)
                file.write_bytes(whole)
        assert index.check(ledger).ok


def test_a_run_that_cannot_be_written_to_is_searched(small, embedder, monkeypatch):
    """Chroma writes to a folder when it opens it; the index is copied then."""
    before = {path: path.read_bytes() for path in (small / "index").rglob("*") if path.is_file()}
    access = os.access
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK and access(path, mode))
    with Ledger(small / "ledger.sqlite", read_only=True) as ledger, Index(small / "index", embedder) as index:
        assert len(search(index, ledger, "day")) == 3 and index.check(ledger).ok
    assert {path: path.read_bytes() for path in (small / "index").rglob("*") if path.is_file()} == before


DYING = """
import os, shutil, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[4])
import chromadb
import neurogloss.store.index as module
from neurogloss.store.chroma import Collection
from neurogloss.store.index import Index
from neurogloss.store.ledger import Ledger
from tests.store.conftest import WordEmbedder

left = step = 0
module._BATCH = 1
copytree = shutil.copytree

def dying(call):
    def counted(*arguments, **named):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **named)
    return counted

Collection.__init__, Collection.add = dying(Collection.__init__), dying(Collection.add)
Collection.close, Collection.remove = dying(Collection.close), dying(Collection.remove)
module.replace_file, shutil.rmtree = dying(module.replace_file), dying(shutil.rmtree)
status = None
while status != 0:
    step += 1
    run = Path(sys.argv[2]) / str(step)
    copytree(sys.argv[1], run)
    if (child := os.fork()) == 0:
        left = step
        with Ledger(run / "ledger.sqlite") as ledger, Index(run / "index", WordEmbedder()) as index:
            getattr(index, sys.argv[3])(ledger)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL), status
"""


@pytest.mark.parametrize("what", ["rebuild", "sync"])
def test_a_writer_that_is_killed_at_any_step_leaves_an_index_that_works(
    tmp_path, small, embedder, explanation, what
):
    """A rebuild leaves the old index until the new one is complete; a sync keeps all that it added."""
    if what == "sync":
        with Ledger(small / "ledger.sqlite") as ledger:
            for i in range(3):
                ledger.record_explained(explanation(i, f"anew {i}"), [])
    (tmp_path / "killed").mkdir()
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", DYING, small, tmp_path / "killed", what, root], check=True)
    runs = sorted((tmp_path / "killed").iterdir())
    for run in runs:
        with Ledger(run / "ledger.sqlite") as ledger, Index(run / "index", embedder) as index:
            embedder.embedded.clear()
            if what == "rebuild":
                assert index.check(ledger).ok, run.name
                index.rebuild(ledger)
                assert len([*run.glob("index/*/chroma.sqlite3")]) == 1
            else:
                missing = len(index.check(ledger).missing)
                index.sync(ledger)
                assert len(embedder.embedded) == missing <= 3
            assert index.check(ledger).ok and len(search(index, ledger, "anew", by=By.DENSE)) == 3
    assert len(runs) > 6
