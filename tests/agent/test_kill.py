"""A labelling run that is killed, interrupted or started twice ends like one that was left alone."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np
import pytest

from neurogloss.cli.app import run as run_command
from neurogloss.errors import UserError
from neurogloss.folder import RunFolder
from neurogloss.records import State
from neurogloss.store.ledger import Ledger

Start = Callable[..., ForkServerProcess]
"""Starts a process; see `execute` and `command`."""
Copy = Callable[[Path], Path]
Dump = Callable[[Path], str]

UNITS = 12
"""What `--units 0-5` means in a run of two hookpoints."""
FLAGS = "--units 0-5 --scorers detection,fuzzing --questions 20 --effort low".split()
KILLS = 10
DYING = """
import os, signal
import neurogloss as ng
from neurogloss.protocols import Quiet

class Dying(Quiet):
    task, steps = "", 0

    def start(self, task, total, unit, done=0):
        self.task, self.steps = task, 0
        self.die()

    def advance(self, n=1):
        self.steps += 1
        self.die()

    def die(self):
        if (self.task, self.steps) == (when, after):
            os.kill(os.getpid(), signal.SIGKILL)

ng.label(
    run, units=units, llm=llm, progress=Dying(), scorers=("detection", "fuzzing"), questions=20, effort="low"
)
"""
"""Labels a run and kills itself at a step of one of its tasks."""


def label(run: Path, llm: str, *more: str) -> list[str]:
    return ["label", str(run), "--llm", llm, *FLAGS, *more]


def states(run: Path) -> dict[State, int]:
    """Units by state, whatever another process does; none where it has not made the ledger yet."""
    try:
        with Ledger(RunFolder(run).ledger, read_only=True) as ledger:
            return ledger.counts()
    except UserError:
        return {}


def scored(run: Path) -> int:
    found = states(run)
    return found.get(State.ACCEPTED, 0) + found.get(State.REJECTED, 0)


def ends(process: ForkServerProcess) -> int | None:
    """Its exit code; negative where a signal ended it."""
    process.join()
    return process.exitcode


def wait_until_scored(run: Path, n: int) -> None:
    deadline = time.monotonic() + 60
    while scored(run) < n:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@dataclass(frozen=True)
class Undisturbed:
    dump: str
    seconds: float
    path: Path


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A script that takes long enough for a run to be hit in its middle."""
    path = tmp_path_factory.mktemp("script") / "rules.jsonl"
    path.write_text(
        '{"match": "Passages:", "marks": 8, "delay_s": 0.05}\n'
        '{"match": "exts:", "words": "explanation", "delay_s": 0.05}\n',
        encoding="utf-8",
    )
    return f"scripted:{path}"


@pytest.fixture(scope="module")
def undisturbed(collected: Path, copy_run: Copy, dump: Dump, command: Start, slow: str) -> Undisturbed:
    """A run that nothing disturbed, and how long its process took."""
    run = copy_run(collected)
    began = time.monotonic()
    assert ends(command(*label(run, slow))) == 0
    seconds = time.monotonic() - began
    assert scored(run) == UNITS - 1, "all but the dead one"
    return Undisturbed(dump(run), seconds, run)


def test_killed_at_random_moments_it_ends_like_one_left_alone(
    collected: Path, copy_run: Copy, dump: Dump, command: Start, slow: str, undisturbed: Undisturbed
) -> None:
    rng = np.random.default_rng(0)
    moments = rng.permutation(np.linspace(0.05, 0.6, KILLS)) * undisturbed.seconds
    run, kills, found_at_kill = copy_run(collected), 0, set()
    while kills < KILLS:
        process = command(*label(run, slow, "--concurrency", "2"))
        process.join(moments[kills])
        while kills % 2 and process.exitcode is None and not scored(run):
            process.join(0.01)  # however slow the machine is at present, every second kill comes after a score
        process.kill()
        if ends(process) == -signal.SIGKILL:
            found_at_kill.add(scored(run))
            kills += 1
        else:  # it was done before
            assert process.exitcode == 0
            assert dump(run) == undisturbed.dump
            run = copy_run(collected)
    assert ends(command(*label(run, slow))) == 0
    assert dump(run) == undisturbed.dump
    assert len(found_at_kill) > 1, "some kills came before the first score, some after it"


@pytest.mark.parametrize(
    "when, after",
    [("explaining", 0), ("explaining", 5), ("scoring", 0), ("scoring", 4), ("index", 0), ("index", 1)],
)
def test_killed_at_a_step_it_ends_like_one_left_alone(
    run: Path,
    dump: Dump,
    execute: Start,
    command: Start,
    slow: str,
    undisturbed: Undisturbed,
    when: str,
    after: int,
) -> None:
    process = execute(DYING, run=str(run), units="0-5", llm=slow, when=when, after=after)
    assert ends(process) == -signal.SIGKILL
    assert scored(run) == {"explaining": 0, "scoring": after, "index": UNITS - 1}[when]
    assert ends(command(*label(run, slow))) == 0
    assert dump(run) == undisturbed.dump


def test_killed_while_the_index_is_written_it_is_mended(
    undisturbed: Undisturbed, copy_run: Copy, dump: Dump, command: Start, slow: str
) -> None:
    run, killed = copy_run(undisturbed.path), 0
    for seconds in np.geomspace(1e-4, 0.1, 8):
        shutil.rmtree(RunFolder(run).index)
        killed += ends(command(*label(run, slow), alarm=seconds)) == -signal.SIGALRM
        assert ends(command(*label(run, slow))) == 0
        assert dump(run) == undisturbed.dump
    assert killed


def test_parts_that_were_not_scored_add_up_to_the_whole(
    run: Path, dump: Dump, execute: Start, command: Start, slow: str, undisturbed: Undisturbed
) -> None:
    for units in ("0-1", "4"):
        process = execute(DYING, run=str(run), units=units, llm=slow, when="scoring", after=0)
        assert ends(process) == -signal.SIGKILL
    assert states(run) == {State.EXPLAINED: 6}
    assert ends(command(*label(run, slow))) == 0
    assert dump(run) == undisturbed.dump


def test_interrupted_it_says_so_and_goes_on_from_there(
    run: Path, dump: Dump, command: Start, slow: str, undisturbed: Undisturbed
) -> None:
    line = [sys.executable, "-m", "neurogloss", *label(run, slow, "--concurrency", "2")]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    wait_until_scored(run, 1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "What was finished is kept" in said and "Traceback" not in said
    assert 1 <= scored(run) < UNITS - 1
    assert State.TRANSPORT not in states(run)
    assert ends(command(*label(run, slow))) == 0
    assert dump(run) == undisturbed.dump


def test_a_second_process_is_told_to_wait_and_harms_nothing(
    run: Path,
    dump: Dump,
    command: Start,
    slow: str,
    undisturbed: Undisturbed,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = command(*label(run, slow, "--concurrency", "2"))
    wait_until_scored(run, 1)
    assert run_command(label(run, slow)) == 2
    assert re.search(f"Another process is writing to {run}", capsys.readouterr().err)
    assert first.is_alive()
    assert ends(first) == 0
    assert dump(run) == undisturbed.dump
