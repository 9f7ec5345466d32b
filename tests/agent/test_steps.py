"""Labelling as a step of other pipelines: the same labels, in the form that each pipeline passes on."""

from __future__ import annotations

import asyncio
import json
import math
import operator
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypedDict

import numpy as np
import pandas as pd
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from pydantic import BaseModel

import neurogloss as ng
from neurogloss.errors import MissingExtra, UserError

WORDS = {"colours": ("purple", "orange"), "sizes": ("large", "little")}
TEXTS = [
    f"she saw {word} {thing} in town"
    for words in WORDS.values()
    for word in words
    for thing in "coats boats doors kites lamps bags hats plates chairs rugs".split()
]
SCORES = [f"detection_{name}" for name in ("score", "low", "high", "floor", "p")]
COLUMNS = ["state", "reason", "explanation", "method", *SCORES]


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
    texts = (str(label.state), label.reason, label.explanation.text, label.method)
    return dict(zip(COLUMNS, (*texts, *numbers), strict=True))


# --- LangChain ------------------------------------------------------------------------------------


def test_a_runnable_gives_the_label_in_each_way_of_calling(
    settings: dict[str, Any], expected: list[ng.Label]
) -> None:
    step, inputs = ng.label_runnable(**settings), [given(detector) for detector in WORDS]
    limit: Any = {"max_concurrency": 2}
    assert repr([step.invoke(value) for value in inputs]) == repr(expected)
    assert repr(step.batch(inputs, limit)) == repr(expected)

    async def awaited() -> list[ng.Label]:
        assert repr([await step.ainvoke(value) for value in inputs]) == repr(expected)
        return await step.abatch(inputs, limit)

    assert repr(asyncio.run(awaited())) == repr(expected)


def test_a_runnable_is_part_of_a_chain(settings: dict[str, Any], expected: list[ng.Label]) -> None:
    chain = RunnableLambda(given) | ng.label_runnable(**settings) | (lambda label: label.explanation.text)
    assert chain.batch(list(WORDS)) == [label.explanation.text for label in expected if label.explanation]
    assigned = RunnablePassthrough.assign(label=ng.label_runnable(**settings)).invoke(
        {**given("sizes"), "more": 1}
    )
    assert assigned["more"] == 1 and repr(assigned["label"]) == repr(expected[1])


def test_a_runnable_takes_pydantic_objects_and_other_keys(
    settings: dict[str, Any], expected: list[ng.Label]
) -> None:
    class Measured(BaseModel):
        contexts: list[str]
        values: list[list[float]]
        unit: str

    step = ng.label_runnable(texts="contexts", activations="values", **settings)
    values = given("colours")
    value = Measured(contexts=values["texts"], values=values["activations"], unit=values["unit"])
    assert repr(step.invoke(value)) == repr(expected[0])


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_callbacks_tags_and_metadata_reach_what_runs_inside(settings: dict[str, Any], way: str) -> None:
    seen: list[tuple[str, bool, Any]] = []

    class Handler(BaseCallbackHandler):
        def on_chain_start(self, serialized: Any, inputs: Any, **more: Any) -> None:
            seen.append((more["name"], "mine" in more["tags"], more["metadata"].get("who")))

    config: Any = {"callbacks": [Handler()], "tags": ["mine"], "metadata": {"who": "me"}}
    step = ng.label_runnable(**settings)
    if way == "invoke":
        step.invoke(given("sizes"), config)
    else:
        asyncio.run(step.ainvoke(given("sizes"), config))
    assert seen[0] == ("label", True, "me")
    assert {"gather", "explain", "score", "verdict"} <= {name for name, _, _ in seen}
    assert {who for _, _, who in seen} == {"me"}


def test_a_runnable_names_what_does_not_fit() -> None:
    with pytest.raises(UserError, match="Known are: threshold"):
        ng.label_runnable(treshold=1.0)
    step = ng.label_runnable()
    wrong: Any = "texts"
    with pytest.raises(UserError, match="Expected a mapping with texts and activations, found str"):
        step.invoke(wrong)
    with pytest.raises(UserError, match="Expected texts, activations; found texts, unit"):
        step.invoke({"texts": TEXTS, "unit": 1})
    with pytest.raises(UserError, match="Unit 3: Text 0 has 2 words and 1 activations"):
        step.invoke({"texts": ["a b"], "activations": [[1.0]], "unit": 3})


# --- datasets and pandas --------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["one by one", "batched", "numpy"])
def test_a_function_for_map(settings: dict[str, Any], expected: list[ng.Label], way: str) -> None:
    from datasets import Dataset

    # The first batch has a dead unit alone: what it lacks does not decide the columns' types.
    dataset = Dataset.from_list([given(detector) for detector in ("nothing", *WORDS)])
    if way == "one by one":
        labelled = dataset.map(ng.label_row, fn_kwargs=settings, writer_batch_size=1)
    else:
        dataset = dataset.with_format("numpy") if way == "numpy" else dataset
        labelled = dataset.map(ng.label_rows, batched=True, batch_size=1, fn_kwargs=settings)
    assert labelled.column_names == ["texts", "activations", "unit", *COLUMNS]
    dead, *rows = labelled.with_format(None).select_columns(COLUMNS)
    assert rows == [as_row(label) for label in expected]
    assert dead["state"] == "dead" and dead["reason"] and dead["explanation"] == ""
    assert all(math.isnan(dead[name]) for name in SCORES)


def test_several_rows_at_once_are_as_one_by_one(settings: dict[str, Any], expected: list[ng.Label]) -> None:
    batch = {"t": [TEXTS] * 2, "a": [measured(detector) for detector in WORDS], "n": [0, 1], "more": [1, 2]}
    names = {"texts": "t", "activations": "a", "unit": "n"}
    found = ng.label_rows(batch, **names, **settings)
    assert list(found) == COLUMNS
    assert found["explanation"] == [as_row(label)["explanation"] for label in expected]
    assert ng.label_rows({name: [] for name in batch}, **names, **settings) == {name: [] for name in COLUMNS}


def test_columns_have_the_names_of_the_scorers(settings: dict[str, Any]) -> None:
    alike = {**settings, "scorers": ["neurogloss.scorers.detection:Detection"]}
    assert ng.label_row(given("sizes"), **alike) == ng.label_row(given("sizes"), **settings)


def test_units_of_a_batch_are_in_flight_together(
    script: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = {"texts": [TEXTS] * 6, "activations": [measured("sizes")] * 6}
    running, most = 0, 0

    async def label(labeller: Any, evidence: Any) -> ng.Label:
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        await asyncio.sleep(0.01)
        running -= 1
        return ng.Label(evidence.unit, "m", ng.State.EMPTY)

    monkeypatch.setattr("neurogloss.runs.contexts.Labeller.label", label)
    assert ng.label_rows(batch, llm=script(), concurrency=3)["state"] == ["empty"] * 6
    assert most == 3


def test_a_frame_of_labels(settings: dict[str, Any], expected: list[ng.Label]) -> None:
    rows = [
        {"unit": f"toy/{detector}/detector/0", "text": text, "activation": values}
        for detector in WORDS
        for text, values in zip(TEXTS, measured(detector), strict=True)
    ]
    frame = pd.DataFrame(rows)
    before = frame.copy(deep=True)
    labels = ng.label_frame(frame, **settings)
    assert labels.index.name == "unit" and list(labels.index) == [str(label.unit) for label in expected]
    assert labels.to_dict("records") == [as_row(label) for label in expected]
    pd.testing.assert_frame_equal(frame, before)


def test_a_frame_with_other_columns_and_numbers(settings: dict[str, Any]) -> None:
    peaks = [np.max(measured(detector), axis=1) for detector in WORDS]
    frame = pd.DataFrame({"latent": [9] * 40 + [3] * 40, "context": TEXTS * 2, "peak": np.concatenate(peaks)})
    names = {"unit": "latent", "text": "context", "activation": "peak"}
    labels = ng.label_frame(frame, **names, **settings)
    assert list(labels.index) == [9, 3] and labels.index.name == "latent"
    alone = [ng.label_contexts(TEXTS, values, unit=i, **settings) for i, values in zip((9, 3), peaks, strict=True)]
    assert labels.to_dict("records") == [as_row(label) for label in alone]
    categories = frame.astype({"latent": pd.CategoricalDtype([3, 5, 9])})
    assert ng.label_frame(categories, **names, **settings).to_dict("records") == labels.to_dict("records")


def test_an_empty_frame_gives_an_empty_frame(settings: dict[str, Any]) -> None:
    labels = ng.label_frame(pd.DataFrame(columns=["unit", "text", "activation"]), **settings)
    assert list(labels.columns) == COLUMNS and labels.empty


def test_a_frame_that_does_not_fit_is_named() -> None:
    frame = pd.DataFrame({"unit": [1, 1], "text": ["a", "b c"], "activation": [1.0, [1.0]]})
    with pytest.raises(UserError, match="Unit 1: Text 1 has 2 words and 1 activations"):
        ng.label_frame(frame)
    with pytest.raises(UserError, match="Expected unit, words, activation; found unit, text, activation"):
        ng.label_frame(frame, text="words")
    with pytest.raises(UserError, match="Some rows have no unit"):
        ng.label_frame(frame.assign(unit=[1, None]))


def test_without_pandas_the_install_line_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtra, match="pip install pandas"):
        ng.label_frame(pd.DataFrame())


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
    graph.add_node("label", ng.label_subgraph(**settings))
    graph.add_node("say", lambda state: {"said": state["label"]["explanation"] or state["label"]["reason"]})
    graph.add_edge(START, "measure")
    graph.add_edge("measure", "label")
    graph.add_edge("label", "say")
    graph.add_edge("say", END)
    return graph


def test_a_subgraph_writes_the_label_into_the_outer_state(
    settings: dict[str, Any], expected: list[ng.Label]
) -> None:
    app = outer_graph(**settings).compile()
    state = app.invoke({"detector": "colours"})
    assert state["label"] == {"unit": "toy/colours/detector/0", **as_row(expected[0])}
    assert state["said"] == state["label"]["explanation"]
    assert asyncio.run(app.ainvoke({"detector": "colours"})) == state


def test_a_unit_that_cannot_be_explained_is_not_scored(settings: dict[str, Any]) -> None:
    app = outer_graph(**settings).compile()
    nodes = [node for _, update in app.stream({"detector": "nothing"}, subgraphs=True) for node in update]
    assert nodes == ["measure", "explain", "label", "say"]
    assert "never active" in app.invoke({"detector": "nothing"})["said"]


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_a_subgraph_streams_and_is_checkpointed_in_plain_values(settings: dict[str, Any], way: str) -> None:
    app = outer_graph(**settings).compile(checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}

    async def collected() -> list[Any]:
        stream = app.astream({"detector": "sizes"}, thread, stream_mode="updates", subgraphs=True)
        return [chunk async for chunk in stream]

    if way == "stream":
        chunks: Any = list(app.stream({"detector": "sizes"}, thread, stream_mode="updates", subgraphs=True))
    else:
        chunks = asyncio.run(collected())
    assert [(len(where), *update) for where, update in chunks] == [
        (0, "measure"),
        (1, "explain"),
        (1, "score"),
        (0, "label"),
        (0, "say"),
    ], "what runs inside the two nodes is not streamed"
    states = [update[node]["label"]["state"] for where, update in chunks for node in update if where]
    assert states == ["explained", "accepted"]
    saved = list(app.checkpointer.list(None))  # type: ignore[union-attr]
    assert {len(c.config["configurable"]["checkpoint_ns"].split("|")) for c in saved} == {1}
    for checkpoint in saved:
        json.dumps(checkpoint.checkpoint["channel_values"])


def test_an_outer_graph_that_broke_off_goes_on_with_the_scores(script: Callable[..., str]) -> None:
    llm = script()
    explains = {"match": "Passages:", "reply": {"explanation": "large, little"}}
    Path(llm.removeprefix("scripted:")).write_text(json.dumps(explains), encoding="utf-8")
    app = outer_graph(llm=llm, scorers=["detection"]).compile(checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    with pytest.raises(UserError, match="No rule"):
        app.invoke({"detector": "sizes"}, thread)
    script({"match": "Passages:", "fail": "refusal"})
    state = app.invoke(None, thread)
    assert state["label"]["state"] == "accepted" and state["said"] == "large, little"


def test_many_units_side_by_side(settings: dict[str, Any], expected: list[ng.Label]) -> None:
    class Fan(TypedDict):
        labels: Annotated[list[dict[str, Any]], operator.add]

    step = ng.label_subgraph(**settings)
    graph = StateGraph(Fan)
    graph.add_node("label", lambda state: {"labels": [step.invoke(state)["label"]]})
    graph.add_conditional_edges(START, lambda state: [Send("label", given(name)) for name in WORDS], ["label"])
    found = graph.compile().invoke({"labels": []})["labels"]
    assert found == [{"unit": str(label.unit), **as_row(label)} for label in expected]


def test_a_subgraph_refuses_settings_and_states_that_do_not_fit() -> None:
    with pytest.raises(UserError, match="Known are: threshold"):
        ng.label_subgraph(treshold=1.0)
    with pytest.raises(UserError, match="Expected texts, activations; found texts"):
        ng.label_subgraph().invoke({"texts": TEXTS})
