"""The explainer hands on what came, or why nothing did."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from neurogloss.agent.explainers.llm import SCHEMA, SIDED_SCHEMA, LLMExplainer, parse
from neurogloss.agent.explainers.views import DEFAULT, View, ensemble
from neurogloss.errors import (
    AnswerError,
    EmptyAnswerError,
    RefusalError,
    TransportError,
    UnparseableError,
)
from neurogloss.ids import UnitId
from neurogloss.llm import Choice, Features, Message, Reply, Request
from neurogloss.prompts.render import template_hash
from neurogloss.protocols import Material
from neurogloss.records import Candidate, Context, EvidenceHalf, Example, OutputTokens, Side

UNIT = UnitId("tiny", "model.layers.1.mlp.down_proj.input", "neurons", 3)


def example(number: int, peak: float) -> Example:
    return Example(Context(f"{number:016x}", ("the", f" word{number}")), (0.0, peak))


def material(*examples: Example, promoted: tuple[str, ...] = (), seed: int = 0) -> Material:
    outputs = OutputTokens(tuple((token, 1.0) for token in promoted), ())
    return Material(UNIT, EvidenceHalf(examples, (), ()), outputs, seed)


@dataclass
class FakeChat:
    """Gives the answers in turn; an exception among them is raised."""

    answers: list[str | Exception]
    name: str = "fake"
    features: Features = Features()
    requests: list[Request] = field(default_factory=list)

    async def chat(self, request: Request) -> Reply:
        answer = self.answers[len(self.requests)]
        self.requests.append(request)
        if isinstance(answer, Exception):
            raise answer
        return Reply(answer)

    async def choose(self, messages: Sequence[Message], choices: Sequence[str]) -> Choice:
        raise NotImplementedError


def said(text: str, **more: str) -> str:
    return json.dumps({"explanation": text, **more})


def found(chat: FakeChat, given: Material | None = None, view: View = DEFAULT) -> list[Candidate]:
    explainer = LLMExplainer(chat, view, n=len(chat.answers), temperature=0.7)
    return asyncio.run(explainer.candidates(given or material(example(1, 2.0))))


def candidates(chat: FakeChat, given: Material | None = None) -> list[str]:
    return [candidate.text for candidate in found(chat, given)]


# --- asking --------------------------------------------------------------------------------------------


def test_the_first_is_asked_for_at_temperature_zero_and_every_seed_is_its_own() -> None:
    chat = FakeChat([said("a"), said("b"), said("c")])
    assert candidates(chat) == ["a", "b", "c"]
    assert [request.temperature for request in chat.requests] == [0.0, 0.7, 0.7]
    assert len({request.seed for request in chat.requests}) == 3
    assert all(request.schema == SCHEMA for request in chat.requests)
    assert len({request.messages for request in chat.requests}) == 1


def test_the_same_seed_asks_the_same_and_another_does_not() -> None:
    seeds: list[list[int]] = []
    for seed in (1, 1, 2):
        chat = FakeChat([said("a"), said("b")])
        candidates(chat, material(example(1, 2.0), seed=seed))
        seeds.append([request.seed for request in chat.requests])
    assert seeds[0] == seeds[1] != seeds[2]


def test_repetitions_and_blanks_are_dropped_and_white_space_is_put_in_order() -> None:
    assert candidates(FakeChat([said(" rain\n or  snow "), said("rain or snow"), said(" ")])) == ["rain or snow"]


def test_what_failed_is_passed_over_where_something_came() -> None:
    assert candidates(FakeChat([RefusalError("no"), "not JSON", said("rain")])) == ["rain"]


@pytest.mark.parametrize(
    "answers, error",
    [
        (["not JSON", RefusalError("no")], UnparseableError),
        ([RefusalError("no"), "not JSON"], RefusalError),
        ([said("  "), RefusalError("no")], EmptyAnswerError),
        (['{"explanation": 3}'], UnparseableError),
        (['["rain"]'], UnparseableError),
        (["{}"], UnparseableError),
    ],
)
def test_where_all_fail_the_first_failure_is_raised(
    answers: list[str | Exception], error: type[AnswerError]
) -> None:
    with pytest.raises(error):
        candidates(FakeChat(answers))


def test_a_transport_error_is_raised_even_where_something_came() -> None:
    with pytest.raises(TransportError, match="gone"):
        candidates(FakeChat([said("rain"), TransportError("gone"), said("snow")]))


def test_name_and_settings_say_what_decides_the_candidates() -> None:
    explainer = LLMExplainer(FakeChat([]), replace(DEFAULT, examples=8), n=2, temperature=0.5)
    assert explainer.name == "llm:fake"
    assert json.loads(json.dumps(explainer.settings)) == {
        "explainer": "llm",
        "model": "fake",
        "prompt": template_hash("explain/default"),
        "stimuli": template_hash("explain/default-pictures"),
        "pictures": False,
        "n": 2,
        "temperature": 0.5,
        "examples": 8,
        "live": False,
        "max_tokens": 160,
    }


@pytest.mark.parametrize(("n", "examples"), [(0, 1), (1, 0)])
def test_sizes_are_at_least_one(n: int, examples: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        LLMExplainer(FakeChat([]), replace(DEFAULT, examples=examples), n)


def test_a_prompt_of_one_s_own_is_filled_in_with_the_same_values(tmp_path: Path) -> None:
    own = tmp_path / "own.md"
    own.write_text("## user\n{{ examples | length }} passages, {{ promoted | length }} tokens", encoding="utf-8")
    chat = FakeChat([said("x")])
    found(chat, material(example(1, 4.0), promoted=(" rain", " snow")), replace(DEFAULT, prompt=str(own)))
    assert chat.requests[0].messages[-1].content == "1 passages, 2 tokens"


# --- no pattern, and sides -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["no pattern", "No pattern.", "There is no clear pattern", "no consistent pattern found."]
)
def test_no_pattern_is_no_label(text: str) -> None:
    assert parse(said(text)) == Candidate("no pattern", Side.UNCLEAR)


@pytest.mark.parametrize("text", ["no", "knitting patterns", "nothing but a pattern", "no pattern but rain here"])
def test_words_about_patterns_are_labels(text: str) -> None:
    assert parse(said(text)) == Candidate(text, Side.INPUT)


def test_what_is_unclear_comes_last() -> None:
    answers: list[str | Exception] = [said("no pattern"), said("rain"), said("snow")]
    assert candidates(FakeChat(answers)) == ["rain", "snow", "no pattern"]
    assert found(FakeChat([said("no pattern")])) == [Candidate("no pattern", Side.UNCLEAR)]


def test_of_an_ensemble_the_model_says_the_side() -> None:
    chat = FakeChat([said("rain", type="output"), said("snow", type="mixed"), said("hm", type="unclear")])
    assert found(chat, view=ensemble(None)) == [
        Candidate("rain", Side.OUTPUT),
        Candidate("snow", Side.MIXED),
        Candidate("no pattern", Side.UNCLEAR),
    ]
    assert [request.schema for request in chat.requests] == [SIDED_SCHEMA] * 3


@pytest.mark.parametrize(
    "answer", [said("rain"), said("rain", type="inputs"), '{"explanation": "rain", "type": []}']
)
def test_a_side_that_is_none_answers_nothing(answer: str) -> None:
    with pytest.raises(UnparseableError, match=r"input\|output\|mixed\|unclear"):
        parse(answer, side=None)
