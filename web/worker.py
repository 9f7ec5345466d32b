"""A job's own process: `python -m neurogloss.web.worker RESULT`, with the task as JSON on stdin.

On stdout a line of JSON each: `{"task": …, "done": …, "total": …}` as it goes on, at the end `{"summary": …}`, or
`{"error": …}` where it is something that the user can mend. What it came to is in the file RESULT, as JSON.
"""

from __future__ import annotations

import json
import math
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurogloss.errors import NeuroglossError, UserError
from neurogloss.folder import replace_file
from neurogloss.settings import LabelSettings, make

if TYPE_CHECKING:
    from neurogloss.runs.similarity import Grid
    from neurogloss.runs.sweep import Summary
    from neurogloss.web.schemas import Comparison, Heat

PAIRS, LONE = 5_000, 500
"""Of a comparison at most; units that are like none a side."""
EVERY = 0.2
"""Seconds between two lines of progress."""


class Reporter:
    """A `neurogloss.protocols.Progress` that a program reads."""

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

    def show(self, figures: str) -> None:
        pass

    def note(self, message: str) -> None:
        pass

    def _say(self) -> None:
        self._said = time.monotonic()
        say({"task": self._task, "done": self._done, "total": self._total})


def say(line: Mapping[str, Any]) -> None:
    print(json.dumps(line), file=sys.__stdout__, flush=True)


def work(task: Mapping[str, Any]) -> tuple[str, bytes]:
    """Do it. Returns what it came to, in words and as JSON."""
    if task["kind"] == "compare":
        compared = compare(task)
        (matched, _), (units, _) = compared.matched, compared.units
        return f"{matched:,} of {units:,} units matched", compared.model_dump_json().encode()
    import neurogloss as ng

    settings = make(LabelSettings, task["settings"])
    if task["kind"] == "label":
        summary = ng.label(task["run"], settings, progress=Reporter())
    else:
        summary = ng.score(task["run"], task["method"], settings, progress=Reporter())
    return _words(summary), _json(summary)


def _words(summary: Summary) -> str:
    states = ", ".join(f"{n:,} {state.value.replace('_', ' ')}" for state, n in summary.states.items())
    waiting = f"{summary.waiting:,} units wait" if summary.waiting else ""
    return "; ".join(filter(None, (states, waiting))) or "none done"


def _json(summary: Summary) -> bytes:
    from pydantic import TypeAdapter

    return TypeAdapter(type(summary)).dump_json(summary)


def compare(task: Mapping[str, Any]) -> Comparison:
    """Sides as `{path, hookpoint, dictionary}`; in full, and where a side is several places place by place."""
    from neurogloss.engines.embedders import load_embedder
    from neurogloss.runs import similarity
    from neurogloss.web.schemas import Comparison

    (a, place_a), (b, place_b) = (
        (side["path"], (side["hookpoint"], side["dictionary"])) for side in (task["a"], task["b"])
    )
    embedder = load_embedder(task["embedder"]) if task["embedder"] else None
    progress = Reporter()
    progress.start("comparing", None, "units")
    found = similarity.similar(
        a, b, place_a, place_b, task["k"], by=task["by"], match=task["match"], embedder=embedder
    )
    heat = None
    if None in (*place_a, *place_b):
        progress.start("comparing place by place", None, "places")
        kind: Any = found.levels[0].kind
        # Place by place there may be nothing to compare, as of one unit with itself.
        with suppress(UserError):
            heat = _heat(similarity.grid(a, b, place_a, place_b, by=kind, embedder=embedder))
    # What has no value comes last.
    shown = sorted(found.pairs, key=lambda pair: (math.isnan(pair.similarity), -pair.similarity))[:PAIRS]
    return Comparison(
        match=found.match,
        ranked_by=found.ranked_by,
        limit=found.limit,
        levels=found.levels,
        missing=dict(found.missing),
        units=found.units,
        matched=found.matched,
        pairs=shown,
        distinctive=(list(found.distinctive[0][:LONE]), list(found.distinctive[1][:LONE])),
        heat=heat,
    )


def _heat(grid: Grid) -> Heat | None:
    """None where there is but one cell."""
    from neurogloss.web.schemas import Heat

    if grid.means.size == 1:
        return None
    means, floors = grid.means.tolist(), grid.floors.tolist()
    return Heat(kind=grid.kind, rows=list(grid.rows), columns=list(grid.columns), means=means, floors=floors)


def main() -> int:
    """Exit code 0 where it was done, 2 where the user has to mend something, 130 where it was interrupted."""
    # What was started in the background ignores interruptions otherwise.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        # What libraries print is no line of the protocol.
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
