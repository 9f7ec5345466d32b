"""Two real servers of one model, of which one is killed while it is asked, and started again before the end."""

from __future__ import annotations

import os
import re
import shutil
import signal
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import neurogloss as ng
from neurogloss.engines import serving
from neurogloss.protocols import Quiet

if TYPE_CHECKING:
    from conftest import Start, VllmServer

pytestmark = [pytest.mark.vllm, pytest.mark.model, pytest.mark.timeout(1500)]

LABEL: dict[str, Any] = {
    "units": "0-5",
    "scorers": ("detection",),
    "questions": 10,
    "min_active": 4,
    "effort": "low",
    "concurrency": 3,
    "stored_answers": False,
}
UNITS = 12
"""What `0-5` means at two hookpoints."""


def answered(url: str) -> int:
    """Requests that a server has finished since it started."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{url.removesuffix('/v1')}/metrics", timeout=30) as page:
        found = re.findall(r"^vllm:request_success_total\{.*\} ([\d.e+]+)$", page.read().decode(), re.MULTILINE)
    return int(sum(map(float, found)))


class Fate(Quiet):
    """The second server is killed after two units, and back after the fifth."""

    def __init__(self, second: VllmServer, again: Any) -> None:
        self._second, self._again, self._done = second, again, 0
        self.before = 0

    def advance(self, n: int = 1) -> None:
        self._done += n
        if self._done == 2:
            self.before = answered(self._second.url)
            for pid in self._second.processes():
                os.kill(pid, signal.SIGKILL)
            self._second.process.wait(60)
        elif self._done == 5:
            # The run waits meanwhile, so that there is something left to ask.
            self._again()


def test_a_server_that_is_killed_is_left_out_and_taken_back(
    vllm_server: VllmServer, start: Start, collected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    alone, run = (Path(shutil.copytree(collected, tmp_path / name)) for name in ("alone", "run"))
    options = ("--port", str(serving.free_port()), "--max-model-len", "4096")
    with ExitStack() as stack:

        def open_second() -> VllmServer:
            return stack.enter_context(start(vllm_server.folder, tmp_path / "second.log", *options))

        second = open_second()
        urls = f"{vllm_server.url},{second.url}"
        undisturbed = ng.label(alone, llm=urls, **LABEL)
        first = answered(vllm_server.url)
        fate = Fate(second, open_second)
        summary = ng.label(run, llm=urls, progress=fate, **LABEL)
        assert answered(second.url) > 0, "the one that came back is asked again"
    assert fate.before > 0 and answered(vllm_server.url) > first, "both were asked before"
    assert summary.waiting == 0 and sum(summary.states.values()) == UNITS
    assert summary.states == undisturbed.states and "transport" not in map(str, summary.states)
    here, there = (list(ng.open_run(path).labels()) for path in (alone, run))
    assert [(label.unit, label.state) for label in there] == [(label.unit, label.state) for label in here]
