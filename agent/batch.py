"""Label many units: two sweeps over the ledger, resumable at every unit.

1. Explain: each unit that has no explanation yet goes through the explain graph, some in flight at a time.
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
from typing import Any

from neurogloss.accounts import Standing
from neurogloss.agent import graph, tools, units
from neurogloss.agent.models import Models
from neurogloss.agent.scoring import UnitScoring
from neurogloss.agent.sweeps import Summary, Sweeps
from neurogloss.agent.trace import pack
from neurogloss.engines.usage import recording
from neurogloss.folder import RunFolder
from neurogloss.ids import UnitId
from neurogloss.protocols import Progress, Quiet, Scorer
from neurogloss.records import State
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
    progress: Progress | None = None,
    **values: Any,
) -> Summary:
    """Explain and score units of a collected run, or finish doing so.

    Args:
        settings: all of them; or give single ones by name (`units="sample:24"`, `llm="http://…"`).
        own_scorers: scorers beside those that the settings name.

    Raises:
        UserError: what the user can mend. What was labelled before is kept.
    """
    return wait(partial(label_async, run, settings, own_scorers=own_scorers, progress=progress, **values))


async def label_async(
    run: str | Path,
    settings: LabelSettings | None = None,
    *,
    own_scorers: Sequence[Scorer] = (),
    progress: Progress | None = None,
    **values: Any,
) -> Summary:
    """As `label`, awaited."""
    folder, progress = RunFolder(Path(run)).require(), progress or Quiet()
    settings = settings or make(LabelSettings, values)
    with folder.writing():
        cache = Cache(folder.cache)
        chosen = units.select(cache, settings.units, settings.min_active, settings.seed)
        models = Models(cache, settings, progress)
        async with AsyncExitStack() as stack:
            chat = await tools.open_chat(stack, settings, folder.answers if settings.stored_answers else None)
            method = tools.build(settings, cache, models, chat, own_scorers)
            ledger = stack.enter_context(Ledger(folder.ledger))
            batch = Batch(cache, method, models, Sweeps(ledger, method.id, settings, chosen, progress))
            await batch.run()
            with Index(folder.index, models.embedder) as index:
                index.sync(ledger, progress)
            return batch.summary()


class Batch:
    """Some units of a run, being labelled by one method."""

    def __init__(self, cache: Cache, method: tools.Method, models: Models, sweeps: Sweeps) -> None:
        self._cache, self._method, self._models, self._sweeps = cache, method, models, sweeps
        self._shortfall = shortfalls(cache)
        settings = sweeps.settings
        self._graph = graph.explain_graph(
            method.explainer,
            method.scoring.judge,
            method.id,
            settings.min_active,
            settings.seed,
            method.effort,
        )

    async def run(self) -> None:
        """Both sweeps, as far as they go."""
        ledger = self._sweeps.ledger
        ledger.add_method(self._method.id, self._method.settings)
        for page in self._sweeps.pages():
            ledger.add_units((unit, self._cache.statistics(unit)) for unit in ledger.unknown(page))
        await self._sweeps.run("explaining", self._unexplained, self._explain)
        if not any(self._sweeps.pending(self._unexplained)):
            scoring = UnitScoring(self._sweeps, self._method.scoring, self._models)
            await self._sweeps.run("scoring", self._unscored, scoring)

    def summary(self) -> Summary:
        """What it came to."""
        return self._sweeps.summary(self._unexplained, self._unscored)

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

    async def _explain(self, unit: UnitId) -> State:
        found = self._models.evidence(unit, self._method.hard)
        settings = self._sweeps.settings
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
                    "deadline": time.monotonic() + (settings.unit_seconds or math.inf),
                }
            )
        work = self._sweeps.account("explain", calls, pack(state["trace"]) if settings.trace else None)
        if "setback" in state:
            return self._sweeps.fail(unit, State(state["setback"].failure), state["setback"].reason, work)
        first, *others = state["explanations"]
        self._sweeps.ledger.record_explained(first, others, work)
        return State.EXPLAINED
