"""Label many units: two sweeps over the ledger, resumable at every unit.

1. Explain: each unit that has no explanation yet goes through the explain graph, some in flight at a time, in this
   process or in the workers of a cluster.
2. Units that failed for transport wait. While some do, nothing is scored: floors ask the explanations of other
   units, and these should not depend on what happened to be reachable.
3. Score: each explained unit goes through the score graph, its floors drawn from all explanations of the method.
4. The index is brought up to date.

Evidence is made when a worker is free, and everything goes to the ledger, once a unit and sweep, in one
transaction. A process that is killed loses the units in flight; the next run does exactly those again, and what a
server had answered of them comes from the answer cache.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Unpack

from neurogloss.accounts import Standing
from neurogloss.agent import graph, methods
from neurogloss.agent.models import Models
from neurogloss.agent.trace import pack
from neurogloss.engines.usage import recording
from neurogloss.folder import RunFolder
from neurogloss.ids import UnitId
from neurogloss.keywords import LabelKeywords
from neurogloss.protocols import Progress, Quiet, Scorer
from neurogloss.records import Label, State
from neurogloss.runs.cluster.labelling import Elsewhere, elsewhere
from neurogloss.runs.results import ExplainedUnit, FailedUnit, Here, Result, Workers, in_flight, worked
from neurogloss.runs.score import unit_workers
from neurogloss.runs.select import select
from neurogloss.runs.sweep import Summary, Sweeps
from neurogloss.settings import LabelSettings, make
from neurogloss.sources.brain.voxels import shortfalls
from neurogloss.sources.cache import Cache
from neurogloss.store.index import Index
from neurogloss.store.ledger import Ledger
from neurogloss.tasks import wait


def label(
    run: str | Path,
    settings: LabelSettings | None = None,
    *,
    own_scorers: Sequence[Scorer] = (),
    engine: str = "local",
    progress: Progress | None = None,
    **values: Unpack[LabelKeywords],
) -> Summary:
    """Explain and score units of a collected run, or finish doing so.

    Args:
        settings: settings as one object.
        values: settings by name, which override those in `settings` (`units="sample:24"`, `llm="http://…"`).
        own_scorers: scorers beside those that the settings name.
        engine: `local`: this process. `ray`: workers of a Ray cluster; `ray:ADDRESS` of the one at that address.

    Raises:
        UserError: what the user can mend. What was labelled before is kept.
    """
    labelled = partial(label_async, run, settings, own_scorers=own_scorers, engine=engine, progress=progress)
    return wait(partial(labelled, **values))


async def label_async(
    run: str | Path,
    settings: LabelSettings | None = None,
    *,
    own_scorers: Sequence[Scorer] = (),
    engine: str = "local",
    progress: Progress | None = None,
    **values: Unpack[LabelKeywords],
) -> Summary:
    """As `label`, awaited."""
    folder, progress = RunFolder(Path(run)).require(), progress or Quiet()
    settings = make(LabelSettings, values, settings)
    with folder.writing():
        cache = Cache(folder.cache)
        chosen = select(cache, settings.units, settings.min_active, settings.seed)
        models = Models(cache, settings, progress)
        async with AsyncExitStack() as stack:
            chat = await methods.open_chat(stack, settings, folder.answers if settings.stored_answers else None)
            method = methods.build(settings, cache, models, chat, own_scorers)
            cluster = stack.enter_context(elsewhere(engine, folder, own_scorers))
            ledger = stack.enter_context(Ledger(folder.ledger))
            batch = Batch(cache, method, models, Sweeps(ledger, method.id, settings, chosen, progress), cluster)
            await batch.run()
            with Index(folder.index, models.embedder) as index:
                index.sync(ledger, progress)
            return batch.summary()


class Batch:
    """Some units of a run, being labelled by one method."""

    def __init__(
        self,
        cache: Cache,
        method: methods.Method,
        models: Models,
        sweeps: Sweeps,
        cluster: Elsewhere | None = None,
    ) -> None:
        """`cluster`: computes in place of this process."""
        self._cache, self._method, self._models, self._sweeps = cache, method, models, sweeps
        self._cluster = cluster

    async def run(self) -> None:
        """Both sweeps, as far as they go."""
        ledger, sweeps = self._sweeps.ledger, self._sweeps
        ledger.add_method(self._method.id, self._method.settings)
        for page in sweeps.pages():
            ledger.add_units((unit, self._cache.statistics(unit)) for unit in ledger.unknown(page))
        await sweeps.run("explaining", self._unexplained, lambda unit: unit, self._explaining)
        if not any(sweeps.pending(self._unexplained)):
            await sweeps.run("scoring", self._unscored, sweeps.explained, self._scoring)

    def summary(self) -> Summary:
        """What it came to."""
        return self._sweeps.summary(self._unexplained, self._unscored)

    def _explaining(self) -> Workers[UnitId]:
        settings = self._sweeps.settings
        if self._cluster:
            return self._cluster.explaining(settings, self._method)
        return Here(UnitExplaining(self._cache, self._method, self._models, settings), in_flight(settings))

    def _scoring(self) -> Workers[Label]:
        return unit_workers(self._sweeps, self._method.scoring, self._models, self._cluster)

    def _unexplained(self, standing: Standing | None) -> bool:
        """Of a unit without explanation that is not settled."""
        return standing is None or (self._retried(standing) and not standing.explained)

    def _unscored(self, standing: Standing | None) -> bool:
        """Of a unit with an explanation whose scores are missing."""
        if standing is None:
            return False
        return standing.state is State.EXPLAINED or (self._retried(standing) and standing.explained)

    def _retried(self, standing: Standing) -> bool:
        return standing.state is State.TRANSPORT and standing.attempts < self._sweeps.settings.max_attempts


class UnitExplaining:
    """Takes one unit through the explain graph."""

    def __init__(self, cache: Cache, method: methods.Method, models: Models, settings: LabelSettings) -> None:
        self._method, self._models, self._settings = method, models, settings
        self._shortfall = shortfalls(cache)
        self._graph = graph.explain_graph(
            method.explainer,
            method.scoring.judge,
            method.id,
            settings.min_active,
            settings.seed,
            method.effort,
        )

    async def __call__(self, unit: UnitId) -> Result:
        found = self._models.evidence(unit, self._method.hard)
        with recording() as calls:
            state = await self._graph.ainvoke(
                {
                    "unit": unit,
                    "statistics": found.statistics,
                    "half": found.explain,
                    "score_active": len(found.score.uniform),
                    "output_tokens": found.output_tokens,
                    "shortfall": self._shortfall(unit),
                    "calls": calls,
                    "deadline": time.monotonic() + (self._settings.unit_seconds or math.inf),
                }
            )
        work = worked("explain", calls, pack(state["trace"]) if self._settings.trace else None)
        if "setback" in state:
            setback = state["setback"]
            return FailedUnit(unit, self._method.id, State(setback.failure), setback.reason, work)
        first, *others = state["explanations"]
        return ExplainedUnit(first, others, work)
