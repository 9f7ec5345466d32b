"""Whether labelling holds in a hostile world: rounds of kills, faults, full disks and clocks that jump.

    python -m benchmarks.soak [--minutes N] [--seed S] [--json]

Units of a run of planted rules (`benchmarks.planted`) are labelled by the command itself, in processes of its own,
against a scripted server behind a proxy that spoils every tenth answer in one of the ways of
`benchmarks.soak.network`; `benchmarks.soak.rounds` says what befalls them. Every fourth round the proxy also gives
answers that look whole and are not: then units may fail, but for that reason only. In the last fifth of the time
one process labels fresh copies of the run again and again, and its memory and open files are counted.

The disk that fills is a tmpfs: who is not root calls `unshare -rm python -m benchmarks.soak`. The clock is set by
libfaketime (its package), in the processes alone. What this machine cannot do is left out, and its row says 0.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.planted.run import collect
from benchmarks.planted.units import units
from benchmarks.soak import labeller
from benchmarks.soak.disk import settable_clock, small_disk
from benchmarks.soak.network import RULES, TRANSPORT
from benchmarks.soak.rounds import EVENTS, KILLED, Round, Scene, Tally
from benchmarks.soak.stage import Stage, stage
from benchmarks.table import Row, report
from neurogloss.folder import RunFolder

UNITS, DOCUMENTS = 12, 300
DELAY_S = 0.02
"""Of each answer of the server, so that a run lasts long enough to be hit in its middle."""
MEGABYTES = 64
STEADY = 0.2
"""Share of the time for memory and open files."""
MOST_GROWTH = 1.1
"""Of memory, over the later half of the copies."""
GOALS = {
    "end": "labellers that ended otherwise than they may",
    "contender": "second labellers that were not refused",
    "state": "units not in exactly one right state",
    "score": "scores made of a failure, or of other answers",
    "index": "indexes unequal to the ledger",
    "ledger": "ledgers unequal to the undisturbed one",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--minutes", type=float, default=2.0, help="that it takes once all is set up; an hour is the full soak"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    # However it is ended, processes and the disk are cleared away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        clock = folder / "clock"
        can_set = stack.enter_context(settable_clock(clock))
        try:
            disk, can_fill = stack.enter_context(small_disk(folder / "disk", MEGABYTES)), True
        except OSError as error:
            print(f"no disk that fills: {error}", file=sys.stderr)
            disk, can_fill = folder / "disk", False
        playing = stack.enter_context(stage(folder, _script(folder)))
        scene = _scene(playing, folder, disk, can_fill, clock if can_set else None)
        tally, began, seconds = Tally(), time.monotonic(), 60 * options.minutes
        rounds_end = began + (1 - STEADY) * seconds
        while time.monotonic() < rounds_end:
            Round(scene, tally, options.seed).play(rounds_end)
        samples = _steady(scene, began + seconds - time.monotonic())
        spoilt = len(playing.spoilt.read_text(encoding="utf-8").splitlines())
    return report(f"{options.minutes:g} minutes, seed {options.seed}", _rows(tally, spoilt, samples), options.json)


def _script(folder: Path) -> Path:
    path = folder / "rules.jsonl"
    rules = [RULES[0], *({**rule, "delay_s": DELAY_S} for rule in RULES[1:])]
    path.write_text("".join(json.dumps(rule) + "\n" for rule in rules), encoding="utf-8")
    return path


def _scene(playing: Stage, folder: Path, disk: Path, can_fill: bool, clock: Path | None) -> Scene:
    """The collected run, and the same labelled with nothing in its way."""
    collected = folder / "collected"
    collect(RunFolder(collected), units()[:UNITS], DOCUMENTS)
    undisturbed = Path(shutil.copytree(collected, folder / "undisturbed"))
    said, began = folder / "said", time.monotonic()
    process = playing.start(labeller.label, undisturbed, playing.server, said)
    process.join()
    if process.exitcode != 0:
        raise RuntimeError(f"undisturbed, it ended with {process.exitcode}: {said.read_text(encoding='utf-8')}")
    seconds = time.monotonic() - began
    return Scene(playing, collected, undisturbed, seconds, folder, disk, can_fill, clock)


def _steady(scene: Scene, seconds: float) -> list[tuple[int, int]]:
    """KiB of memory and open files of one process, after each run that it labelled."""
    samples = scene.folder / "samples"
    samples.touch()
    scene.stage.up(TRANSPORT)
    process = scene.stage.start(
        labeller.again_and_again, scene.collected, scene.disk, scene.stage.proxy, seconds, samples
    )
    process.join()
    if process.exitcode != 0:
        raise RuntimeError(f"labelling again and again ended with {process.exitcode}")
    lines = samples.read_text(encoding="ascii").splitlines()
    return [(int(memory), int(files)) for memory, files in map(str.split, lines)]


def _rows(tally: Tally, spoilt: int, samples: list[tuple[int, int]]) -> list[Row]:
    kills = sum(tally.events[kind] for kind in KILLED)
    rows = [Row("rounds", tally.rounds), Row("answers spoilt", spoilt)]
    rows += [Row(kind, tally.events[kind]) for kind in EVENTS]
    rows.append(
        Row(
            "kills in a row, each round's ledger right",
            tally.in_a_row,
            kills,
            goal="all",
            met=tally.in_a_row == kills > 0,
        )
    )
    rows += [Row(what, tally.wrong[kind], goal="0", met=not tally.wrong[kind]) for kind, what in GOALS.items()]
    memory, files = np.array(samples).T
    middle = len(samples) // 2
    growth = memory[-1] / memory[middle]
    # The HTTP client's own thread is still closing connections for a moment: of several runs the fewest count.
    before, after = files[: middle + 1].min(), files[(middle + len(files)) // 2 :].min()
    return [
        *rows,
        Row("runs labelled by one process", len(samples)),
        Row(
            "… MiB of it at the end, beside the middle",
            memory[-1] / 1024,
            memory[middle] / 1024,
            float(growth),
            goal=f"ratio of {MOST_GROWTH} or less",
            met=bool(growth <= MOST_GROWTH),
        ),
        Row(
            "… its fewest open files in the last quarter, beside the first half",
            float(after),
            float(before),
            goal="no more",
            met=bool(after <= before),
        ),
    ]


if __name__ == "__main__":
    sys.exit(main())
