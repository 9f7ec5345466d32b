"""Progress bars on stderr, with rate and time left."""

from __future__ import annotations

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


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.1f} {task.fields['unit']}/s" if speed else "", style="progress.data.speed")


class Bars:
    """A `neurogloss.protocols.Progress` that draws one bar a task; use it as a context manager."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            _Rate(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._close()
        self._bars.stop()

    def start(self, task: str, total: int | None, unit: str, done: int = 0) -> None:
        self._close()
        self._task = self._bars.add_task(task, total=total, completed=done, unit=unit)

    def advance(self, n: int = 1) -> None:
        if self._task is not None:
            self._bars.advance(self._task, n)

    def note(self, message: str) -> None:
        self.console.print(message)

    def _close(self) -> None:
        """The present task is over, whatever was counted of it."""
        if self._task is None:
            return
        task = self._bars.tasks[self._task]
        self._bars.update(self._task, total=max(task.completed, 1), completed=max(task.completed, 1))
        self._task = None
