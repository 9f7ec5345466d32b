"""The index with its collection on a Chroma server: a real one, on loopback."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

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
        monkeypatch.setattr("neurogloss.store.index.EXACT_ROWS", 0)
        [first] = search(index, ledger, "time of the day", k=1, by=By.DENSE)
        assert first.label.explanation.text == "parts of the day"
    with (
        Index(folder, make_embedder("other")) as index,
        pytest.raises(UserError, match="made with the embedder words"),
    ):
        index.check(ledger)
    with Index(folder, embedder) as index:
        assert index.rebuild(ledger) == SyncReport(3, 0, 0, 0)
        assert (folder / "chroma.sqlite3").exists() and not (folder / "server.url").exists()
        assert index.check(ledger).ok


def test_two_runs_share_a_server_without_meeting(server, tmp_path, ledger, embedder):
    for name in ("a", "b"):
        with Index(tmp_path / name / "index", embedder) as index:
            index.rebuild(ledger, server=server)
    with Index(tmp_path / "a" / "index", embedder) as a, Index(tmp_path / "b" / "index", embedder) as b:
        a.rebuild(ledger)
        assert b.check(ledger).ok


def test_a_server_that_has_gone_is_named(tmp_path, ledger, embedder):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    folder = tmp_path / "run" / "index"
    folder.mkdir(parents=True)
    (folder / "server.url").write_text(url)
    with Index(folder, embedder) as index, pytest.raises(UserError, match=f"Chroma server at {url}"):
        index.check(ledger)
