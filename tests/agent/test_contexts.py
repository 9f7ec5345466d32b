"""Labelling what another pipeline has: texts and activations in, a label out, without run, model or torch."""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurogloss as ng
from neurogloss.engines import load_chat_model
from neurogloss.errors import UserError
from neurogloss.records import Label, State

PLANTED = ("harbour", "harbours")
WORDS = "the a on of and old new small many people went bought saw letter garden window morning river".split()
RULES = ({"match": "Passages:", "marks": 2}, {"match": "exts:|Pairs:", "words": "explanation"})


def sentences(n: int = 80, seed: int = 0) -> list[str]:
    """Every other one holds a planted word."""
    rng = random.Random(seed)
    texts = []
    for i in range(n):
        words = rng.choices(WORDS, k=12)
        if i % 2:
            words[rng.randrange(12)] = PLANTED[i % 4 == 1]
        texts.append(" ".join(words))
    return texts


def activations(texts: list[str]) -> list[list[float]]:
    """One a word: 1 at a planted one, and at the second of two 3."""
    return [[(1.0 + 2 * (word == "harbours")) * (word in PLANTED) for word in text.split()] for text in texts]


@pytest.fixture(scope="module")
def label() -> Label:
    """By the words that the texts share, ranked and judged by embeddings."""
    texts = sentences()
    return ng.label_contexts(texts, activations(texts), unit="mine/layer 3/atoms/12-")


def test_a_planted_rule_is_found_in_words(label: Label) -> None:
    assert label.state is State.ACCEPTED and label.reason == ""
    assert str(label.unit) == "mine/layer 3/atoms/12-" and label.method == "pmi"
    assert label.explanation is not None and "harbour" in label.explanation.text
    assert label.explanation.unit == label.unit


def test_its_scores_lie_above_their_floors(label: Label) -> None:
    assert [score.scorer for score in label.scores] == ["detection", "fuzzing"]
    for score in label.scores:
        assert score.score.value > 0.9 and score.excess.low > 0 and score.p_value < 0.05
        assert score.floor.value < 0.8 and score.n_questions > 20 and not score.failures
        assert score.metrics["lexical_floor"] > 0.8, "two words are all there is to it"
    assert label.scores[0].metrics["precision_at_density"] > 0.5


@pytest.fixture
def script(tmp_path: Any) -> Callable[..., str]:
    def write(*rules: dict[str, Any]) -> str:
        path = tmp_path / "rules.jsonl"
        path.write_text("".join(json.dumps(rule) + "\n" for rule in (*rules, *RULES)), encoding="utf-8")
        return f"scripted:{path}"

    return write


def by_script(llm: str, texts: Any = None, values: Any = None, **more: Any) -> Label:
    texts = sentences() if texts is None else texts
    return ng.label_contexts(texts, activations(texts) if values is None else values, llm=llm, **more)


def test_an_llm_explains_and_judges(script: Callable[..., str]) -> None:
    label = by_script(script())
    assert label.state is State.ACCEPTED and label.method == "llm:scripted:rules.jsonl"
    assert label.explanation is not None and label.explanation.text == "the words harbours, harbour"
    assert [score.score.value for score in label.scores] == [1.0, 1.0]
    assert {score.judge for score in label.scores} == {"llm:scripted:rules.jsonl"}
    assert (
        str(label.unit) == "own/contexts/given/0" and str(by_script(script(), unit=np.int64(7)).unit)[-2:] == "/7"
    )


def test_inside_a_running_event_loop(script: Callable[..., str]) -> None:
    llm, texts = script(), sentences()

    async def notebook() -> tuple[Label, Label]:
        ticks = asyncio.create_task(asyncio.sleep(0))
        awaited = await ng.label_contexts_async(texts, activations(texts), llm=llm)
        assert ticks.done(), "the loop went on meanwhile"
        return by_script(llm), awaited

    given, awaited = asyncio.run(notebook())
    assert repr(given) == repr(awaited) == repr(by_script(llm))


def test_an_error_passes_out_of_a_running_event_loop() -> None:
    async def notebook() -> None:
        ng.label_contexts(["a"], [math.inf])

    with pytest.raises(UserError, match="not finite"):
        asyncio.run(notebook())


def test_the_same_input_gives_the_same_label_in_any_order(script: Callable[..., str]) -> None:
    texts = sentences()
    pairs = list(zip(texts, activations(texts), strict=True))
    pairs += pairs[:7]
    random.Random(1).shuffle(pairs)
    shuffled = by_script(script(), [text for text, _ in pairs], [values for _, values in pairs])
    assert repr(shuffled) == repr(by_script(script())), "equal texts are taken once, and no order counts"


def test_answers_are_kept_in_the_file_that_is_named(
    script: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []

    def load(spec: str, model: str | None, **more: Any) -> Any:
        asked.append((model, more))
        return load_chat_model(spec, model)

    monkeypatch.setattr("neurogloss.runs.contexts.load_chat_model", load)
    by_script(script(), model="mine", answers="kept.sqlite")
    assert asked == [("mine", {"answers": Path("kept.sqlite"), "timeout": 600.0})]


def test_an_explainer_by_name(script: Callable[..., str]) -> None:
    label = by_script(script(), explainer="pmi")
    assert label.method == "pmi" and label.explanation is not None and "harbour" in label.explanation.text


@pytest.mark.parametrize("form", ["lists", "tokens", "numpy", "numpy tokens", "a number a text"])
def test_texts_and_activations_in_every_form(script: Callable[..., str], form: str) -> None:
    texts = sentences()
    values: Any = activations(texts)
    given: Any = texts
    if "tokens" in form:
        given = [[word + " " for word in text.split()] for text in texts]
    if "numpy" in form:
        values = np.array(values, np.float32)
        given = given if "tokens" in form else np.array(given)
    if form == "a number a text":
        values = [max(row) for row in values]
    label = by_script(script({"match": "Passages:", "reply": {"explanation": "harbour"}}), given, values)
    detection, fuzzing = label.scores
    assert detection.score.value == 1.0
    assert fuzzing.score.value == 1.0 or form == "a number a text"


def test_only_what_exceeds_the_threshold_is_active(script: Callable[..., str]) -> None:
    llm = script({"match": "Passages:", "reply": {"explanation": "harbour"}})
    assert by_script(llm, threshold=2.0).scores[0].score.value < 0.9, "harbour alone is 1"
    llm = script({"match": "Passages:", "reply": {"explanation": "harbours"}})
    assert by_script(llm, threshold=2.0).scores[0].score.value == 1.0


@pytest.mark.parametrize(
    "values, state, reason",
    [
        ([0.0] * 40, State.DEAD, "never active in 40 contexts"),
        ([-1.0] * 40, State.DEAD, "never active in 40 contexts"),
        ([1.0] * 5 + [0.0] * 35, State.TOO_LITTLE_EVIDENCE, "active contexts in a half, 4 needed"),
        ([1.0] * 40, State.TOO_LITTLE_EVIDENCE, "no scorer found enough to ask about"),
    ],
)
@pytest.mark.parametrize("with_llm", [True, False])
def test_too_little_is_a_state(
    script: Callable[..., str], values: list[float], state: State, reason: str, with_llm: bool
) -> None:
    label = ng.label_contexts(sentences(40), values, llm=script() if with_llm else None)
    assert label.state is state and reason in label.reason
    assert not any(score.score.defined for score in label.scores)


def test_a_single_text_is_too_little() -> None:
    assert ng.label_contexts(["a harbour"], [1.0]).state is State.TOO_LITTLE_EVIDENCE


@pytest.mark.parametrize(
    "rule, state, has_explanation",
    [
        ({"match": "Passages:", "fail": "refusal"}, State.REFUSAL, False),
        ({"match": "Passages:", "reply": "harbours"}, State.UNPARSEABLE, False),
        ({"match": "Passages:", "fail": "transport"}, State.TRANSPORT, False),
        ({"match": "exts:", "fail": "transport"}, State.TRANSPORT, True),
        ({"match": "exts:", "fail": "empty"}, State.EMPTY, True),
    ],
)
def test_an_llm_that_fails_is_a_state_with_a_reason(
    script: Callable[..., str], rule: dict[str, Any], state: State, has_explanation: bool
) -> None:
    label = by_script(script(rule))
    assert label.state is state and label.reason
    assert (label.explanation is not None) == has_explanation
    assert not any(score.score.defined for score in label.scores)


@pytest.mark.parametrize(
    "texts, values, more, says",
    [
        ([], [], {}, "found 0 texts and 0 activations"),
        ("ab", [1.0, 2.0], {}, "Expected texts and activations, found 'ab'"),
        (["a"], None, {}, r"Expected texts and activations, found \['a'\] and None"),
        (["a b"], [1.0, 2.0], {}, "found 1 texts and 2 activations"),
        (["a b", "c"], [1.0, [1.0, 2.0]], {}, "Text 1 has 1 words and 2 activations"),
        ([["a", " b"]], [[1.0]], {}, "Text 0 has 2 tokens and 1 activations"),
        (["a", ""], [1.0, 1.0], {}, "Text 1 has 0 words"),
        (["a b"], [[1.0, math.nan]], {}, "Text 0 has an activation that is not finite"),
        (["a"], [math.inf], {}, "Text 0 has an activation that is not finite"),
        (["a", None], [1.0, 1.0], {}, "Text 1 is None with the activation 1.0"),
        ([["a", 2]], [1.0], {}, r"Text 0 is \['a', 2\]"),
        (["a"], [None], {}, "Text 0 is 'a' with the activation None"),
        (["a"], ["much"], {}, "Text 0 is 'a' with the activation 'much'"),
        (["a"], [1.0], {"unit": -1}, "expected subject/hookpoint/dictionary/index, found 'own/contexts/given/-1'"),
        (["a"], [1.0], {"unit": 0.5}, "Expected a unit's name or index, found 0.5"),
        (["a"], [1.0], {"treshold": 1.0}, "treshold: no such setting. Did you mean threshold?"),
        (["a"], [1.0], {"threshold": math.nan}, "threshold: "),
        (["a"], [1.0], {"unit": "twelve"}, "expected subject/hookpoint/dictionary/index, found 'twelve'"),
        (["a"], [1.0], {"scorers": ["detektion"]}, "found 'detektion'"),
        (["a", "b", "c", "d"], [1.0] * 4, {"explainer": "pmy"}, "found 'pmy'"),
        (["a"], [1.0], {"scorers": []}, "Expected one scorer or more"),
        (["a"], [1.0], {"scorers": ["intervention"]}, "Interventions need a collected run"),
        (["a"], [1.0], {"llm": "scripted:nowhere.jsonl"}, "nowhere.jsonl"),
    ],
)
def test_what_does_not_fit_is_named(texts: Any, values: Any, more: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        ng.label_contexts(texts, values, **more)


def test_neither_torch_nor_transformers_is_needed() -> None:
    code = """
import json, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
import neurogloss as ng
texts, activations = json.load(sys.stdin)
label = ng.label_contexts(texts, activations)
print(label.explanation.text, label.state.value)
"""
    texts = sentences(40)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        input=json.dumps([texts, activations(texts)]),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "harbour" in done.stdout and "accepted" in done.stdout
