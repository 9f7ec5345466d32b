"""Label many units: two sweeps over the ledger, resumable at every unit.

1. Explain: each unit that has no explanation yet goes through the explain graph, some in flight at a time.
2. Units that failed for transport wait. While some do, nothing is scored: floors ask the explanations of other
   units, and these should not depend on what happened to be reachable.
3. Score: each explained unit goes through the score graph, its floors drawn from all explanations of the method.
4. The index is brought up to date.

The ledger is written once a unit and sweep, in one transaction. A process that is killed loses the units in
flight, and the next run does exactly those again.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from neurogloss.agent import graph, tools, units
from neurogloss.agent.nodes.prepare import prompt_texts
from neurogloss.engines import load_chat_model
from neurogloss.errors import AnswerError
from neurogloss.folder import RunFolder
from neurogloss.ids import UnitId, derive_seed, hash64
from neurogloss.protocols import Progress, Quiet, Scorer
from neurogloss.records import Explanation, State
from neurogloss.scorers import floors
from neurogloss.settings import LabelSettings, make
from neurogloss.sources.cache import Cache
from neurogloss.sources.evidence import evidence
from neurogloss.store.index import Index
from neurogloss.store.ledger import Ledger

FAILED = frozenset({State.TRANSPORT, State.REFUSAL, State.UNPARSEABLE, State.EMPTY})
"""States that say that the run, not the unit, fell short."""
GIVE_UP = 3
"""Transport failures in a row, times the units in flight, after which the server counts as gone."""
POOL = 1000
"""Explanations at most from which floors are drawn, so that memory does not grow with the run."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a batch came to."""

    method: str
    """Under which the ledger keeps it."""
    states: Mapping[State, int]
    """The units asked for, by state; those not begun are in none."""
    waiting: int
    """Units that a later run will take up again, or that this one did not reach."""

    @property
    def failed(self) -> int:
        """Units that ended in a failure of transport or answer."""
        return sum(n for state, n in self.states.items() if state in FAILED)


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
    folder = RunFolder(Path(run)).require()
    chosen = settings or make(LabelSettings, values)
    with folder.writing():
        return asyncio.run(_label(folder, chosen, own_scorers, progress or Quiet()))


async def _label(
    folder: RunFolder, settings: LabelSettings, own_scorers: Sequence[Scorer], progress: Progress
) -> Summary:
    cache = Cache(folder.cache)
    chosen = units.select(cache, settings.units, settings.min_active, settings.seed)
    models = tools.Models(cache, settings.kl, progress)
    async with AsyncExitStack() as stack:
        chat = (
            await stack.enter_async_context(load_chat_model(settings.llm, settings.model))
            if settings.llm
            else None
        )
        method = tools.build(settings, cache, models, chat, own_scorers)
        with Ledger(folder.ledger) as ledger:
            batch = _Batch(cache, ledger, method, models, settings, chosen, progress)
            await batch.run()
            with Index(folder.index, models.embedder) as index:
                index.sync(ledger, progress)
            return batch.summary()


class _Batch:
    def __init__(
        self,
        cache: Cache,
        ledger: Ledger,
        method: tools.Method,
        models: tools.Models,
        settings: LabelSettings,
        chosen: Sequence[UnitId],
        progress: Progress,
    ) -> None:
        self.cache, self.ledger, self.method, self.settings = cache, ledger, method, settings
        self.chosen, self.progress = chosen, progress
        self.explain_graph = graph.explain_graph(
            method.explainer, method.judge, method.id, settings.min_active, settings.seed
        )
        self.score_graph = graph.score_graph(
            method.scorers,
            method.judge,
            lambda: models.live,
            settings.prompts,
            settings.alpha,
            settings.seed,
        )
        self.in_flight = settings.concurrency if settings.llm else 1
        """Models in this process answer one at a time; only a server has use for several units."""
        self.lost = 0
        """Transport failures in a row."""

    async def run(self) -> None:
        self.ledger.add_method(self.method.id, self.method.settings)
        known = set(self.ledger.units())
        self.ledger.add_units((u, self.cache.statistics(u)) for u in self.chosen if u not in known)
        await self._sweep("explaining", self._unexplained(), self._explain)
        if not self._unexplained():
            await self._sweep("scoring", self._unscored(), self._score)

    def summary(self) -> Summary:
        states = self.ledger.states(self.method.id)
        counts = Counter(states[unit] for unit in self.chosen if unit in states)
        return Summary(self.method.id, dict(counts), len(self._unexplained()) + len(self._unscored()))

    def _unexplained(self) -> list[UnitId]:
        """Units without explanation that are not settled."""
        states = self.ledger.states(self.method.id)
        return [
            unit
            for unit in self.chosen
            if unit not in states or (self._retries(unit, states[unit]) and not self._explained(unit))
        ]

    def _unscored(self) -> list[UnitId]:
        """Units with an explanation whose scores are missing."""
        states = self.ledger.states(self.method.id)
        return [
            unit
            for unit in self.chosen
            if states.get(unit) is State.EXPLAINED
            or (unit in states and self._retries(unit, states[unit]) and self._explained(unit))
        ]

    def _retries(self, unit: UnitId, state: State) -> bool:
        attempts = self.ledger.attempts(unit, self.method.id) if state is State.TRANSPORT else 0
        return state is State.TRANSPORT and attempts < self.settings.max_attempts

    def _explained(self, unit: UnitId) -> bool:
        label = self.ledger.label(unit, self.method.id)
        return label is not None and label.explanation is not None

    async def _sweep(
        self, task: str, pending: Sequence[UnitId], work: Callable[[UnitId], Awaitable[None]]
    ) -> None:
        """Do the pending units, some at a time, until they are done or the server is gone."""
        if not pending:
            return
        self.lost = 0
        done = len(self.chosen) - len(pending)
        self.progress.start(task, len(self.chosen), "units", done=done)
        rest = iter(pending)

        async def worker() -> None:
            for unit in rest:
                await work(unit)
                self.progress.advance()
                if self.lost >= GIVE_UP * self.in_flight:
                    return

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.in_flight, len(pending))):
                    group.create_task(worker())
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _explain(self, unit: UnitId) -> None:
        found = evidence(self.cache, unit)
        state = await self.explain_graph.ainvoke(
            {
                "unit": unit,
                "statistics": found.statistics,
                "half": found.explain,
                "score_active": len(found.score.uniform),
                "output_tokens": found.output_tokens,
            }
        )
        if "setback" in state:
            self._record_failure(unit, State(state["setback"].failure), state["setback"].reason)
        else:
            self.lost = 0
            first, *others = state["explanations"]
            self.ledger.record_explained(first, others)

    async def _score(self, unit: UnitId) -> None:
        label = self.ledger.label(unit, self.method.id)
        assert label is not None and label.explanation is not None
        found = evidence(self.cache, unit)
        try:
            state = await self.score_graph.ainvoke(
                {
                    "explanation": label.explanation,
                    "half": found.score,
                    "tuning_prompts": prompt_texts(found.explain.negatives, self.settings.prompts),
                    "density": found.statistics.density,
                    "floors": floors.draw(
                        label.explanation,
                        self._pool,
                        self.method.n_floors,
                        derive_seed(self.settings.seed, str(unit)),
                    ),
                }
            )
        except AnswerError as error:
            self._record_failure(unit, State(error.failure), str(error))
            return
        self.lost = 0
        self.ledger.record_scores(
            label.explanation, state["state"], state["scores"], state["outcomes"], state["reason"]
        )

    def _record_failure(self, unit: UnitId, state: State, reason: str) -> None:
        if state in FAILED:  # of a dead unit the model was not asked
            self.lost = self.lost + 1 if state is State.TRANSPORT else 0
        self.ledger.record_failure(unit, self.method.id, state, reason)

    @cached_property
    def _pool(self) -> list[Explanation]:
        """Explanations of the method to draw floors from: all of them, or POOL drawn by their hash."""
        explained = (label.explanation for label in self.ledger.labels(self.method.id))
        return heapq.nsmallest(POOL, filter(None, explained), key=lambda e: hash64(self.settings.seed, e.id))
