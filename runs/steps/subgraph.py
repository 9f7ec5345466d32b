"""Labelling as a LangGraph graph that another graph can have as a node.

START ─► explain ─► score ─► END
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, TypedDict

from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from neurogloss.records import Evidence, Explanation, Label, State
from neurogloss.runs.contexts import ContextSettings, Labeller, open_labeller
from neurogloss.runs.steps.evidence import Text, UnitName
from neurogloss.runs.steps.record import given, plain
from neurogloss.settings import make
from neurogloss.tasks import wait


class LabelInput(TypedDict, total=False):
    """What the outer graph's state has to hold, as `label_contexts` takes it; `unit` may be left out."""

    texts: Sequence[Text]
    activations: Sequence[float] | Sequence[Sequence[float]]
    unit: UnitName


class LabelOutput(TypedDict, total=False):
    """What the outer graph's state gets."""

    label: dict[str, Any]
    """Text and numbers, as `label_row` gives them."""


class LabelState(LabelInput, LabelOutput):
    """Plain values all: a checkpointer of the outer graph can keep them."""


def label_subgraph(**values: Any) -> CompiledStateGraph[LabelState, None, LabelInput, LabelOutput]:
    """Compiled graph from a LabelInput to a LabelOutput: `outer.add_node("label", label_subgraph())`.

    It can be invoked and awaited, and streams the label twice: explained, then scored. An outer graph with a
    checkpointer that broke off between the two goes on with the second.

    Args:
        values: settings by name, see `ContextSettings`.

    Raises:
        UserError: settings that do not fit; when it runs, as `label_contexts`.
    """
    settings = make(ContextSettings, values)

    async def explain(state: LabelState) -> LabelOutput:
        evidence = given(state, settings)
        async with open_labeller(settings) as labeller:
            return _output(await labeller.explain(evidence, labeller.judge(evidence)), labeller)

    async def score(state: LabelState) -> LabelOutput:
        evidence = given(state, settings)
        label = _explained(state["label"], evidence)
        async with open_labeller(settings) as labeller:
            return _output(await labeller.score(evidence, label, labeller.judge(evidence)), labeller)

    graph = StateGraph(LabelState, input_schema=LabelInput, output_schema=LabelOutput)
    graph.add_node("explain", _node(explain))
    graph.add_node("score", _node(score))
    graph.add_edge(START, "explain")
    graph.add_conditional_edges("explain", _next, ["score", END])
    graph.add_edge("score", END)
    return graph.compile(name="label")


def _node(
    work: Callable[[LabelState], Coroutine[Any, Any, LabelOutput]],
) -> RunnableLambda[LabelState, LabelOutput]:
    return RunnableLambda(lambda state: wait(partial(work, state)), afunc=work)


def _next(state: LabelState) -> str:
    return "score" if state["label"]["state"] == State.EXPLAINED else END


def _output(label: Label, labeller: Labeller) -> LabelOutput:
    return {"label": {"unit": str(label.unit), **plain(label, labeller.scorers)}}


def _explained(label: Mapping[str, Any], evidence: Evidence) -> Label:
    """As it was when `explain` put it into the state."""
    explanation = Explanation(evidence.unit, label["explanation"], label["method"])
    return Label(evidence.unit, label["method"], State.EXPLAINED, explanation=explanation)
