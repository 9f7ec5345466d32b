"""What takes a while, each in a process of its own, so that it can be killed and its memory is its own.

1. A job is accepted while fewer than `max_jobs` wait or run; it is a validated request and the options of the
   service.
2. Jobs that write to one run stand in line, the first to come first; comparisons only read, and begin at once.
3. Its process (`neurogloss.web.worker`) says how far it is, a line at a time; what it came to is a file.
4. It is cancelled as by Ctrl-C, and killed after GRACE seconds more: a run loses nothing by either.
5. The end of the service interrupts what runs and waits for it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from neurogloss.web.options import Options
from neurogloss.web.problems import Refusal, not_found
from neurogloss.web.requests import CompareRequest, LabelRequest, ScoreRequest
from neurogloss.web.schemas import Job

_LOG = logging.getLogger(__name__)
KEPT = 200
"""Jobs remembered."""
GRACE = 10.0
"""Seconds between an interruption and a kill."""
LAST_GRACE = 3.0
"""The same where the service ends."""
LINE = 1 << 20
"""Bytes of a line of the worker at most."""
POLL = 0.2
"""Seconds between two looks for a change."""
ENDED = frozenset({"done", "failed", "cancelled"})
CANCELLED = "Cancelled. What was finished is kept; the same request goes on from there."


@dataclass(eq=False)
class _Entry:
    """A job and what it is done with."""

    job: Job
    task: Mapping[str, Any]
    writes: str | None
    """The run that it writes to."""
    runner: asyncio.Task[None] | None = None
    process: asyncio.subprocess.Process | None = None
    cancelled: bool = False

    @property
    def ended(self) -> bool:
        return self.job.state in ENDED

    def change(self, **values: Any) -> None:
        self.job = self.job.model_copy(update=values)

    def end(self, state: str, message: str) -> None:
        self.change(state=state, message=message, finished=_now())

    def interrupt(self, signum: int = signal.SIGINT) -> None:
        """The process leads a group of its own, and what it started is in it."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signum)


class Jobs:
    """The jobs of one service; an asynchronous context manager, used in one event loop."""

    def __init__(self, runs: Mapping[str, Path], options: Options) -> None:
        self._runs, self._options = runs, options
        self._entries: dict[str, _Entry] = {}
        self._lines = {name: asyncio.Lock() for name in runs}
        self._ending = asyncio.Event()
        self._temporary = tempfile.TemporaryDirectory(prefix="neurogloss-jobs-")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        await asyncio.gather(*(self._stop(entry, LAST_GRACE) for entry in self._entries.values()))
        await asyncio.gather(*(entry.runner for entry in self._entries.values() if entry.runner))
        self._temporary.cleanup()

    def end(self) -> None:
        """Streams end, and no job is accepted any more."""
        self._ending.set()

    async def pause(self, seconds: float) -> bool:
        """Wait so long. Returns whether the service is ending, at once when it does."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), seconds)
        return self._ending.is_set()

    # --- begun: each raises Refusal where there is no such run, or there are too many jobs ----------

    def begin(self, kind: Literal["label", "score"], run: str, request: LabelRequest | ScoreRequest) -> Job:
        asked = request.model_dump(mode="json", exclude_none=True)
        own = {"llm": self._options.llm, "model": self._options.model, "embedder": self._options.embedder}
        settings = {**request.settings(), **{name: value for name, value in own.items() if value is not None}}
        task = {"kind": kind, "run": self._path(run), "method": asked.get("method"), "settings": settings}
        return self._submit(task, run, asked, writes=run)

    def compare(self, request: CompareRequest) -> Job:
        asked = request.model_dump(mode="json")
        sides = {side: {**asked[side], "path": self._path(asked[side]["run"])} for side in ("a", "b")}
        task = {"kind": "compare", **asked, **sides, "embedder": self._options.embedder}
        return self._submit(task, f"{request.a.run}, {request.b.run}", asked, writes=None)

    def _path(self, run: str) -> str:
        if run not in self._runs:
            raise not_found(f"Expected a served run, found {run!r}. GET /api/runs lists them.")
        return str(self._runs[run])

    def _submit(self, task: Mapping[str, Any], run: str, request: Mapping[str, Any], writes: str | None) -> Job:
        busy = sum(not entry.ended for entry in self._entries.values())
        if busy >= self._options.max_jobs or self._ending.is_set():
            raise Refusal(
                429,
                "too_many_jobs",
                f"Expected fewer than {self._options.max_jobs} jobs waiting and running, found {busy}. "
                "Wait until one ends, or cancel one.",
                {"Retry-After": "10"},
            )
        job = Job(
            id=secrets.token_hex(6),
            kind=task["kind"],
            run=run,
            request=dict(request),
            state="waiting",
            message="",
            done=0,
            total=None,
            submitted=_now(),
            finished=None,
        )
        entry = self._entries[job.id] = _Entry(job, task, writes)
        entry.runner = asyncio.create_task(self._run(entry))
        self._forget()
        return job

    def _forget(self) -> None:
        """The oldest that have ended."""
        ended = [name for name, entry in self._entries.items() if entry.ended]
        for name in ended[: max(len(self._entries) - KEPT, 0)]:
            for path in (self.result_path(name), self._log(name)):
                path.unlink(missing_ok=True)
            del self._entries[name]

    # --- looked at: each raises Refusal where there is no such job -----------------------------------

    def all(self) -> list[Job]:
        """The newest first."""
        return [entry.job for entry in reversed(self._entries.values())]

    def get(self, name: str) -> Job:
        return self._entry(name).job

    def result_path(self, name: str) -> Path:
        """Where what it came to is, as JSON, once it is done."""
        return Path(self._temporary.name, f"{name}.json")

    async def changes(self, name: str) -> AsyncIterator[Job]:
        """The job at once and whenever it has changed, until it has ended."""
        entry, said = self._entry(name), None
        while said is None or (said.state not in ENDED and not await self.pause(POLL)):
            if entry.job != said:
                said = entry.job
                yield said

    async def cancel(self, name: str) -> Job:
        """The job as it ended, which it may have before."""
        entry = self._entry(name)
        await self._stop(entry)
        return entry.job

    def _entry(self, name: str) -> _Entry:
        if name not in self._entries:
            raise not_found(f"Expected a job, found none called {name!r}. GET /api/jobs lists them.")
        return self._entries[name]

    # --- done ---------------------------------------------------------------------------------------

    async def _run(self, entry: _Entry) -> None:
        async with self._lines[entry.writes] if entry.writes else nullcontext():
            # It may have been cancelled while it stood in line.
            if entry.ended:
                return
            entry.change(state="running")
            try:
                await self._work(entry)
            except Exception as error:
                _LOG.exception("job %s", entry.job.id)
                entry.interrupt(signal.SIGKILL)
                entry.end("failed", f"The service failed at this job: {error}")

    async def _work(self, entry: _Entry) -> None:
        name, log = entry.job.id, self._log(entry.job.id)
        with open(log, "wb") as errors:
            entry.process = process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "neurogloss.web.worker", str(self.result_path(name))),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env={key: value for key, value in os.environ.items() if key != "NEUROGLOSS_TOKEN"},
                limit=LINE,
                start_new_session=True,
            )
        if entry.cancelled:
            entry.interrupt()
        assert process.stdin is not None and process.stdout is not None
        with suppress(ConnectionError):
            process.stdin.write(json.dumps(entry.task).encode())
            await process.stdin.drain()
        process.stdin.close()
        said: dict[str, Any] = {}
        async for line in process.stdout:
            said = json.loads(line)
            if "task" in said:
                entry.change(message=said["task"], done=said["done"], total=said["total"])
        status = await process.wait()
        if status == 0:
            entry.end("done", said["summary"])
        elif entry.cancelled:
            entry.end("cancelled", CANCELLED)
        else:
            entry.end("failed", said.get("error") or _last_line(log, status))

    async def _stop(self, entry: _Entry, grace: float = GRACE) -> None:
        """End it, and wait until it has ended."""
        if entry.ended or entry.runner is None:
            return
        first, entry.cancelled = not entry.cancelled, True
        if entry.job.state == "waiting":
            entry.end("cancelled", CANCELLED)
            return
        if first:
            entry.interrupt()
        if not (await asyncio.wait([entry.runner], timeout=grace))[0]:
            entry.interrupt(signal.SIGKILL)
            await asyncio.wait([entry.runner])

    def _log(self, name: str) -> Path:
        """What its process wrote to stderr."""
        return Path(self._temporary.name, f"{name}.log")


def _last_line(log: Path, status: int) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"The job's process ended with status {status}. {lines[-1] if lines else ''}".strip()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
