"""Progress on stderr, with rate and time left: bars in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from neurogloss.cli.render import visible

EVERY = 10.0
"""Seconds between two lines."""


def rate(task: Task) -> float:
    """Units per second since the task began. Rich's own figure is lost when a total is corrected."""
    elapsed = task.finished_time if task.finished else task.elapsed
    return max((task.completed - task.fields["done"]) / elapsed, 0.0) if elapsed else 0.0


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = rate(task)
        return Text(f"{speed:,.1f} {task.fields['unit']}/s" if speed else "", style="progress.data.speed")


class Bars:
    """A `neurogloss.protocols.Progress`: one bar per task, or lines in a log. Use it as a context manager."""

    def __init__(self) -> None:
        self.console = _console()
        self._drawn = self.console.is_terminal
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            _Rate(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            console=self.console,
            get_time=lambda: time.monotonic(),
            disable=not self._drawn,
        )
        self._task: TaskID | None = None
        self._said = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._close()
        # Stopping would print an empty line if nothing was drawn.
        if self._drawn and self._bars.tasks:
            self._bars.stop()

    def start(self, task: str, total: int | None, unit: str, done: int = 0) -> None:
        self._close()
        self._bars.start()
        self._task = self._bars.add_task(task, total=total, completed=done, unit=unit, done=done, figures="")
        if not self._drawn:
            self._said = time.monotonic()
            self.note(f"{task}: {done:,} of {total:,} {unit}" if total else task)

    def advance(self, n: int = 1) -> None:
        if self._task is None:
            return
        self._bars.advance(self._task, n)
        if not self._drawn and time.monotonic() - self._said >= EVERY:
            self._said = time.monotonic()
            self.note(_line(self._bars.tasks[self._task]))

    def show(self, figures: str) -> None:
        if self._task is not None:
            self._bars.update(self._task, figures=visible(figures))

    def note(self, message: str) -> None:
        self.console.print(visible(message), soft_wrap=not self._drawn)

    def _close(self) -> None:
        """End the present task, whatever it counted. A task that counted nothing has no rate."""
        if self._task is None:
            return
        task = self._bars.tasks[self._task]
        end = max(task.completed, 1)
        done = task.fields["done"] if task.completed else end
        self._bars.update(self._task, total=end, completed=end, done=done)
        self._task = None


def _line(task: Task) -> str:
    """`collecting: 600 of 1,000 tokens, 20.0 tokens/s, 20 s left`"""
    speed, unit, figures = rate(task), task.fields["unit"], task.fields["figures"]
    left = f", {max(0.0, task.total - task.completed) / speed:.0f} s left" if task.total and speed else ""
    total = f" of {task.total:,}" if task.total else ""
    more = f" ({figures})" if figures else ""
    return f"{task.description}: {task.completed:,}{total} {unit}, {speed:,.1f} {unit}/s{left}{more}"


def _console() -> Console:
    return Console(stderr=True, highlight=False, markup=False, emoji=False)
