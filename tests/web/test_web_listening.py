"""The service on a port, asked with httpx as the documentation shows."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

import neurogloss as ng
from neurogloss.engines.embedder import MiniLM
from neurogloss.store.ledger import Ledger
from neurogloss.web.app import create_app
from neurogloss.web.options import Options

DOCUMENT = Path(__file__).parents[2] / "docs" / "service.md"


class Listening:
    """The service on a free port, in a thread."""

    def __init__(self, *runs: Path) -> None:
        self.app = create_app(runs, Options())
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


def test_the_code_of_the_document_runs_as_written(imported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    with Listening(imported) as url:
        exec(block.replace("http://127.0.0.1:8600", url).replace("/demo/", "/imported/"), {})
    printed = capsys.readouterr().out.splitlines()
    every = list(ng.open_run(imported).labels(states=[ng.State.ACCEPTED]))
    assert len(printed) == len(every) and all(line.startswith("org/subject/") for line in printed)


@pytest.mark.timeout(60, method="thread")
def test_events_tell_of_changes(run_copy: Path, minilm: MiniLM) -> None:
    def events(lines: Iterator[str]) -> Iterator[dict[str, int]]:
        for line in lines:
            if line.startswith("data:"):
                yield json.loads(line[5:])["methods"][0]["states"]

    with Listening(run_copy) as url, httpx.stream("GET", f"{url}/api/runs/copy/events") as answer:
        states = events(answer.iter_lines())
        assert next(states).get("dead", 0) == 0
        label = next(ng.open_run(run_copy).labels())
        with Ledger(run_copy / "ledger.sqlite") as ledger:
            ledger.record_failure(label.unit, label.method, ng.State.DEAD, "never active")
        assert next(states)["dead"] == 1
