"""Units labelled by the workers of a Ray cluster: the ledger is that of one process, whatever is lost on the way."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import neurogloss as ng
from neurogloss.folder import RunFolder
from neurogloss.protocols import Quiet
from neurogloss.store.ledger import Ledger

Dump = Callable[[Path], str]
LABEL: dict[str, Any] = {
    "units": "0-9",
    "scorers": ("detection", "fuzzing"),
    "questions": 20,
    "min_active": 5,
    "effort": "low",
    "concurrency": 2,
}


class After(Quiet):
    """Does something once, after so many units of a task."""

    def __init__(self, task: str, n: int, act: Callable[[], object]) -> None:
        self._wanted, self._act = (task, n), act
        self._task, self._done = "", 0

    def start(self, task: str, total: int | None, unit: str, done: int = 0) -> None:
        self._task, self._done = task, 0

    def advance(self, n: int = 1) -> None:
        self._done += n
        if (self._task, self._done) == self._wanted:
            self._act()


@pytest.fixture(scope="module")
def alone(copy_run: Callable[[], Path], script: str) -> Path:
    """Labelled by this process."""
    run = copy_run()
    ng.label(run, llm=script, **LABEL)
    return run


def test_the_ledger_is_that_of_one_process(cluster: Any, run: Path, script: str, alone: Path, dump: Dump) -> None:
    summary = ng.label(run, llm=script, engine="ray", **LABEL)
    assert dump(run) == dump(alone)
    assert summary.waiting == 0 and sum(summary.states.values()) == 10
    assert summary.usage.requests > 10
    with Ledger(RunFolder(run).ledger, read_only=True) as ledger:
        (unit, *_), method = ledger.states(summary.method), summary.method
        assert ledger.trace(unit, method), "what a worker traced is kept"
        assert ledger.usage(method, unit)["explain"].requests > 0


@pytest.mark.parametrize("stage, task", [("explaining", "explain"), ("scoring", "score")])
def test_killed_workers_cost_what_they_had_in_flight(
    cluster: Any,
    run: Path,
    script: str,
    alone: Path,
    dump: Dump,
    workers: Callable[[str], list[int]],
    stage: str,
    task: str,
) -> None:
    killed: Counter[int] = Counter()

    def kill() -> None:
        for pid in workers(task):
            os.kill(pid, signal.SIGKILL)
            killed[pid] += 1

    summary = ng.label(run, llm=script, engine="ray", progress=After(stage, 3, kill), **LABEL)
    assert killed and summary.waiting == 0
    assert dump(run) == dump(alone)
