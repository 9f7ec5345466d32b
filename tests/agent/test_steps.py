"""Labelling as a step of other pipelines: `label_rows` and `label_contexts` in a table, a chain and a graph."""

from __future__ import annotations

import asyncio
import json
import math
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypedDict

import numpy as np
import pandas as pd
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import Runnable, RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

import neurogloss as ng
from neurogloss.errors import UserError

WORDS = {"colours": ("purple", "orange"), "sizes": ("large", "little")}
TEXTS = [
    f"she saw {word} {thing} in town"
    for words in WORDS.values()
    for word in words
    for thing in "coats boats doors kites lamps bags hats plates chairs rugs".split()
]
SCORES = [f"detection_{name}" for name in ("score", "low", "high", "floor", "p")]
COLUMNS = ["unit", "state", "reason", "explanation", "method", *SCORES]


def measured(detector: str) -> list[list[float]]:
    """1 at each of the detector's words; an unknown detector is silent."""
    return [[float(word in WORDS.get(detector, ())) for word in text.split()] for text in TEXTS]


def given(detector: str) -> dict[str, Any]:
    return {"texts": TEXTS, "activations": measured(detector), "unit": f"toy/{detector}/detector/0"}


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., str]:
    def write(*rules: dict[str, Any]) -> str:
        usual = {"match": "Passages:", "marks": 2}, {"match": "exts:|Pairs:", "words": "explanation"}
        path = tmp_path / "rules.jsonl"
        path.write_text("".join(json.dumps(rule) + "\n" for rule in (*rules, *usual)), encoding="utf-8")
        return f"scripted:{path}"

    return write


@pytest.fixture
def settings(script: Callable[..., str]) -> dict[str, Any]:
    """An LLM that is a script, and one scorer."""
    return {"llm": script(), "scorers": ["detection"]}


@pytest.fixture
def expected(settings: dict[str, Any]) -> list[ng.Label]:
    """The labels of both detectors, each asked for by itself."""
    labels = [ng.label_contexts(**given(detector), **settings) for detector in WORDS]
    assert [label.state for label in labels] == [ng.State.ACCEPTED] * 2
    return labels


def as_row(label: ng.Label) -> dict[str, Any]:
    (score,) = label.scores
    assert label.explanation is not None
    numbers = (score.score.value, score.score.low, score.score.high, score.floor.value, score.p_value)
    texts = (str(label.unit), str(label.state), label.reason, label.explanation.text, label.method)
    return dict(zip(COLUMNS, (*texts, *numbers), strict=True))


# --- rows -----------------------------------------------------------------------------------------


def test_rows_are_labelled_as_one_by_one(settings: dict[str, Any], expected: list[ng.Label]) -> None:
    rows = [{**given(detector), "more": 1} for detector in WORDS]
    assert ng.label_rows(rows, **settings) == [as_row(label) for label in expected]
    assert ng.label_rows([], **settings) == []


def test_the_columns_of_a_row_depend_on_the_scorers_alone(settings: dict[str, Any]) -> None:
    dead, alive = ng.label_rows([given("nothing"), given("sizes")], **settings)
    assert list(dead) == list(alive) == COLUMNS
    assert dead["state"] == "dead" and dead["reason"] and dead["explanation"] == ""
    assert all(math.isnan(dead[name]) for name in SCORES)
    alike = {**settings, "scorers": ["neurogloss.scorers.detection:Detection"]}
    assert ng.label_rows([given("sizes")], **alike) == [alive]


def test_rows_are_in_flight_together(script: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"texts": TEXTS, "activations": measured("sizes")}] * 6
    running, most = 0, 0

    async def label(evidence: Any, *_: Any) -> ng.Label:
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        await asyncio.sleep(0.01)
        running -= 1
        return ng.Label(evidence.unit, "m", ng.State.EMPTY)

    monkeypatch.setattr("neurogloss.runs.contexts.label_unit", label)
    assert [row["state"] for row in ng.label_rows(rows, llm=script(), concurrency=3)] == ["empty"] * 6
    assert most == 3


def test_a_row_that_does_not_fit_is_named() -> None:
    with pytest.raises(UserError, match="treshold"):
        ng.label_rows([], treshold=1.0)  # type: ignore[call-arg,unused-ignore]
    with pytest.raises(UserError, match="Expected rows with texts and activations; found texts, unit"):
        ng.label_rows([{"texts": TEXTS, "unit": 1}])
    wrong: Any = ["texts"]
    with pytest.raises(UserError, match="Expected rows with texts and activations; found 'texts'"):
        ng.label_rows(wrong)
    with pytest.raises(UserError, match="Unit 3: Text 0 has 2 words and 1 activations"):
        ng.label_rows([{"texts": ["a b"], "activations": [[1.0]], "unit": 3}])


@pytest.mark.parametrize("way", ["all at once", "map", "numpy"])
def test_rows_of_a_data_set(settings: dict[str, Any], expected: list[ng.Label], way: str) -> None:
    from datasets import Dataset

    # The first row is of a dead unit: what it lacks does not decide the types of the columns.
    dataset = Dataset.from_list([given(detector) for detector in ("nothing", *WORDS)])
    if way == "all at once":
        labelled = Dataset.from_list(ng.label_rows(dataset, **settings))
    else:
        dataset = dataset.with_format("numpy") if way == "numpy" else dataset
        labelled = dataset.map(lambda row: ng.label_rows([row], **settings)[0], writer_batch_size=1)
    dead, *rows = labelled.with_format(None).select_columns(COLUMNS)
    assert rows == [as_row(label) for label in expected]
    assert dead["state"] == "dead" and all(math.isnan(dead[name]) for name in SCORES)


def test_rows_of_a_data_frame(settings: dict[str, Any]) -> None:
    peaks = [np.max(measured(detector), axis=1) for detector in WORDS]
    frame = pd.DataFrame({"unit": [9] * 40 + [3] * 40, "text": TEXTS * 2, "activation": np.concatenate(peaks)})
    units = frame.groupby("unit", sort=False).agg(texts=("text", list), activations=("activation", list))
    labels = pd.DataFrame(ng.label_rows(units.reset_index().to_dict("records"), **settings))
    alone = [ng.label_contexts(TEXTS, values, unit=i, **settings) for i, values in zip((9, 3), peaks, strict=True)]
    assert labels.to_dict("records") == [as_row(label) for label in alone]


# --- LangChain ------------------------------------------------------------------------------------


def runnable(**settings: Any) -> Runnable[dict[str, Any], ng.Label]:
    return RunnableLambda(
        lambda value: ng.label_contexts(**value, **settings),
        afunc=lambda value: ng.label_contexts_async(**value, **settings),
        name="label",
    )


def test_a_step_of_a_chain_gives_the_label_in_each_way_of_calling(
    settings: dict[str, Any], expected: list[ng.Label]
) -> None:
    step, inputs = runnable(**settings), [given(detector) for detector in WORDS]
    limit: Any = {"max_concurrency": 2}
    assert repr([step.invoke(value) for value in inputs]) == repr(expected)
    assert repr(step.batch(inputs, limit)) == repr(expected)

    async def awaited() -> list[ng.Label]:
        assert repr([await step.ainvoke(value) for value in inputs]) == repr(expected)
        return await step.abatch(inputs, limit)

    assert repr(asyncio.run(awaited())) == repr(expected)


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_callbacks_tags_and_metadata_reach_what_runs_inside(settings: dict[str, Any], way: str) -> None:
    seen: list[tuple[str, bool, Any]] = []

    class Handler(BaseCallbackHandler):
        def on_chain_start(self, serialized: Any, inputs: Any, **more: Any) -> None:
            seen.append((more["name"], "mine" in more["tags"], more["metadata"].get("who")))

    config: Any = {"callbacks": [Handler()], "tags": ["mine"], "metadata": {"who": "me"}}
    step = runnable(**settings)
    if way == "invoke":
        step.invoke(given("sizes"), config)
    else:
        asyncio.run(step.ainvoke(given("sizes"), config))
    assert seen[0] == ("label", True, "me")
    assert {"gather", "explain", "score", "verdict"} <= {name for name, _, _ in seen}
    assert {who for _, _, who in seen} == {"me"}


# --- LangGraph ------------------------------------------------------------------------------------


class Outer(TypedDict, total=False):
    detector: str
    texts: list[str]
    activations: list[list[float]]
    unit: str
    label: dict[str, Any]
    said: str


def outer_graph(**settings: Any) -> StateGraph[Outer]:
    graph = StateGraph(Outer)
    graph.add_node("measure", lambda state: given(state["detector"]))
    graph.add_node("label", lambda state: {"label": ng.label_rows([state], **settings)[0]})
    graph.add_node("say", lambda state: {"said": state["label"]["explanation"] or state["label"]["reason"]})
    graph.add_edge(START, "measure")
    graph.add_edge("measure", "label")
    graph.add_edge("label", "say")
    graph.add_edge("say", END)
    return graph


def test_a_node_writes_the_label_into_the_outer_state(settings: dict[str, Any], expected: list[ng.Label]) -> None:
    app = outer_graph(**settings).compile()
    state = app.invoke({"detector": "colours"})
    assert state["label"] == as_row(expected[0])
    assert state["said"] == state["label"]["explanation"]
    assert asyncio.run(app.ainvoke({"detector": "colours"})) == state
    assert "never active" in app.invoke({"detector": "nothing"})["said"]


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_what_runs_inside_a_node_is_not_streamed_and_its_label_is_checkpointed(
    settings: dict[str, Any], way: str
) -> None:
    app = outer_graph(**settings).compile(checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}

    async def collected() -> list[Any]:
        stream = app.astream({"detector": "sizes"}, thread, stream_mode="updates", subgraphs=True)
        return [chunk async for chunk in stream]

    if way == "stream":
        chunks: Any = list(app.stream({"detector": "sizes"}, thread, stream_mode="updates", subgraphs=True))
    else:
        chunks = asyncio.run(collected())
    assert [(len(where), *update) for where, update in chunks] == [(0, "measure"), (0, "label"), (0, "say")]
    saved = list(app.checkpointer.list(None))  # type: ignore[union-attr]
    assert {c.config["configurable"]["checkpoint_ns"] for c in saved} == {""}
    for checkpoint in saved:
        json.dumps(checkpoint.checkpoint["channel_values"])


def test_an_outer_graph_that_broke_off_goes_on_with_the_node(script: Callable[..., str]) -> None:
    llm = script()
    Path(llm.removeprefix("scripted:")).write_text(
        json.dumps({"match": "Pairs:", "fail": "refusal"}), encoding="utf-8"
    )
    app = outer_graph(llm=llm, scorers=["detection"]).compile(checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    with pytest.raises(UserError, match="No rule"):
        app.invoke({"detector": "sizes"}, thread)
    script()
    state = app.invoke(None, thread)
    assert state["label"]["state"] == "accepted"


def test_many_units_side_by_side(settings: dict[str, Any], expected: list[ng.Label]) -> None:
    class Fan(TypedDict):
        labels: Annotated[list[dict[str, Any]], operator.add]

    graph = StateGraph(Fan)
    graph.add_node("label", lambda state: {"labels": ng.label_rows([state], **settings)})
    graph.add_conditional_edges(START, lambda state: [Send("label", given(d)) for d in WORDS], ["label"])
    graph.add_edge("label", END)
    found = graph.compile().invoke({"labels": []})["labels"]
    assert found == [as_row(label) for label in expected]
