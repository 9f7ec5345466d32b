"""Progress on stderr, with rate and time left: bars in a terminal, now and then a line elsewhere."""

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

from neurogloss.cli.text import visible


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        """Units a second since the task began; the library's own figure is lost where a total is corrected."""
        elapsed = task.finished_time if task.finished else task.elapsed
        new = task.completed - task.fields["done"]
        rate = f"{new / elapsed:,.1f} {task.fields['unit']}/s" if elapsed and new > 0 else ""
        return Text(rate, style="progress.data.speed")


class Bars:
    """A `neurogloss.protocols.Progress` that draws one bar a task; use it as a context manager."""

    def __init__(self) -> None:
        self.console = _console()
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
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._close()
        # What drew nothing leaves no empty line either.
        if self._bars.tasks:
            self._bars.stop()

    def start(self, task: str, total: int | None, unit: str, done: int = 0) -> None:
        self._close()
        self._bars.start()
        self._task = self._bars.add_task(task, total=total, completed=done, unit=unit, done=done, figures="")

    def advance(self, n: int = 1) -> None:
        if self._task is not None:
            self._bars.advance(self._task, n)

    def show(self, figures: str) -> None:
        if self._task is not None:
            self._bars.update(self._task, figures=visible(figures))

    def note(self, message: str) -> None:
        self.console.print(visible(message))

    def _close(self) -> None:
        """The present task is over, whatever was counted of it."""
        if self._task is None:
            return
        task = self._bars.tasks[self._task]
        end = max(task.completed, 1)
        # What counted nothing has no rate.
        done = task.fields["done"] if task.completed else end
        self._bars.update(self._task, total=end, completed=end, done=done)
        self._task = None


class Lines:
    """A `neurogloss.protocols.Progress` for logs: a line when a task starts, and every EVERY seconds."""

    EVERY = 10.0

    def __init__(self) -> None:
        self.console = _console()
        self._task = self._unit = ""
        self._total: int | None = None
        self._figures = ""
        self._begun = self._said = 0.0
        self._first = self._done = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def start(self, task: str, total: int | None, unit: str, done: int = 0) -> None:
        self._task, self._unit, self._total, self._figures = task, unit, total, ""
        self._first = self._done = done
        self._begun = self._said = time.monotonic()
        self.note(f"{task}: {done:,} of {total:,} {unit}" if total else task)

    def advance(self, n: int = 1) -> None:
        self._done += n
        now = time.monotonic()
        if now - self._said >= self.EVERY:
            self._said = now
            rate = (self._done - self._first) / (now - self._begun)
            left = f", {max(0.0, self._total - self._done) / rate:.0f} s left" if self._total and rate else ""
            total = f" of {self._total:,}" if self._total else ""
            more = f" ({self._figures})" if self._figures else ""
            self.note(f"{self._task}: {self._done:,}{total} {self._unit}, {rate:,.1f} {self._unit}/s{left}{more}")

    def show(self, figures: str) -> None:
        self._figures = figures

    def note(self, message: str) -> None:
        self.console.print(visible(message), soft_wrap=True)


def shown() -> Bars | Lines:
    """Progress as stderr can show it; a context manager."""
    return Bars() if _console().is_terminal else Lines()


def _console() -> Console:
    return Console(stderr=True, highlight=False, markup=False, emoji=False)
