"""Units labelled by the workers of a Ray cluster: the ledger is that of one process, whatever is lost."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import neurogloss as ng
from neurogloss.agent import methods
from neurogloss.agent.models import Models
from neurogloss.errors import UserError
from neurogloss.folder import RunFolder
from neurogloss.protocols import Quiet
from neurogloss.records import State
from neurogloss.runs.cluster.labelling import open_cluster_stages
from neurogloss.settings import LabelSettings
from neurogloss.sources.cache import Cache
from neurogloss.store.ledger import Ledger

Dump = Callable[[Path], str]
LABEL: dict[str, Any] = {
    "units": "0-9",
    "scorers": ("detection", "fuzzing"),
    "questions": 20,
    "min_active": 5,
    "effort": "low",
    "concurrency": 1,
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


@pytest.mark.parametrize("stage", ["explaining", "scoring"])
def test_killed_workers_cost_what_they_had_in_flight(
    cluster: Any,
    run: Path,
    script: str,
    alone: Path,
    dump: Dump,
    workers: Callable[[str], list[int]],
    stage: str,
) -> None:
    killed: list[int] = []

    def kill() -> None:
        for pid in workers("Worker"):
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    summary = ng.label(run, llm=script, engine="ray", progress=After(stage, 1, kill), **LABEL)
    assert killed and summary.waiting == 0
    assert dump(run) == dump(alone)


def test_a_lost_host_costs_what_it_had_in_flight(
    cluster: Any, run: Path, script: str, alone: Path, dump: Dump
) -> None:
    host, lost = cluster.add_node(num_cpus=2), []

    def lose() -> None:
        cluster.remove_node(host, allow_graceful=False)
        lost.append(host)

    ng.label(run, llm=script, engine="ray", progress=After("explaining", 2, lose), **LABEL)
    assert lost
    assert dump(run) == dump(alone)


def test_started_again_after_a_kill_it_ends_like_one_process(
    cluster: Any, run: Path, script: str, alone: Path, dump: Dump
) -> None:
    options = [f"--{name.replace('_', '-')}={_said(value)}" for name, value in LABEL.items()]
    line = ["-m", "neurogloss", "label", str(run), "--llm", script, "--engine", f"ray:{cluster.address}", *options]
    process = subprocess.Popen([sys.executable, *line], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (found := scored(run)):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert found < 10
    summary = ng.label(run, llm=script, engine="ray", **LABEL)
    assert sum(summary.states.values()) == 10 and summary.waiting == 0
    assert dump(run) == dump(alone)


def _said(value: Any) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


def scored(run: Path) -> int:
    try:
        with Ledger(RunFolder(run).ledger, read_only=True) as ledger:
            found = ledger.counts()
    except UserError:
        return 0
    return found.get(State.ACCEPTED, 0) + found.get(State.REJECTED, 0)


def test_stored_explanations_are_scored_elsewhere_by_models_in_the_worker(
    cluster: Any, alone: Path, tmp_path: Path, script: str, dump: Dump, real_embedder: None
) -> None:
    here, there = (Path(shutil.copytree(alone, tmp_path / name)) for name in ("here", "there"))
    more: dict[str, Any] = {"scorers": ("embedding",), "units": "0-4", "llm": script}
    ng.score(here, **more)
    ng.score(there, engine="ray", **more)
    assert dump(here) == dump(there) != dump(alone)


def test_workers_with_another_method_are_refused(cluster: Any, run: Path, script: str) -> None:
    """A prompt that was edited on one host alone would give scores that do not belong together."""
    folder, settings = RunFolder(run), LabelSettings(llm=script, units="0", min_active=5)
    cache = Cache(folder.cache)
    unit = next(cache.units())

    async def explain() -> None:
        async with AsyncExitStack() as stack:
            chat = await methods.open_chat(stack, settings, None)
            method = methods.build(settings, cache, Models(cache, settings, Quiet()), chat)
            other = replace(method, settings={**method.settings, "prompt": "another"})
            stages = await open_cluster_stages(stack, "ray", folder, settings, (), other)
            await stages.explain(unit)

    with pytest.raises(UserError, match="one method on every host"):
        asyncio.run(explain())
