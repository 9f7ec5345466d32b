"""Score explanations that are there, a method's or imported ones, by scorers that they have no scores of yet."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Unpack

from neurogloss.accounts import Standing
from neurogloss.agent import methods
from neurogloss.agent.models import Models
from neurogloss.errors import UserError
from neurogloss.folder import RunFolder
from neurogloss.ids import UnitId, derive_seed, hash64
from neurogloss.keywords import LabelKeywords
from neurogloss.protocols import Progress, Quiet, Scorer
from neurogloss.runs.cluster.connection import LOCAL
from neurogloss.runs.cluster.labelling import open_cluster_stages
from neurogloss.runs.select import select
from neurogloss.runs.stages import LocalStages, Result, Stages
from neurogloss.runs.sweep import Summary, Sweeps, Wanted
from neurogloss.scorers import choice
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
            stages: Stages = LocalStages(cache, models, settings, scoring)
            if engine != LOCAL:
                stages = await open_cluster_stages(stack, engine, folder, settings, own_scorers, scoring)
            names = frozenset(scorer.name for scorer in scoring.scorers)
            ledger = stack.enter_context(Ledger(folder.ledger))
            chosen = select(cache, settings.units, settings.min_active, settings.seed)
            sweeps = Sweeps(ledger, _method(ledger, method), settings, chosen, progress)

            def unscored(standing: Standing | None) -> bool:
                return standing is not None and standing.explained and not names <= standing.scorers

            await score_units(sweeps, unscored, scoring.n_floors, stages)
            with Index(folder.index, models.embedder) as index:
                index.sync(ledger, progress)
            return sweeps.summary(unscored)


def _method(ledger: Ledger, method: str | None) -> str:
    known = ledger.methods()
    chosen = method or ledger.newest_method()
    if chosen is None or chosen not in known:
        raise UserError(f"Expected a method of this run ({', '.join(known) or 'it has none'}), found {method}.")
    return chosen


async def score_units(sweeps: Sweeps, wanted: Wanted, n_floors: int, stages: Stages) -> None:
    """Scores the units as wanted. Their floors are drawn from the method's explanations: all, or POOL by hash."""
    seed = sweeps.settings.seed
    explained = (label.explanation for label in sweeps.ledger.labels(sweeps.method))
    pool = heapq.nsmallest(POOL, filter(None, explained), key=lambda e: hash64(seed, e.id))

    async def work(unit: UnitId) -> Result:
        label = sweeps.explained(unit)
        assert label.explanation is not None
        return await stages.score(
            label, choice.draw(label.explanation, pool, n_floors, derive_seed(seed, str(unit)))
        )

    await sweeps.run("scoring", wanted, work, stages.in_flight)
