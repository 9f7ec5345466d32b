"""Label many units: two sweeps over the ledger, resumable at every unit.

1. Explain: each unit without an explanation goes through the explain graph.
2. Units that failed for transport wait. While some do, nothing is scored: floors ask the explanations of other
   units, and these should not depend on what happened to be reachable.
3. Score: each explained unit goes through the score graph, its floors drawn from all explanations of the method.
4. The index is brought up to date.

A process that is killed loses the units in flight. The next run does exactly those again, and the answer cache
answers what a server had answered of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Unpack

from neurogloss.accounts import Standing
from neurogloss.agent import methods
from neurogloss.agent.models import Models
from neurogloss.folder import RunFolder
from neurogloss.keywords import LabelKeywords
from neurogloss.protocols import Progress, Quiet, Scorer
from neurogloss.records import State
from neurogloss.runs.cluster.connection import LOCAL
from neurogloss.runs.cluster.labelling import open_cluster_stages
from neurogloss.runs.score import score_units
from neurogloss.runs.select import select
from neurogloss.runs.stages import LocalStages, Stages
from neurogloss.runs.sweep import Summary, Sweeps
from neurogloss.settings import LabelSettings, make
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
            stages: Stages = LocalStages(cache, models, settings, method)
            if engine != LOCAL:
                stages = await open_cluster_stages(stack, engine, folder, settings, own_scorers, method)
            ledger = stack.enter_context(Ledger(folder.ledger))
            summary = await label_units(
                Sweeps(ledger, method.id, settings, chosen, progress), method, cache, stages
            )
            with Index(folder.index, models.embedder) as index:
                index.sync(ledger, progress)
            return summary


async def label_units(sweeps: Sweeps, method: methods.Method, cache: Cache, stages: Stages) -> Summary:
    """Both sweeps, as far as they go."""
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
        await score_units(sweeps, unscored, method.scoring.n_floors, stages)
    return sweeps.summary(unexplained, unscored)
