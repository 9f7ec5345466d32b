"""The two graphs of a unit's life, in LangGraph: one that explains, one that scores.

    explain:   gather ─► explain ─► screen ─► (ranked explanations)
                  └──────────┴── a setback ends it

    score:     prepare ─► [detection ∥ fuzzing ∥ intervention ∥ …] ─► verdict

They are two because a floor asks the explanations of other units, which have to be there first, and because
what explains must not see the score half: a graph sees only what it is given. `docs/design/two-graphs.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from neurogloss.agent.nodes.explain import Explain
from neurogloss.agent.nodes.gather import Gather
from neurogloss.agent.nodes.prepare import Prepare
from neurogloss.agent.nodes.score import Score
from neurogloss.agent.nodes.screen import Screen
from neurogloss.agent.nodes.verdict import Verdict
from neurogloss.agent.state import ExplainState, ScoreState, Scoring
from neurogloss.protocols import Explainer, Judge, LiveSubject, Scorer


def explain_graph(explainer: Explainer, judge: Judge, method: str, min_active: int, seed: int) -> Any:
    """Compiled graph from an ExplainState with unit, statistics, half and output tokens."""
    graph = StateGraph(ExplainState)
    graph.add_node("gather", Gather(min_active, seed))
    graph.add_node("explain", Explain(explainer))
    graph.add_node("screen", Screen(judge, explainer, method))
    graph.add_edge(START, "gather")
    graph.add_conditional_edges("gather", _unless_setback("explain"), ["explain", END])
    graph.add_conditional_edges("explain", _unless_setback("screen"), ["screen", END])
    graph.add_edge("screen", END)
    return graph.compile()


def score_graph(
    scorers: Sequence[Scorer],
    judge: Judge,
    subject: Callable[[], LiveSubject],
    n_prompts: int,
    alpha: float,
    seed: int,
) -> Any:
    """Compiled graph from a ScoreState with explanation, half, tuning prompts, density and floors."""

    def each_scorer(state: ScoreState) -> list[Send]:
        return [
            Send(
                "score",
                Scoring(
                    scorer=scorer,
                    explanation=state["explanation"],
                    held_out=state["held_out"],
                    density=state["density"],
                    floors=state["floors"],
                    effect=state["effect"] if scorer.needs_subject else {},
                ),
            )
            for scorer in scorers
        ]

    graph = StateGraph(ScoreState)
    graph.add_node("prepare", Prepare(scorers, subject, n_prompts, seed))
    graph.add_node("score", Score(judge), input_schema=Scoring)
    graph.add_node("verdict", Verdict(alpha))
    graph.add_edge(START, "prepare")
    graph.add_conditional_edges("prepare", each_scorer, ["score"])
    graph.add_edge("score", "verdict")
    graph.add_edge("verdict", END)
    return graph.compile()


def _unless_setback(following: str) -> Callable[[ExplainState], str]:
    return lambda state: END if "setback" in state else following
