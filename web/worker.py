"""The process of one job: `python -m neurogloss.web.worker RESULT`, with the task as JSON on stdin.

It prints lines of JSON: `{"task": …, "done": …, "total": …}` for progress, and at the end `{"summary": …}`, or
`{"error": …}` if the user can fix something. The result goes to the file RESULT as JSON.
"""

from __future__ import annotations

import json
import math
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import redirect_stdout, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

import neurogloss as ng
from neurogloss.engines.embedders import load_embedder
from neurogloss.errors import NeuroglossError, UserError
from neurogloss.folder import replace_file
from neurogloss.protocols import Quiet
from neurogloss.results import Summary
from neurogloss.runs.compare import Grid, grid, similar
from neurogloss.settings import LabelSettings, make
from neurogloss.web.schemas import Comparison, Heat

PAIRS, LONE = 5_000, 500
"""Most pairs in a comparison, and most unmatched units per side."""
EVERY = 0.2
"""Seconds between two lines of progress."""


class Reporter(Quiet):
    """Progress as lines of JSON."""

    def __init__(self) -> None:
        self._task, self._done, self._said = "", 0, 0.0
        self._total: int | None = None

    def start(self, task: str, total: int | None, unit: str, done: int = 0) -> None:
        self._task, self._total, self._done = task, total, done
        self._say()

    def advance(self, n: int = 1) -> None:
        self._done += n
        if self._done == self._total or time.monotonic() - self._said >= EVERY:
            self._say()

    def _say(self) -> None:
        self._said = time.monotonic()
        say({"task": self._task, "done": self._done, "total": self._total})


def say(line: Mapping[str, Any]) -> None:
    print(json.dumps(line), file=sys.__stdout__, flush=True)


def work(task: Mapping[str, Any]) -> tuple[str, bytes]:
    """Do the task. Returns the outcome in words, and as JSON."""
    if task["kind"] == "compare":
        compared = compare(task)
        return (
            f"{compared.matched[0]:,} of {compared.units[0]:,} units matched",
            compared.model_dump_json().encode(),
        )
    settings = make(LabelSettings, task["settings"])
    if task["kind"] == "label":
        summary = ng.label(task["run"], settings, progress=Reporter())
    else:
        summary = ng.score(task["run"], task["method"], settings, progress=Reporter())
    return _words(summary), TypeAdapter(Summary).dump_json(summary)


def _words(summary: Summary) -> str:
    states = ", ".join(f"{n:,} {state.value.replace('_', ' ')}" for state, n in summary.states.items())
    waiting = f"{summary.waiting:,} units wait" if summary.waiting else ""
    return "; ".join(filter(None, (states, waiting))) or "none done"


def compare(task: Mapping[str, Any]) -> Comparison:
    """Compare sides `{path, hookpoint, dictionary}`, and place by place if a side has several places."""
    a, b = task["a"], task["b"]
    place_a, place_b = ((side["hookpoint"], side["dictionary"]) for side in (a, b))
    embedder = load_embedder(task["embedder"]) if task["embedder"] else None
    progress = Reporter()
    progress.start("comparing", None, "units")
    chosen = {"by": task["by"], "match": task["match"], "embedder": embedder}
    found = similar(a["path"], b["path"], place_a, place_b, task["k"], **chosen)
    heat = None
    if None in (*place_a, *place_b):
        progress.start("comparing place by place", None, "places")
        kind: Any = found.levels[0].kind
        # A place may have nothing to compare with, such as one unit with itself.
        with suppress(UserError):
            heat = _heat(grid(a["path"], b["path"], place_a, place_b, by=kind, embedder=embedder))
    # Undefined similarities come last.
    shown = sorted(found.pairs, key=lambda pair: (math.isnan(pair.similarity), -pair.similarity))[:PAIRS]
    lone_a, lone_b = found.distinctive
    found = replace(found, pairs=tuple(shown), distinctive=(lone_a[:LONE], lone_b[:LONE]))
    return Comparison.model_validate(found).model_copy(update={"heat": heat})


def _heat(cells: Grid) -> Heat | None:
    """None if there is only one cell."""
    if cells.means.size == 1:
        return None
    means, floors = cells.means.tolist(), cells.floors.tolist()
    return Heat(kind=cells.kind, rows=list(cells.rows), columns=list(cells.columns), means=means, floors=floors)


def main() -> int:
    """Returns exit code 0 when done, 2 if the user has to fix something, 130 after an interruption."""
    # Processes started in the background ignore interruptions by default.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        # Libraries may print. That must not get between the lines of JSON.
        with redirect_stdout(sys.stderr):
            words, result = work(json.load(sys.stdin))
    except NeuroglossError as error:
        say({"error": str(error)})
        return 2
    except KeyboardInterrupt:
        return 130
    replace_file(Path(sys.argv[1]), result)
    say({"summary": words})
    return 0


if __name__ == "__main__":
    sys.exit(main())
