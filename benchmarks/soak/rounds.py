"""One round: a run is labelled while its labeller, the server, the proxy, the disk and the clock are disturbed.

1. A copy of the collected run lies on a small disk.
2. It is labelled through the proxy again and again. Each time some events befall it at random moments: a process
   is killed by SIGKILL, the disk fills, the clock jumps by up to two years, a second labeller comes.
3. After so many kills, or when it is done, everything is mended, and it is labelled to its end.
4. What came of it is checked (`benchmarks.soak.checks`).

What happens is decided by the seed; what it meets is not, as the moments are moments of the clock.
"""

from __future__ import annotations

import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np

from benchmarks.soak import labeller
from benchmarks.soak.disk import fill, set_clock
from benchmarks.soak.network import ANSWERS, TRANSPORT
from benchmarks.soak.stage import Stage
from neurogloss.ids import derive_seed

EVENTS: Mapping[str, float] = {
    "labeller killed": 0.55,
    "server killed": 0.12,
    "proxy killed": 0.12,
    "disk full": 0.08,
    "clock set": 0.07,
    "second labeller": 0.06,
}
"""How often each is what happens."""
KILLED = ("labeller killed", "server killed", "proxy killed")
KILLS = 16
"""Of a labeller, a round at most."""
STARTS = 40
"""Of a labeller, a round at most."""
PATIENCE = 120.0
"""Seconds after which a process that has not ended hangs."""
REFUSED = "Another process is writing to"
MENDABLE = (REFUSED, "Expected an OpenAI-compatible server", "could not be tried", "did not list its models")
"""What a labeller may end with …"""
NO_ROOM = ("Make room", "No space", "free space")
"""… and where the disk was full."""


@dataclass
class Tally:
    """What happened, and what was wrong, over all rounds."""

    events: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    in_a_row: int = 0
    """Kills since the last round whose ledger was not that of an undisturbed run."""

    def complain(self, kind: str, text: str) -> None:
        self.wrong[kind] += 1
        print(f"round {self.rounds}: {kind}: {text}", file=sys.stderr)


@dataclass
class Scene:
    """Where rounds play."""

    stage: Stage
    collected: Path
    undisturbed: Path
    seconds: float
    """That a labeller takes where nothing disturbs it."""
    folder: Path
    """For what processes say."""
    disk: Path
    can_fill: bool
    clock: Path | None
    """Where it is set; None where it cannot be."""


class Round:
    """One run, from its copy to its end."""

    def __init__(self, scene: Scene, tally: Tally, seed: int) -> None:
        self._scene, self._tally = scene, tally
        self._rng = np.random.default_rng(derive_seed(seed, "round", tally.rounds))
        self._harmful = tally.rounds % 4 == 3
        self._run = scene.disk / f"run-{tally.rounds}"
        self._ballast: Path | None = None
        self._starts = 0
        self._befell: list[str] = []

    def play(self, until: float) -> None:
        """Disturb it until then at most, finish it, check it."""
        stage, tally = self._scene.stage, self._tally
        shutil.copytree(self._scene.collected, self._run)
        stage.up(TRANSPORT + ANSWERS if self._harmful else TRANSPORT)
        before = tally.events.copy()
        done = False
        while not done and self._starts < STARTS and time.monotonic() < until:
            if tally.events["labeller killed"] - before["labeller killed"] >= KILLS:
                break
            done = self._labelled()
            stage.up()
        self._finish()
        equal = self._check()
        kills = sum(tally.events[kind] - before[kind] for kind in KILLED)
        tally.in_a_row = tally.in_a_row + kills if equal else 0
        tally.rounds += 1
        shutil.rmtree(self._run)

    def _labelled(self) -> bool:
        """Label once, with events. Returns whether everything is done."""
        self._befell.clear()
        process, said = self._start(self._scene.stage.proxy)
        began, killed = time.monotonic(), False
        kinds = self._rng.choice(list(EVENTS), self._rng.integers(1, 4), p=list(EVENTS.values()))
        moments = np.sort(self._rng.uniform(0, 0.8 * self._scene.seconds, len(kinds)))
        for kind, moment in zip(map(str, kinds), moments, strict=True):
            process.join(max(0.0, began + moment - time.monotonic()))
            if process.exitcode is not None:
                break
            self._happen(kind, process)
            killed = kind == "labeller killed"
            if killed:
                break
        code, filled = self._end(process), self._ballast is not None
        self._give_room()
        if killed and code == -signal.SIGKILL:
            return False
        text = said.read_text(encoding="utf-8", errors="replace")
        if code not in (0, 1, 2) or "Traceback" in text or (code == 2 and not _expected(text, filled)):
            self._tally.complain("end", f"after {self._befell}: exit code {code}, {text[-1500:]}")
        return code in (0, 1) and "units wait" not in text

    def _happen(self, kind: str, process: ForkServerProcess) -> None:
        scene = self._scene
        match kind:
            case "labeller killed":
                process.kill()
            case "server killed" | "proxy killed":
                if not scene.stage.kill(kind.split()[0]):
                    return
                if self._rng.random() < 0.5:
                    scene.stage.up()
            case "disk full":
                if not scene.can_fill or self._ballast:
                    return
                self._ballast = fill(scene.disk, int(self._rng.integers(0, 2**17)))
            case "clock set":
                if scene.clock is None:
                    return
                set_clock(scene.clock, int(self._rng.integers(-(2**26), 2**26)))
            case "second labeller":
                if not _holds_a_lock(process):
                    return
                self._contend(process)
        self._tally.events[kind] += 1
        self._befell.append(kind)

    def _contend(self, first: ForkServerProcess) -> None:
        """A second labeller of the run, while the first one holds it, is refused."""
        second, said = self._start(self._scene.stage.proxy)
        code = self._end(second)
        text = said.read_text(encoding="utf-8", errors="replace")
        if first.is_alive() and (code != 2 or REFUSED not in text):
            self._tally.complain("contender", f"exit code {code}, {text[-1500:]}")

    def _finish(self) -> None:
        """Label what is left, with everything in order."""
        self._scene.stage.up()
        process, said = self._start(self._scene.stage.server)
        code, text = self._end(process), said.read_text(encoding="utf-8", errors="replace")
        if code != 0 and not (code == 1 and self._harmful and "units wait" not in text):
            self._tally.complain("end", f"the last labeller: exit code {code}, {text[-1500:]}")

    def _check(self) -> bool:
        """Returns whether the ledger is as it should be."""
        said = self._scene.folder / "found"
        said.unlink(missing_ok=True)
        process = self._scene.stage.start(labeller.check, self._run, self._scene.undisturbed, self._harmful, said)
        if self._end(process) != 0 or not said.exists():
            self._tally.complain("ledger", "the check itself failed")
            return False
        found = said.read_text(encoding="utf-8").splitlines()
        for line in found:
            kind, _, text = line.partition(": ")
            self._tally.complain(kind, text)
        return not found

    def _start(self, url: str) -> tuple[ForkServerProcess, Path]:
        self._starts += 1
        said = self._scene.folder / f"said-{self._starts}"
        return self._scene.stage.start(labeller.label, self._run, url, said), said

    def _end(self, process: ForkServerProcess) -> int | None:
        """Its exit code; one that hangs is killed, and complained about."""
        process.join(PATIENCE)
        if process.exitcode is None:
            process.kill()
            process.join()
            self._tally.complain("end", f"a process hung for {PATIENCE:.0f} seconds")
        return process.exitcode

    def _give_room(self) -> None:
        if self._ballast:
            self._ballast.unlink()
            self._ballast = None


def _expected(text: str, filled: bool) -> bool:
    return any(words in text for words in MENDABLE) or (filled and any(words in text for words in NO_ROOM))


def _holds_a_lock(process: ForkServerProcess) -> bool:
    """Whether it has locked a run, by the list of locks of the whole system."""
    lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    return any("FLOCK" in line and f" {process.pid} " in line for line in lines)
