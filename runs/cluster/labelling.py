"""Explain and score units on the workers of a Ray cluster.

1. A worker is an actor around `LocalStages`: one event loop, one connection to the LLM's servers, some units in
   flight. There are as many workers as the cluster has room for.
2. The driver sends each unit to a worker with room, and records the result.
3. If a worker or its host is lost, its units go to other workers. A new worker joins when the cluster has room.

Only the driver opens the ledger. A worker reads the run's cache and settings.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurogloss.agent import methods
from neurogloss.agent.models import Models
from neurogloss.errors import UserError
from neurogloss.folder import RunFolder
from neurogloss.ids import UnitId, content_id
from neurogloss.protocols import Quiet, Scorer
from neurogloss.records import Label
from neurogloss.runs.cluster.connection import Cluster, open_cluster, received_errors
from neurogloss.runs.stages import LocalStages, Result
from neurogloss.scorers.choice import Floor
from neurogloss.settings import LabelSettings
from neurogloss.sources.cache import Cache

LOSSES = 3
"""A run fails after losing this many workers in a row on the same unit."""


@dataclass(frozen=True)
class Job:
    """What a worker needs to know besides its units."""

    home: Path
    """Working directory, for relative paths."""
    run: Path
    settings: LabelSettings
    own_scorers: Sequence[Scorer]
    explains: bool
    """Whether it explains, or only scores."""
    decides: str
    """Hash of the method's settings in the driver. A worker must have the same."""


async def open_cluster_stages(
    stack: AsyncExitStack,
    engine: str,
    run: RunFolder,
    settings: LabelSettings,
    own_scorers: Sequence[Scorer],
    method: methods.Method | methods.Scoring,
) -> ClusterStages:
    """Joins the cluster that `engine` names until the stack ends. Raises UserError as `open_cluster`."""
    cluster = stack.enter_context(open_cluster(engine))
    explains = isinstance(method, methods.Method)
    scoring = method.scoring if isinstance(method, methods.Method) else method
    job = Job(cluster.home, run.path.resolve(), settings, own_scorers, explains, content_id(method.settings))
    on_gpu = settings.llm is None or any(scorer.needs_subject for scorer in scoring.scorers)
    stages = ClusterStages(cluster, job, on_gpu)
    stack.callback(stages.close)
    return stages


class ClusterStages:
    """Implements `neurogloss.runs.stages.Stages` by actors."""

    def __init__(self, cluster: Cluster, job: Job, on_gpu: bool) -> None:
        self._ray, self._job = cluster.ray, job
        self._actor = cluster.ray.remote(max_restarts=0, **cluster.resources(on_gpu))(Worker)
        slots, self._each = cluster.slots(on_gpu), job.settings.concurrency if job.settings.llm else 1
        self.in_flight = slots * self._each
        self._free: asyncio.Queue[Any] = asyncio.Queue()
        """Each worker once per unit that it has room for, or the error of one that failed to start."""
        self._workers: set[Any] = set()
        self._opening: set[asyncio.Task[None]] = set()
        for _ in range(slots):
            self._add()

    def close(self) -> None:
        """Ends all workers."""
        for task in self._opening:
            task.cancel()
        for worker in self._workers:
            self._ray.kill(worker)

    async def explain(self, unit: UnitId) -> Result:
        return await self._ask("explain", unit, unit)

    async def score(self, label: Label, floors: Sequence[Floor]) -> Result:
        return await self._ask("score", label.unit, label, floors)

    async def _ask(self, stage: str, unit: UnitId, *given: Any) -> Result:
        """Raises UserError if workers keep dying, or if one would compute by another method."""
        errors = self._ray.exceptions
        for _ in range(LOSSES):
            worker = await self._take()
            try:
                with received_errors(self._ray):
                    if isinstance(worker, Exception):
                        raise worker
                    result: Result = await getattr(worker, stage).remote(*given)
            except (errors.RayActorError, errors.NodeDiedError, errors.ObjectLostError, errors.OutOfMemoryError):
                self._replace(worker)
            else:
                self._free.put_nowait(worker)
                return result
        raise UserError(
            f"Expected workers that last, found {LOSSES} in a row that were lost at {unit}. "
            "See why in Ray's logs; what was finished is kept."
        )

    async def _take(self) -> Any:
        """A worker with room, or the error of one that failed to start."""
        while (found := await self._free.get()) not in self._workers and not isinstance(found, Exception):
            pass  # the worker was lost
        return found

    def _replace(self, worker: Any) -> None:
        """Replaces a lost worker. Only the first of its units to fail has an effect."""
        if worker in self._workers:
            self._workers.remove(worker)
            self._ray.kill(worker)
            self._add()
        elif isinstance(worker, Exception):
            self._add()

    def _add(self) -> None:
        task = asyncio.ensure_future(self._open())
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self) -> None:
        worker = self._actor.remote(self._job)
        self._workers.add(worker)
        try:
            await worker.open.remote()
        except self._ray.exceptions.RayError as error:
            self._workers.remove(worker)
            self._free.put_nowait(error)
        else:
            for _ in range(self._each):
                self._free.put_nowait(worker)


class Worker:
    """The actor: stages in their own process, somewhere in the cluster."""

    def __init__(self, job: Job) -> None:
        self._job, self._stack = job, AsyncExitStack()

    async def open(self) -> None:
        """Connects to the LLM. Raises UserError, also if the method differs from the driver's."""
        job = self._job
        os.chdir(job.home)
        cache = Cache(RunFolder(job.run).cache)
        models = Models(cache, job.settings, Quiet())
        chat = await methods.open_chat(self._stack, job.settings, None)
        build = methods.build if job.explains else methods.build_scoring
        method = build(job.settings, cache, models, chat, job.own_scorers)
        if content_id(method.settings) != job.decides:
            raise UserError(
                f"Expected one method on every host, found another on {os.uname().nodename}: a model, a prompt or "
                "the version of neurogloss differs there. Install the same everywhere."
            )
        self._stages = LocalStages(cache, models, job.settings, method)

    async def explain(self, unit: UnitId) -> Result:
        return await self._stages.explain(unit)

    async def score(self, label: Label, floors: Sequence[Floor]) -> Result:
        return await self._stages.score(label, floors)
