"""Score explanations that are there, a method's or imported ones, by scorers that they have no scores of yet."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Unpack

from neurogloss.accounts import Standing
from neurogloss.agent import graph, methods
from neurogloss.agent.models import Models
from neurogloss.agent.nodes.prepare import prompt_texts
from neurogloss.engines.usage import recording
from neurogloss.errors import AnswerError, UserError
from neurogloss.folder import RunFolder
from neurogloss.ids import derive_seed, hash64
from neurogloss.keywords import LabelKeywords
from neurogloss.protocols import Progress, Quiet, Scorer
from neurogloss.records import Explanation, Label, Score, State
from neurogloss.runs.cluster.labelling import Elsewhere, elsewhere
from neurogloss.runs.results import FailedUnit, Here, Result, ScoredUnit, Workers, in_flight, worked
from neurogloss.runs.select import select
from neurogloss.runs.sweep import Summary, Sweeps
from neurogloss.scorers import floors
from neurogloss.settings import LabelSettings, make
from neurogloss.sources.cache import Cache
from neurogloss.store.index import Index
from neurogloss.store.ledger import Ledger
from neurogloss.tasks import wait

POOL = 1000
"""Explanations at most from which floors are drawn, so that memory does not grow with the run."""


def score(
    run: str | Path,
    method: str | None = None,
    settings: LabelSettings | None = None,
    *,
    own_scorers: Sequence[Scorer] = (),
    engine: str = "local",
    progress: Progress | None = None,
    **values: Unpack[LabelKeywords],
) -> Summary:
    """Score the explanations of a method by scorers that they have no scores of yet.

    Args:
        method: by default the newest. Imported explanations are methods of their own.
        settings, own_scorers, engine: as `neurogloss.label`; settings about explaining decide nothing here.

    Returns:
        The units by state: accepted where some score, new or old, lies above its floor.

    Raises:
        UserError: what the user can mend. What was scored before is kept.
    """
    scored = partial(score_async, run, method, settings, own_scorers=own_scorers, engine=engine)
    return wait(partial(scored, progress=progress, **values))


async def score_async(
    run: str | Path,
    method: str | None = None,
    settings: LabelSettings | None = None,
    *,
    own_scorers: Sequence[Scorer] = (),
    engine: str = "local",
    progress: Progress | None = None,
    **values: Unpack[LabelKeywords],
) -> Summary:
    """As `score`, awaited."""
    folder, progress = RunFolder(Path(run)).require(), progress or Quiet()
    settings = make(LabelSettings, values, settings)
    cache = Cache(folder.cache)
    models = Models(cache, settings, progress)
    with folder.writing():
        async with AsyncExitStack() as stack:
            chat = await methods.open_chat(stack, settings, folder.answers if settings.stored_answers else None)
            scoring = methods.build_scoring(settings, cache, models, chat, own_scorers)
            cluster = stack.enter_context(elsewhere(engine, folder, own_scorers))
            names = frozenset(scorer.name for scorer in scoring.scorers)
            ledger = stack.enter_context(Ledger(folder.ledger))
            chosen = select(cache, settings.units, settings.min_active, settings.seed)
            sweeps = Sweeps(ledger, _method(ledger, method), settings, chosen, progress)

            def unscored(standing: Standing | None) -> bool:
                return standing is not None and standing.explained and not names <= standing.scorers

            def workers() -> Workers[Label]:
                return unit_workers(sweeps, scoring, models, cluster)

            await sweeps.run("scoring", unscored, sweeps.explained, workers)
            with Index(folder.index, models.embedder) as index:
                index.sync(ledger, progress)
            return sweeps.summary(unscored)


def _method(ledger: Ledger, method: str | None) -> str:
    known = ledger.methods()
    chosen = method or ledger.newest_method()
    if chosen is None or chosen not in known:
        raise UserError(f"Expected a method of this run ({', '.join(known) or 'it has none'}), found {method}.")
    return chosen


def unit_workers(
    sweeps: Sweeps, scoring: methods.Scoring, models: Models, cluster: Elsewhere | None = None
) -> Workers[Label]:
    """Who scores units by themselves: this process, or the cluster."""
    settings, pool = sweeps.settings, floor_pool(sweeps)
    if cluster:
        return cluster.scoring(settings, scoring, pool)
    return Here(UnitScoring(scoring, models, settings, pool), in_flight(settings))


def floor_pool(sweeps: Sweeps) -> list[Explanation]:
    """Explanations of the method to draw floors from: all of them, or POOL drawn by their hash."""
    explained = (label.explanation for label in sweeps.ledger.labels(sweeps.method))
    return heapq.nsmallest(POOL, filter(None, explained), key=lambda e: hash64(sweeps.settings.seed, e.id))


class UnitScoring:
    """Takes one unit's explanation through the score graph."""

    def __init__(
        self, scoring: methods.Scoring, models: Models, settings: LabelSettings, pool: Sequence[Explanation]
    ) -> None:
        """`pool`: explanations from which floors are drawn."""
        self._scoring, self._models, self._settings, self._pool = scoring, models, settings, pool
        self._graph = graph.score_graph(scoring, lambda: models.steered, models.rivals, settings)

    async def __call__(self, label: Label) -> Result:
        unit, explanation, settings = label.unit, label.explanation, self._settings
        assert explanation is not None
        found = self._models.evidence(unit, self._scoring.hard)
        seed = derive_seed(settings.seed, str(unit))
        with recording() as calls:
            try:
                state = await self._graph.ainvoke(
                    {
                        "explanation": explanation,
                        "half": found.score,
                        "tuning_prompts": prompt_texts(found.explain.negatives, settings.prompts),
                        "density": found.statistics.density,
                        "floors": floors.draw(explanation, self._pool, self._scoring.n_floors, seed),
                        "earlier": self._earlier(label.scores),
                    }
                )
            except AnswerError as error:
                return FailedUnit(unit, label.method, State(error.failure), str(error), worked("score", calls))
        return ScoredUnit(
            explanation,
            State(state["state"]),
            state["scores"],
            state["outcomes"],
            state["reason"],
            worked("score", calls),
        )

    def _earlier(self, scores: Sequence[Score]) -> list[Score]:
        """Scores that the explanation has of other scorers."""
        mine = {scorer.name for scorer in self._scoring.scorers}
        return [score for score in scores if score.scorer not in mine]
