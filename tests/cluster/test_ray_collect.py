"""A corpus read by the workers of a Ray cluster: the cache is that of one process, byte for byte."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import neurogloss as ng
from neurogloss.errors import UserError
from neurogloss.protocols import Quiet

Files = Callable[[Path], dict[str, bytes]]


class AtFirst(Quiet):
    """Does something once, when the first part is there."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act, self._acted, self._task = act, False, ""

    def start(self, task: str, total: int | None, unit: str, done: int = 0) -> None:
        self._task = task

    def advance(self, n: int = 1) -> None:
        if self._task == "collecting" and not self._acted:
            self._acted = True
            self._act()


def differing(found: dict[str, bytes], wanted: dict[str, bytes]) -> list[str]:
    """Files of which one has other bytes, or none."""
    return sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))


def test_the_cache_is_that_of_one_process(
    cluster: Any, settings: Mapping[str, Any], collected: Path, tmp_path: Path, files: Files
) -> None:
    manifest = ng.collect(tmp_path / "run", engine="ray", **settings)
    assert manifest["shards_done"] > 8, "several parts"
    assert differing(files(tmp_path / "run"), files(collected)) == []
    assert ng.collect(tmp_path / "run", **settings) == manifest, "nothing is left to do"


def test_killed_workers_are_replaced(
    cluster: Any,
    settings: Mapping[str, Any],
    collected: Path,
    tmp_path: Path,
    files: Files,
    workers: Callable[[str], list[int]],
) -> None:
    killed: list[int] = []

    def kill() -> None:
        deadline = time.monotonic() + 30
        while not killed and time.monotonic() < deadline:
            for pid in workers("read_part"):
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

    ng.collect(tmp_path / "run", engine="ray", progress=AtFirst(kill), **settings)
    assert killed
    assert differing(files(tmp_path / "run"), files(collected)) == []


def test_parts_of_a_killed_process_are_not_read_again(
    cluster: Any, settings: Mapping[str, Any], collected: Path, tmp_path: Path, files: Files
) -> None:
    run = tmp_path / "run"
    source = (
        "import json, sys, neurogloss as ng\n"
        f"ng.collect(sys.argv[1], engine='ray:{cluster.address}', **json.loads(sys.argv[2]))"
    )
    process = subprocess.Popen([sys.executable, "-c", source, str(run), json.dumps(settings)])
    deadline = time.monotonic() + 120
    while not (parts := list(run.glob("parts/[0-9]*"))):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert not (run / "cache/sketches/sorted").exists()
    kept = {part: part.stat().st_ino for part in parts}
    seen: dict[Path, int] = {}

    def look() -> None:
        seen.update({part: part.stat().st_ino for part in parts})

    ng.collect(run, engine="ray", progress=AtFirst(look), **settings)
    assert seen == kept
    assert differing(files(run), files(collected)) == []


def test_what_one_engine_began_the_other_does_not_spoil(
    cluster: Any, settings: Mapping[str, Any], collected: Path, tmp_path: Path, files: Files
) -> None:
    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    here, there = tmp_path / "here", tmp_path / "there"
    with pytest.raises(Stop):
        ng.collect(there, engine="ray", progress=AtFirst(stop), **settings)
    ng.collect(there, **settings)
    assert differing(files(there), files(collected)) == []
    seconds = 0

    class Second(Quiet):
        def advance(self, n: int = 1) -> None:
            nonlocal seconds
            seconds += (here / "cache/manifest.json").exists()
            if seconds:
                raise Stop

    with pytest.raises(Stop):
        ng.collect(here, progress=Second(), **settings)
    with pytest.raises(UserError, match="--engine local"):
        ng.collect(here, engine="ray", **settings)
