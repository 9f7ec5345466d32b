"""The two stages of labelling one unit, explain and score: evidence in, a result for the ledger out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from langchain_core.runnables.config import RunnableConfig, ensure_config, set_config_context

from neurogloss.accounts import Usage, Work
from neurogloss.agent.graph import ExplainGraph, ScoreGraph, explain_graph, score_graph
from neurogloss.agent.methods import Method, Scoring
from neurogloss.agent.models import Models
from neurogloss.agent.state import ExplainInput, ScoreInput, pack
from neurogloss.engines.usage import Call, recording
from neurogloss.errors import AnswerError
from neurogloss.ids import UnitId
from neurogloss.records import Evidence, Explanation, Label, Outcome, State
from neurogloss.scorers.choice import Floor, prompt_texts
from neurogloss.settings import LabelSettings
from neurogloss.sources.brain.voxels import shortfalls
from neurogloss.sources.cache import Cache


@dataclass(frozen=True, slots=True)
class Result:
    """What one stage made of one unit: everything that the ledger keeps of it. Can be pickled."""

    label: Label
    """Its scores are those of this stage alone."""
    work: Work
    others: Sequence[Explanation] = ()
    """Candidates that lost."""
    outcomes: Sequence[Outcome] = ()
    """The questions and answers behind the scores."""


class Stages(Protocol):
    """Computes single units, in this process or elsewhere."""

    @property
    def in_flight(self) -> int:
        """Units that it works on at a time."""
        ...

    async def explain(self, unit: UnitId) -> Result: ...

    async def score(self, label: Label, floors: Sequence[Floor]) -> Result: ...


class LocalStages:
    """Stages in this process, over a run's cache."""

    def __init__(self, cache: Cache, models: Models, settings: LabelSettings, method: Method | Scoring) -> None:
        """`method`: its scoring alone if nothing is to be explained."""
        self._models, self._settings, self._shortfall = models, settings, shortfalls(cache)
        self._method = method if isinstance(method, Method) else None
        self._scoring = method.scoring if isinstance(method, Method) else method
        self._score = score_graph(self._scoring, lambda: models.steered, models.rivals, settings)
        self._explain: ExplainGraph | None = None
        if self._method:
            explainer, judge, effort = self._method.explainer, self._scoring.judge, self._method.effort
            self._explain = explain_graph(
                explainer, judge, self._method.id, settings.min_active, settings.seed, effort
            )
        # Models in this process answer one at a time: only a server has use for several units.
        self.in_flight = settings.concurrency if settings.llm else 1

    async def explain(self, unit: UnitId) -> Result:
        assert self._explain is not None and self._method is not None
        evidence, shortfall = self._models.evidence(unit, self._method.hard), self._shortfall(unit)
        return await explain_unit(self._explain, evidence, self._method.id, shortfall, trace=self._settings.trace)

    async def score(self, label: Label, floors: Sequence[Floor]) -> Result:
        evidence = self._models.evidence(label.unit, self._scoring.hard)
        tuning = prompt_texts(evidence.explain.negatives, self._settings.prompts)
        return await score_unit(self._score, label, evidence, floors, tuning)


async def explain_unit(
    graph: ExplainGraph, evidence: Evidence, method: str, shortfall: str = "", *, trace: bool = False
) -> Result:
    """Explains a unit. The label's state is `explained`, or a failure with its reason.

    Args:
        method: name that the label gets.
        shortfall: why the unit must not be explained, if something speaks against it.
        trace: whether the result keeps what was asked and answered.
    """
    unit = evidence.unit
    state = await _run(
        graph,
        ExplainInput(
            unit=unit,
            statistics=evidence.statistics,
            half=evidence.explain,
            score_active=len(evidence.score.uniform),
            output_tokens=evidence.output_tokens,
            shortfall=shortfall,
        ),
    )
    calls = [call for step in state["trace"] for call in step.calls]
    work = Work("explain", _cost(calls), pack(state["trace"]) if trace else None)
    if "setback" in state:
        return Result(Label(unit, method, State(state["setback"].failure), state["setback"].reason), work)
    chosen, *others = state["explanations"]
    return Result(Label(unit, method, State.EXPLAINED, explanation=chosen), work, others)


async def score_unit(
    graph: ScoreGraph, label: Label, evidence: Evidence, floors: Sequence[Floor], tuning: Sequence[str] = ()
) -> Result:
    """Scores an explained label. Its state becomes the verdict, or a failure with its reason and no scores.

    Args:
        tuning: texts of the explain half, on which the strength of an intervention is set.
    """
    assert label.explanation is not None
    given = ScoreInput(
        explanation=label.explanation,
        half=evidence.score,
        tuning_prompts=tuple(tuning),
        density=evidence.statistics.density,
        floors=list(floors),
        earlier=label.scores,
    )
    with recording() as calls:
        try:
            state = await _run(graph, given)
        except AnswerError as error:
            failed = replace(label, state=State(error.failure), reason=str(error), scores=())
            return Result(failed, Work("score", _cost(calls)))
    scored = replace(label, state=state["state"], reason=state["reason"], scores=tuple(state["scores"]))
    return Result(scored, Work("score", _cost(calls)), outcomes=state["outcomes"])


async def _run(graph: ExplainGraph | ScoreGraph, state: ExplainInput | ScoreInput) -> Mapping[str, Any]:
    """Invokes a graph by itself, also inside a node of a user's own graph.

    As its subgraph it would stream whole records to its callers. Callbacks, tags and metadata are passed on.
    """
    outer = ensure_config()
    config = RunnableConfig(callbacks=outer["callbacks"], tags=outer["tags"], metadata=outer["metadata"])
    with set_config_context(config) as context:
        found: Mapping[str, Any] = await asyncio.create_task(graph.ainvoke(state), context=context)  # type: ignore[arg-type]
    return found


def _cost(calls: Sequence[Call]) -> Usage:
    return sum((call.usage for call in calls), Usage())
