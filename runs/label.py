"""Label many units, or score explanations that exist. Each is a sweep over the ledger, resumable at every unit.

1. Explain: each unit without an explanation goes through the explain graph.
2. Units that failed for transport wait. While any do, nothing is scored: floors use the explanations of other
   units, and must not depend on which of them the server answered.
3. Score: each explained unit goes through the score graph, with floors drawn from all explanations of the method.
4. Update the index.

A killed process loses the units in flight. The next run does exactly those again, and takes from the answer cache
what a server has already answered.
"""

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
from neurogloss.folder import RunFolder
from neurogloss.ids import UnitId, derive_seed, hash64
from neurogloss.keywords import LabelKeywords
from neurogloss.protocols import Progress, Quiet, Scorer
from neurogloss.records import State
from neurogloss.runs.cluster.connection import LOCAL
from neurogloss.runs.cluster.labelling import open_cluster_stages
from neurogloss.runs.select import select
from neurogloss.runs.stages import LocalStages, Result, Stages
from neurogloss.runs.sweep import Summary, Sweeps, Wanted
from neurogloss.scorers import choice
from neurogloss.scorers.judges.pattern import line_of
from neurogloss.settings import LabelSettings, make
from neurogloss.sources.cache import Cache
from neurogloss.store.index import Index
from neurogloss.store.ledger import Ledger
from neurogloss.tasks import wait

POOL = 1000
"""Most explanations that floors are drawn from. Bounds the memory of a large run."""


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
        own_scorers: scorers in addition to those that the settings name.
        engine: `local` is this process, `ray` a Ray cluster, `ray:ADDRESS` the cluster at that address.

    Raises:
        UserError: the user can fix something. What was labelled before is kept.
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
    """`label` as a coroutine."""
    chosen = make(LabelSettings, values, settings)
    return await _sweep(RunFolder(Path(run)), chosen, own_scorers, engine, progress or Quiet(), explains=True)


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
    """Score the explanations of a method by the scorers that have not scored them yet.

    Args:
        method: the newest by default. Imported explanations are methods of their own.
        settings, own_scorers, engine: as in `label`. Settings about explaining have no effect.

    Returns:
        The units by state. A unit is accepted if any score, new or old, is above its floor.

    Raises:
        UserError: the user can fix something. What was scored before is kept.
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
    """`score` as a coroutine."""
    chosen = make(LabelSettings, values, settings)
    return await _sweep(
        RunFolder(Path(run)), chosen, own_scorers, engine, progress or Quiet(), explains=False, scored=method
    )


async def _sweep(
    folder: RunFolder,
    settings: LabelSettings,
    own_scorers: Sequence[Scorer],
    engine: str,
    progress: Progress,
    explains: bool,
    scored: str | None = None,
) -> Summary:
    """Labels the units, or scores the explanations of the method `scored`. Then updates the index."""
    with folder.require().writing():
        cache = Cache(folder.cache)
        units = select(cache, settings.units, settings.min_active, settings.seed)
        models = Models(cache, settings, progress)
        async with AsyncExitStack() as stack:
            if not explains:
                settings = methods.judged_by_patterns(settings, _has_patterns(folder, scored))
            chat = await methods.open_chat(stack, settings, folder.answers if settings.stored_answers else None)
            build = methods.build if explains else methods.build_scoring
            method: methods.Method | methods.Scoring = build(settings, cache, models, chat, own_scorers)
            stages: Stages = LocalStages(cache, models, settings, method)
            if engine != LOCAL:
                stages = await open_cluster_stages(stack, engine, folder, settings, own_scorers, method)
            ledger = stack.enter_context(Ledger(folder.ledger))
            if isinstance(method, methods.Method):
                sweeps = Sweeps(ledger, method.id, settings, units, progress)
                summary = await label_units(sweeps, method, cache, stages)
            else:
                sweeps = Sweeps(ledger, ledger.method(scored), settings, units, progress)
                summary = await _score_stored(sweeps, method, stages)
            with Index(folder.index, models.embedder) as index:
                index.sync(ledger, progress)
            return summary


def _has_patterns(folder: RunFolder, scored: str | None) -> bool:
    """Whether the explanations of the method carry patterns; the first one tells."""
    with Ledger(folder.ledger) as ledger:
        explained = (label.explanation for label in ledger.labels(ledger.method(scored)))
        first = next(filter(None, explained), None)
    return first is not None and line_of(first) != ""


async def label_units(sweeps: Sweeps, method: methods.Method, cache: Cache, stages: Stages) -> Summary:
    """Explains the units, then scores them if none waits for the server."""
    ledger, most = sweeps.ledger, sweeps.settings.max_attempts

    def retried(standing: Standing) -> bool:
        return standing.state is State.TRANSPORT and standing.attempts < most

    def unexplained(standing: Standing | None) -> bool:
        return standing is None or (retried(standing) and not standing.explained)

    def unscored(standing: Standing | None) -> bool:
        if standing is None:
            return False
        return standing.state is State.EXPLAINED or (retried(standing) and standing.explained)

    ledger.add_method(method.id, method.settings)
    for page in sweeps.pages():
        ledger.add_units((unit, cache.statistics(unit)) for unit in ledger.unknown(page))
    await sweeps.run("explaining", unexplained, stages.explain, stages.in_flight)
    if not any(sweeps.pending(unexplained)):
        await _score_units(sweeps, unscored, method.scoring.n_floors, stages)
    return sweeps.summary(unexplained, unscored)


async def _score_stored(sweeps: Sweeps, scoring: methods.Scoring, stages: Stages) -> Summary:
    names = frozenset(scorer.name for scorer in scoring.scorers)

    def unscored(standing: Standing | None) -> bool:
        return standing is not None and standing.explained and not names <= standing.scorers

    await _score_units(sweeps, unscored, scoring.n_floors, stages)
    return sweeps.summary(unscored)


async def _score_units(sweeps: Sweeps, wanted: Wanted, n_floors: int, stages: Stages) -> None:
    """Scores the wanted units. Draws floors from the method's explanations: all, or POOL of them by hash."""
    seed = sweeps.settings.seed
    explained = (label.explanation for label in sweeps.ledger.labels(sweeps.method))
    pool = heapq.nsmallest(POOL, filter(None, explained), key=lambda e: hash64(seed, e.id))

    async def work(unit: UnitId) -> Result:
        label = sweeps.ledger.label(unit, sweeps.method)
        assert label is not None and label.explanation is not None
        drawn = choice.draw(label.explanation, pool, n_floors, derive_seed(seed, str(unit)))
        return await stages.score(label, drawn)

    await sweeps.run("scoring", wanted, work, stages.in_flight)
