"""The client against a server that listens on a port."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

import neurogloss as ng
from neurogloss.engines.embedder import MiniLM
from neurogloss.errors import UserError
from neurogloss.store.ledger import Ledger
from neurogloss.web import schemas
from neurogloss.web.app import create_app
from neurogloss.web.client import Client
from neurogloss.web.options import Options

TOKEN = "a token of twenty letters"


class Listening:
    """The service on a free port, in a thread."""

    def __init__(self, *runs: Path) -> None:
        self.app = create_app(runs, Options(token=TOKEN))
        self._server = uvicorn.Server(uvicorn.Config(self.app, port=0, log_level="warning"))
        self._thread = threading.Thread(target=self._server.run)

    def __enter__(self) -> str:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        return f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"

    def __exit__(self, *error: object) -> None:
        self.app.state.service.jobs.end()
        self._server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.fixture(scope="module")
def url(labelled: Path, imported: Path) -> Iterator[str]:
    with Listening(labelled, imported) as found:
        yield found


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[Client]:
    with Client(f"{url}/", TOKEN) as found:
        yield found


def test_runs_and_numbers(client: Client) -> None:
    assert [run.name for run in client.runs()] == ["labelled", "imported"]
    assert client.run("imported").measure is None
    assert {each.scorer for each in client.numbers("imported").scorers} == {"detection"}


def test_a_search_goes_on_over_pages(client: Client, imported: Path) -> None:
    found = list(client.search("dates", ["imported"], k=2, where="layer == 2"))
    wanted = ng.open_run(imported).search("dates", 100, where="layer == 2")
    assert [hit.label.unit for hit in found] == [str(hit.label.unit) for hit in wanted]
    assert isinstance(found[0], schemas.Hit)


def test_browsing_passes_over_what_it_was_told_to_once(client: Client) -> None:
    whole = [hit.label.unit for hit in client.units("imported", sort="-density,unit")]
    assert len(whole) == 30
    assert [hit.label.unit for hit in client.units("imported", sort="-density,unit", limit=4, skip=7)] == whole[7:]
    assert len(list(client.units("imported", state=["accepted", "rejected"]))) == 24
    assert [label.state for label in client.failed("imported", limit=1)] == ["refusal"] * 3


def test_a_unit_in_all_its_parts(client: Client, labelled: Path) -> None:
    label = next(label for label in ng.open_run(labelled).labels() if label.scores)
    unit = client.unit("labelled", str(label.unit))
    assert unit.labels[0].method == label.method
    assert client.contexts("labelled", unit.unit, "explain", 3).half == "explain"
    assert len(client.neighbours("labelled", unit.unit, "coactivation", 2)) == 2
    assert [step.node for step in client.trace("labelled", unit.unit)] == [
        step["node"] for step in ng.open_run(labelled).trace(label)
    ]
    asked = list(client.answers("labelled", unit.unit, "detection", wrong=False, limit=3))
    assert len(asked) == sum(each.n_questions for each in label.scores if each.scorer == "detection")
    assert client.jobs() == []


@pytest.mark.timeout(60, method="thread")
def test_events_tell_of_changes(run_copy: Path, minilm: MiniLM) -> None:
    with Listening(run_copy) as url, Client(url, TOKEN) as client:
        events = client.run_events("copy")
        assert next(events).methods[0].states.get("dead", 0) == 0
        label = next(ng.open_run(run_copy).labels())
        with Ledger(run_copy / "ledger.sqlite") as ledger:
            ledger.record_failure(label.unit, label.method, ng.State.DEAD, "never active")
        assert next(events).methods[0].states["dead"] == 1
        events.close()


def test_what_the_service_refuses_is_said(client: Client, url: str) -> None:
    with pytest.raises(UserError, match="Expected one of the runs labelled, imported"):
        client.run("other")
    with pytest.raises(UserError, match="no context|context"):
        client.image(f"/api/runs/labelled/images/{1:016x}")
    with Client(url, "another token of the same") as wrong, pytest.raises(UserError, match="token"):
        wrong.runs()
    with pytest.raises(UserError, match="one line"):
        Client(url, "two\nlines")


def test_where_nothing_listens(client: Client) -> None:
    with Client("http://127.0.0.1:9") as nobody, pytest.raises(UserError, match="neurogloss serve"):
        nobody.runs()
