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

from collections.abc import Callable, Sequence
from typing import Any, cast

from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send

from neurogloss.agent.effort import Effort
from neurogloss.agent.methods import Scoring
from neurogloss.agent.nodes.explain import Explain
from neurogloss.agent.nodes.gather import Gather
from neurogloss.agent.nodes.prepare import Prepare, Steered
from neurogloss.agent.nodes.score import Score
from neurogloss.agent.nodes.screen import Screen
from neurogloss.agent.nodes.settle import Settle
from neurogloss.agent.nodes.verdict import Verdict
from neurogloss.agent.state import Explained, ExplainState, Scored, ScorerState, ScoreState
from neurogloss.agent.trace import Node, traced
from neurogloss.ids import UnitId
from neurogloss.protocols import Explainer, Judge
from neurogloss.settings import LabelSettings


def explain_graph(
    explainer: Explainer, judge: Judge, method: str, min_active: int, seed: int, effort: Effort | None = None
) -> Any:
    """Compiled graph from an ExplainState with unit, statistics, half, score_active and output tokens.

    `calls` and `deadline` are given where there is a budget or a trace to keep.
    """
    effort = effort or Effort()

    def after_screening(state: ExplainState) -> str:
        return "settle" if effort.over(state) else effort.rounds[state["rounds"]]

    def after_round(state: ExplainState) -> str:
        return "screen" if state["candidates"] else after_screening(state)

    graph = StateGraph(ExplainState, output_schema=Explained)

    def add(name: str, node: Node, following: Callable[[ExplainState], str], *ways: str) -> None:
        """A node that says itself where to go on: an edge that asks costs about as much as a node."""
        step = traced(name, node)

        async def run(state: ExplainState) -> Command[str]:
            found = await step(state)
            goto = END if "setback" in found else following(cast(ExplainState, {**state, **found}))
            return Command(update=found, goto=goto)

        graph.add_node(name, run, destinations=(*ways, END))

    screen = Screen(judge, effort.first, alone=bool(effort.rounds))
    add("gather", Gather(min_active, bool(effort.rounds), seed), lambda state: "explain", "explain")
    add("explain", Explain(explainer), lambda state: "screen", "screen")
    add("screen", screen, after_screening, "settle", *effort.nodes)
    for name, node in effort.nodes.items():
        add(name, node, after_round, "screen", "settle", *effort.nodes)
    graph.add_node("settle", traced("settle", Settle(explainer, method, effort)))
    graph.add_edge(START, "gather")
    graph.add_edge("settle", END)
    # No checkpoints, whatever graph this one runs in: the ledger says what is done.
    return graph.compile(checkpointer=False)


def score_graph(
    scoring: Scoring,
    subject: Callable[[], Steered],
    rivals: Callable[[UnitId], Sequence[UnitId]],
    settings: LabelSettings,
) -> Any:
    """Compiled graph from a ScoreState with explanation, half, tuning prompts, density and floors."""

    prepare = Prepare(scoring.scorers, subject, settings.prompts, settings.seed, rivals)

    async def fan_out(state: ScoreState) -> Command[str]:
        found = await prepare(state)
        sent = [
            ScorerState(
                scorer=scorer,
                explanation=state["explanation"],
                held_out=found["held_out"],
                density=state["density"],
                floors=state["floors"],
                effect=found["effect"],
            )
            for scorer in scoring.scorers
        ]
        return Command(goto=[Send("score", each) for each in sent])

    graph = StateGraph(ScoreState, output_schema=Scored)
    graph.add_node("prepare", fan_out, destinations=("score",))
    graph.add_node("score", Score(scoring.judge, scoring.instruments, scoring.stop), input_schema=ScorerState)
    graph.add_node("verdict", Verdict(settings.alpha))
    graph.add_edge(START, "prepare")
    graph.add_edge("score", "verdict")
    graph.add_edge("verdict", END)
    return graph.compile(checkpointer=False)
