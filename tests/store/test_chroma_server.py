"""The index with its collection on a Chroma server: a real one, on loopback."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chromadb
import pytest
from chromadb.config import Settings

from neurogloss.errors import UserError
from neurogloss.store.index import Index, SyncReport
from neurogloss.store.ledger import Ledger
from neurogloss.store.search import By, search


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a server of the test's own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("chroma")
    command = [Path(sys.executable).with_name("chroma"), "run", "--host", "127.0.0.1", "--port", str(port)]
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen([*command, "--path", folder], stdout=log, stderr=log)
    try:
        for _ in range(600):
            if process.poll() is not None:
                pytest.fail(f"the server ended: {(folder / 'log').read_text()}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def ledger(tmp_path, unit, statistics, explanation) -> Iterator[Ledger]:
    with Ledger(tmp_path / "run" / "ledger.sqlite") as ledger:
        ledger.add_method("m1", {})
        ledger.add_units((unit(i), statistics) for i in range(3))
        ledger.record_explained(explanation(0, "parts of the day"), [])
        ledger.record_explained(explanation(1, "names of large cities"), [])
        yield ledger


def test_the_collection_moves_to_a_server_and_back(
    server, tmp_path, ledger, embedder, make_embedder, explanation, monkeypatch
):
    folder = tmp_path / "run" / "index"
    with Index(folder, embedder) as index:
        index.sync(ledger)
        assert index.rebuild(ledger, server=server) == SyncReport(2, 0, 0, 0)
    ledger.record_explained(explanation(2, "python import statements"), [])
    with Index(folder, embedder) as index:
        assert index.check(ledger).missing == (explanation(2, "python import statements").id,)
        assert index.sync(ledger) == SyncReport(1, 0, 0, 2), "the server is remembered"
        assert index.check(ledger).ok
        monkeypatch.setattr("neurogloss.store.index.FEW", 0)
        [first] = search(index, ledger, "time of the day", k=1, by=By.DENSE)
        assert first.label.explanation.text == "parts of the day"
        [other] = search(index, ledger, "time of the day", k=9, by=By.DENSE, where="unit ~ 'neurons/1'")
        assert other.label.explanation.text == "names of large cities"
    with (
        Index(folder, make_embedder("other")) as index,
        pytest.raises(UserError, match="made with the embedder words"),
    ):
        index.check(ledger)
    with Index(folder, embedder) as index:
        assert index.rebuild(ledger) == SyncReport(3, 0, 0, 0)
        assert index.check(ledger).ok and len([*folder.glob("*/chroma.sqlite3")]) == 1
    assert collections(server, ledger) == []


def test_runs_share_a_server_and_are_told_apart(server, tmp_path, ledger, embedder, unit, statistics, explanation):
    with (
        Ledger(tmp_path / "other" / "ledger.sqlite") as other,
        Index(tmp_path / "run" / "index", embedder) as a,
        Index(tmp_path / "other" / "index", embedder) as b,
    ):
        other.add_method("m1", {})
        other.add_units([(unit(0), statistics)])
        other.record_explained(explanation(0, "time of night"), [])
        a.rebuild(ledger, server=server)
        b.rebuild(other, server=server)
        [mine], [theirs] = collections(server, ledger), collections(server, other)
        assert mine.metadata["kind"] == theirs.metadata["kind"] == "explanations"
        assert [hit.label.explanation.text for hit in search(b, other, "time of the day")] == ["time of night"]
        found = [hit for run in ((a, ledger), (b, other)) for hit in search(*run, "time of the day", by=By.DENSE)]
        assert [hit.label.explanation.text for hit in sorted(found, key=lambda hit: -hit.similarity)][:2] == [
            "parts of the day",
            "time of night",
        ]
        (b.pointer).write_bytes(a.pointer.read_bytes())
        with pytest.raises(UserError, match="another run"):
            b.check(other)
        b.rebuild(other)
        assert a.check(ledger).ok and b.check(other).ok


def test_what_a_killed_rebuild_left_on_the_server_goes_with_the_next(
    server, tmp_path, ledger, embedder, monkeypatch
):
    with Index(tmp_path / "run" / "index", embedder) as index:
        index.rebuild(ledger, server=server)
        with monkeypatch.context() as patch:
            patch.setattr(embedder, "embed", lambda texts: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                index.rebuild(ledger, server=server)
        assert len(collections(server, ledger)) == 2 and index.check(ledger).ok, "the old one serves"
        index.rebuild(ledger, server=server)
        assert len(collections(server, ledger)) == 1 and index.check(ledger).ok


def collections(server: str, ledger: Ledger) -> list[Any]:
    """Those of a run on the server."""
    port = int(server.rpartition(":")[2])
    client = chromadb.HttpClient("127.0.0.1", port, settings=Settings(anonymized_telemetry=False))
    return [each for each in client.list_collections() if (each.metadata or {}).get("run") == ledger.documents.run]


def test_a_server_that_has_gone_is_named(server, tmp_path, ledger, embedder):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with Index(tmp_path / "run" / "index", embedder) as index:
        index.rebuild(ledger, server=server)
        index.pointer.write_text(index.pointer.read_text().replace(server, url))
        index.close()
        with pytest.raises(UserError, match=f"Chroma server at {url}"):
            index.check(ledger)
        with pytest.raises(UserError, match=f"Chroma server at {url}"):
            index.rebuild(ledger, server=url)
        assert index.rebuild(ledger) == SyncReport(2, 0, 0, 0), "back in the folder"
        assert index.check(ledger).ok
