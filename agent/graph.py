"""The two graphs of a unit's life, in LangGraph: one that explains, one that scores.

They are two because a floor asks the explanations of other units, which have to be there first, and because the
explainer must not see the score half: a graph sees only what it is given. `docs/design/agent.md` draws both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Send

from neurogloss.agent.methods import Scoring
from neurogloss.agent.nodes.explain import Explain, Gather, Settle
from neurogloss.agent.nodes.score import Prepare, Score, Steered, Verdict
from neurogloss.agent.nodes.screen import Screen
from neurogloss.agent.state import (
    Effort,
    Explained,
    ExplainInput,
    ExplainState,
    Found,
    Routing,
    Scored,
    ScoreInput,
    ScorerState,
    ScoreState,
    Step,
)
from neurogloss.engines.usage import recording
from neurogloss.ids import UnitId
from neurogloss.protocols import Explainer, Judge
from neurogloss.settings import LabelSettings

ExplainGraph = CompiledStateGraph[ExplainState, None, ExplainInput, Explained]
ScoreGraph = CompiledStateGraph[ScoreState, None, ScoreInput, Scored]


class Node(Protocol):
    """From the state to what the node adds to it."""

    async def __call__(self, state: ExplainState) -> Found: ...


def explain_graph(
    explainer: Explainer, judge: Judge, method: str, min_active: int, seed: int, effort: Effort | None = None
) -> ExplainGraph:
    """Compiles the graph that explains units: gather, explain, screen, rounds while the effort lasts, settle."""
    effort = effort or Effort()
    rounds = bool(effort.rounds)
    whole = bool(getattr(explainer, "validates", False))

    def to_explain(state: Routing) -> str:
        return END if "setback" in state else "explain"

    def to_screen(state: Routing) -> str:
        return END if "setback" in state else "screen"

    def to_round(state: Routing) -> str:
        if "setback" in state:
            return END
        return "settle" if effort.over(state) else effort.rounds[state["rounds"]]

    graph = StateGraph(ExplainState, input_schema=ExplainInput, output_schema=Explained)
    graph.add_node("gather", traced("gather", Gather(min_active, rounds, seed, whole)))
    graph.add_node("explain", traced("explain", Explain(explainer)))
    graph.add_node("screen", traced("screen", Screen(judge, effort.first, alone=rounds)))
    graph.add_node("settle", traced("settle", Settle(explainer, method, effort)))
    graph.add_edge(START, "gather")
    graph.add_conditional_edges("gather", to_explain, ["explain", END])
    graph.add_conditional_edges("explain", to_screen, ["screen", END])
    graph.add_conditional_edges("screen", to_round, ["settle", *effort.nodes, END])
    for name, node in effort.nodes.items():
        graph.add_node(name, traced(name, node))
        graph.add_conditional_edges(name, to_screen, ["screen", END])
    graph.add_edge("settle", END)
    # No checkpoints, whatever graph this one runs in: the ledger says what is done.
    return graph.compile(checkpointer=False)


def traced(name: str, node: Node) -> Node:
    """Wraps a node so that each pass adds a step to the trace: its facts, and the requests that it made."""

    async def run(state: ExplainState) -> Found:
        with recording() as calls:
            found = await node(state)
        facts = dict(found.get("facts", {}))
        if "setback" in found:
            facts["setback"] = f"{found['setback'].failure}: {found['setback'].reason}"
        return {**found, "trace": [Step(name, facts, tuple(calls))]}

    return run


def score_graph(
    scoring: Scoring,
    subject: Callable[[], Steered],
    rivals: Callable[[UnitId], Sequence[UnitId]],
    settings: LabelSettings,
) -> ScoreGraph:
    """Compiles the graph that scores explanations: prepare, each scorer in a task of its own, verdict."""

    def to_scorers(state: ScoreState) -> list[Send]:
        sent = [
            ScorerState(
                scorer=scorer,
                explanation=state["explanation"],
                held_out=state["held_out"],
                density=state["density"],
                floors=state["floors"],
                effect=state["effect"],
            )
            for scorer in scoring.scorers
        ]
        return [Send("score", each) for each in sent]

    graph = StateGraph(ScoreState, input_schema=ScoreInput, output_schema=Scored)
    graph.add_node("prepare", Prepare(scoring.scorers, subject, settings.prompts, settings.seed, rivals))
    graph.add_node(
        "score",
        Score(scoring.judge, scoring.instruments, scoring.stop, scoring.patterns),
        input_schema=ScorerState,
    )
    graph.add_node("verdict", Verdict(settings.alpha))
    graph.add_edge(START, "prepare")
    graph.add_conditional_edges("prepare", to_scorers, ["score"])
    graph.add_edge("score", "verdict")
    graph.add_edge("verdict", END)
    return graph.compile(checkpointer=False)
