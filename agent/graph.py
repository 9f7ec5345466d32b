"""The two graphs of a unit's life, in LangGraph: one that explains, one that scores.

    explain:   gather ─► explain ─► screen ─► settle ─► (ranked explanations)
                  │         │         │ ▲
                  │         │         ▼ │  rounds: refine or experiment, while the budget lasts
                  └─────────┴── a setback ends it

    score:     prepare ─► [detection ∥ fuzzing ∥ intervention ∥ …] ─► verdict

They are two because a floor asks the explanations of other units, which have to be there first, and because
what explains must not see the score half: a graph sees only what it is given. `docs/design/two-graphs.md`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from neurogloss.agent.effort import Effort
from neurogloss.agent.nodes.explain import Explain
from neurogloss.agent.nodes.gather import Gather
from neurogloss.agent.nodes.prepare import Prepare
from neurogloss.agent.nodes.score import Score
from neurogloss.agent.nodes.screen import Screen
from neurogloss.agent.nodes.settle import Settle
from neurogloss.agent.nodes.verdict import Verdict
from neurogloss.agent.state import ExplainState, ScorerState, ScoreState
from neurogloss.agent.tools import Scoring
from neurogloss.agent.trace import Node, traced
from neurogloss.ids import UnitId
from neurogloss.protocols import Explainer, Judge, LiveSubject
from neurogloss.settings import LabelSettings


def explain_graph(
    explainer: Explainer, judge: Judge, method: str, min_active: int, seed: int, effort: Effort | None = None
) -> Any:
    """Compiled graph from an ExplainState with unit, statistics, half, score_active and output tokens.

    `calls` and `deadline` are given where there is a budget or a trace to keep.
    """
    effort = effort or Effort()
    steps: dict[str, Node] = {
        "gather": Gather(min_active, bool(effort.rounds), seed),
        "explain": Explain(explainer),
        "screen": Screen(judge, effort.first, alone=bool(effort.rounds)),
        "settle": Settle(explainer, method, effort),
        **effort.nodes,
    }
    graph = StateGraph(ExplainState)
    for name, node in steps.items():
        graph.add_node(name, traced(name, node))

    async def after_screening(state: ExplainState) -> str:
        if "setback" in state:
            return END
        return "settle" if effort.over(state) else effort.rounds[state["rounds"]]

    async def after_round(state: ExplainState) -> str:
        return "screen" if "setback" not in state and state["candidates"] else await after_screening(state)

    anywhere = ["screen", "settle", *effort.nodes, END]
    graph.add_edge(START, "gather")
    graph.add_conditional_edges("gather", _unless_setback("explain"), ["explain", END])
    graph.add_conditional_edges("explain", _unless_setback("screen"), ["screen", END])
    graph.add_conditional_edges("screen", after_screening, anywhere)
    for name in effort.nodes:
        graph.add_conditional_edges(name, after_round, anywhere)
    graph.add_edge("settle", END)
    # No checkpoints, whatever graph this one runs in: the ledger says what is done.
    return graph.compile(checkpointer=False)


def score_graph(
    scoring: Scoring,
    subject: Callable[[], LiveSubject],
    rivals: Callable[[UnitId], Sequence[UnitId]],
    settings: LabelSettings,
) -> Any:
    """Compiled graph from a ScoreState with explanation, half, tuning prompts, density and floors."""

    async def each_scorer(state: ScoreState) -> list[Send]:
        return [
            Send(
                "score",
                ScorerState(
                    scorer=scorer,
                    explanation=state["explanation"],
                    held_out=state["held_out"],
                    density=state["density"],
                    floors=state["floors"],
                    effect=state["effect"],
                ),
            )
            for scorer in scoring.scorers
        ]

    graph = StateGraph(ScoreState)
    graph.add_node("prepare", Prepare(scoring.scorers, subject, settings.prompts, settings.seed, rivals))
    graph.add_node("score", Score(scoring.judge, scoring.instruments), input_schema=ScorerState)
    graph.add_node("verdict", Verdict(settings.alpha))
    graph.add_edge(START, "prepare")
    graph.add_conditional_edges("prepare", each_scorer, ["score"])
    graph.add_edge("score", "verdict")
    graph.add_edge("verdict", END)
    return graph.compile(checkpointer=False)


def _unless_setback(following: str) -> Callable[[ExplainState], Awaitable[str]]:
    # LangGraph runs what is no coroutine in a thread, edges too.
    async def route(state: ExplainState) -> str:
        return END if "setback" in state else following

    return route
