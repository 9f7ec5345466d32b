"""Units explained and scored by the workers of a cluster, in shards.

1. Units are cut, in their order, into shards: some for each worker, of LARGEST units at most.
2. A shard is one task: one event loop, one connection to the LLM's servers, some units in flight at a time. Each
   result is sent as it is there; the process that started the run records it.
3. Where a worker or its host is lost, what had not come of its shard is a new shard. Ray would begin the old one
   from its first unit.

A worker reads the run's cache and settings, never its ledger: that is open in one process on one host.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Generic

from neurogloss.agent import methods
from neurogloss.agent.models import Models
from neurogloss.errors import UserError
from neurogloss.folder import RunFolder
from neurogloss.ids import UnitId, content_id
from neurogloss.protocols import Quiet, Scorer
from neurogloss.records import Explanation, Label
from neurogloss.runs.cluster.connection import Cluster, open_cluster
from neurogloss.runs.results import Here, Item, Result, Results, in_flight, interleaved, until_gone
from neurogloss.settings import LabelSettings
from neurogloss.sources.cache import Cache

LARGEST = 1_000
"""Units of a shard at most."""
SHARDS = 4
"""For each worker at least, where there are units enough: they end at different times."""
LOSSES = 3
"""Workers in a row that a shard may lose without a single result."""


@dataclass(frozen=True)
class Job:
    """What a worker has to know beside the units."""

    home: Path
    """Folder that relative paths start from."""
    run: Path
    settings: LabelSettings
    own_scorers: Sequence[Scorer]
    method: str
    """Hash of all that decides the result, as the process that records it has it."""


@dataclass(frozen=True)
class Elsewhere:
    """Workers of a cluster, for one run."""

    cluster: Cluster
    run: Path
    own_scorers: Sequence[Scorer]

    def explaining(self, settings: LabelSettings, method: methods.Method) -> Shards[UnitId]:
        return Shards(self.cluster, self._job(settings, method.settings), explain, settings.llm is None)

    def scoring(
        self, settings: LabelSettings, scoring: methods.Scoring, pool: Sequence[Explanation]
    ) -> Shards[Label]:
        """`pool`: explanations from which floors are drawn, sent to each host once."""
        on_gpu = settings.llm is None or any(scorer.needs_subject for scorer in scoring.scorers)
        rest = (self.cluster.ray.put(pool),)
        return Shards(self.cluster, self._job(settings, scoring.settings), score, on_gpu, rest)

    def _job(self, settings: LabelSettings, decides: dict[str, Any]) -> Job:
        return Job(self.cluster.home, self.run, settings, self.own_scorers, content_id(decides))


@contextmanager
def elsewhere(engine: str, run: RunFolder, own_scorers: Sequence[Scorer]) -> Iterator[Elsewhere | None]:
    """The workers that `engine` names; None for this process. Raises UserError as `open_cluster`."""
    with open_cluster(engine) as cluster:
        yield Elsewhere(cluster, run.path.resolve(), own_scorers) if cluster else None


@dataclass(frozen=True)
class Shards(Generic[Item]):
    """Implements `neurogloss.runs.results.Workers`."""

    cluster: Cluster
    job: Job
    work: Callable[..., Iterator[Result]]
    """On a worker: job, items, and the rest."""
    on_gpu: bool = False
    """Whether models are computed in the worker."""
    rest: tuple[Any, ...] = ()

    def results(self, items: Iterator[Item], n: int) -> Results:
        """Raises UserError where workers keep dying, or where one would compute by another method."""
        slots = self.cluster.slots(self.on_gpu)
        size = max(1, min(LARGEST, math.ceil(n / (SHARDS * slots))))

        def shards(some: Iterator[Item]) -> Iterator[Results]:
            while shard := list(islice(some, size)):
                yield self._shard(shard)

        at_once = slots * in_flight(self.job.settings)
        return until_gone(items, at_once, lambda some: interleaved(shards(some), slots))

    async def _shard(self, items: Sequence[Item]) -> Results:
        ray = self.cluster.ray
        resources = self.cluster.resources(self.on_gpu)
        task = ray.remote(max_retries=0, num_returns="streaming", **resources)(self.work)
        left, losses = {_unit(item): item for item in items}, 0
        while left and losses < LOSSES:
            losses += 1
            stream = task.remote(self.job, list(left.values()), *self.rest)
            try:
                async for reference in stream:
                    result: Result = await reference
                    del left[result.unit]
                    losses = 0
                    yield result
                return
            except ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, UserError):
                    raise UserError(str(error.cause)) from None
                raise
            except _lost(ray):
                pass
            finally:
                ray.cancel(stream)
        if left:
            raise UserError(
                f"Expected workers that last, found {LOSSES} in a row that were lost at {next(iter(left))}. "
                "See why in Ray's logs; what was finished is kept."
            )


def _lost(ray: Any) -> tuple[type[Exception], ...]:
    """What is raised where a worker, its host or what it sent is gone."""
    found = ray.exceptions
    return (found.WorkerCrashedError, found.NodeDiedError, found.ObjectLostError, found.OutOfMemoryError)


def _unit(item: UnitId | Label) -> UnitId:
    return item if isinstance(item, UnitId) else item.unit


# --- on a worker ----------------------------------------------------------------------------------


def explain(job: Job, units: Sequence[UnitId]) -> Iterator[Result]:
    """What becomes of the units, as it is there. Raises UserError."""
    yield from _in_turn(_explained(job, units))


def score(job: Job, labels: Sequence[Label], pool: Sequence[Explanation]) -> Iterator[Result]:
    """What the labels score, as it is there; floors are drawn from the pool. Raises UserError."""
    yield from _in_turn(_scored(job, labels, pool))


async def _explained(job: Job, units: Sequence[UnitId]) -> Results:
    from neurogloss.runs.label import UnitExplaining

    cache, models = _opened(job)
    async with AsyncExitStack() as stack:
        chat = await methods.open_chat(stack, job.settings, None)
        method = methods.build(job.settings, cache, models, chat, job.own_scorers)
        _check(job, method.settings)
        workers = Here(UnitExplaining(cache, method, models, job.settings), in_flight(job.settings))
        async for result in workers.results(iter(units), len(units)):
            yield result


async def _scored(job: Job, labels: Sequence[Label], pool: Sequence[Explanation]) -> Results:
    from neurogloss.runs.score import UnitScoring

    cache, models = _opened(job)
    async with AsyncExitStack() as stack:
        chat = await methods.open_chat(stack, job.settings, None)
        scoring = methods.build_scoring(job.settings, cache, models, chat, job.own_scorers)
        _check(job, scoring.settings)
        workers = Here(UnitScoring(scoring, models, job.settings, pool), in_flight(job.settings))
        async for result in workers.results(iter(labels), len(labels)):
            yield result


def _opened(job: Job) -> tuple[Cache, Models]:
    os.chdir(job.home)
    return _kept(job.run, job.settings)


@lru_cache(1)
def _kept(run: Path, settings: LabelSettings) -> tuple[Cache, Models]:
    """What is the same for every shard of a run: models are loaded once a worker."""
    cache = Cache(RunFolder(run).cache)
    return cache, Models(cache, settings, Quiet())


def _check(job: Job, decides: dict[str, Any]) -> None:
    if content_id(decides) != job.method:
        raise UserError(
            f"Expected one method on every host, found another on {os.uname().nodename}: a model, a prompt or the "
            "version of neurogloss differs there. Install the same everywhere."
        )


def _in_turn(results: AsyncGenerator[Result, None]) -> Iterator[Result]:
    """Results of an event loop that goes on only while the next one is waited for."""

    async def following() -> Result | None:
        return await anext(results, None)

    with asyncio.Runner() as runner:
        try:
            while (found := runner.run(following())) is not None:
                yield found
        except UserError as error:
            # As a plain one: not every subclass can be sent.
            raise UserError(str(error)) from None
        finally:
            runner.run(results.aclose())
