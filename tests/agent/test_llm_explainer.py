"""The explainer shows a fair choice of examples, and hands on what came, or why nothing did."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from neurogloss.agent.explainers.llm import SCHEMA, LLMExplainer, ShownExample, choose, show
from neurogloss.errors import (
    AnswerError,
    EmptyAnswerError,
    RefusalError,
    TransportError,
    UnparseableError,
)
from neurogloss.ids import UnitId
from neurogloss.prompts.render import template_hash
from neurogloss.protocols import Material, Message, Reply
from neurogloss.records import Context, EvidenceHalf, Example, Passage

UNIT = UnitId("tiny", "model.layers.1.mlp.down_proj.input", "neurons", 3)


def example(number: int, peak: float) -> Example:
    return Example(Context(f"{number:016x}", ("the", f" word{number}")), (0.0, peak))


def material(*examples: Example, promoted: tuple[str, ...] = (), seed: int = 0) -> Material:
    return Material(UNIT, EvidenceHalf(examples, (), ()), promoted, seed)


@dataclass
class FakeChat:
    """Gives the answers in turn; an exception among them is raised."""

    answers: list[str | Exception]
    name: str = "fake"
    requests: list[dict[str, Any]] = field(default_factory=list)

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None = None,
        temperature: float = 0.0,
        max_tokens: int = 256,
        seed: int = 0,
    ) -> Reply:
        answer = self.answers[len(self.requests)]
        self.requests.append(
            {"asked": messages[-1].content, "schema": schema, "temperature": temperature, "seed": seed}
        )
        if isinstance(answer, Exception):
            raise answer
        return Reply(answer)


def said(text: str) -> str:
    return json.dumps({"explanation": text})


def candidates(chat: FakeChat, given: Material | None = None) -> list[str]:
    explainer = LLMExplainer(chat, n=len(chat.answers), temperature=0.7)
    return asyncio.run(explainer.candidates(given or material(example(1, 2.0))))


# --- asking --------------------------------------------------------------------------------------------


def test_the_first_is_asked_for_at_temperature_zero_and_every_seed_is_its_own() -> None:
    chat = FakeChat([said("a"), said("b"), said("c")])
    assert candidates(chat) == ["a", "b", "c"]
    assert [request["temperature"] for request in chat.requests] == [0.0, 0.7, 0.7]
    assert len({request["seed"] for request in chat.requests}) == 3
    assert all(request["schema"] == SCHEMA for request in chat.requests)
    assert len({request["asked"] for request in chat.requests}) == 1


def test_the_same_seed_asks_the_same_and_another_does_not() -> None:
    seeds: list[list[int]] = []
    for seed in (1, 1, 2):
        chat = FakeChat([said("a"), said("b")])
        candidates(chat, material(example(1, 2.0), seed=seed))
        seeds.append([request["seed"] for request in chat.requests])
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
    explainer = LLMExplainer(FakeChat([]), n=2, temperature=0.5, examples=8)
    assert explainer.name == "llm:fake"
    assert json.loads(json.dumps(explainer.settings)) == {
        "model": "fake",
        "prompt": template_hash("explain/default"),
        "n": 2,
        "temperature": 0.5,
        "examples": 8,
        "max_tokens": 160,
    }


@pytest.mark.parametrize("settings", [{"n": 0}, {"examples": 0}])
def test_sizes_are_at_least_one(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        LLMExplainer(FakeChat([]), **settings)


# --- showing -------------------------------------------------------------------------------------------


def test_marks_and_strengths_by_hand() -> None:
    """Marked from 0.3 of the context's own peak; strengths are ceil(10 a / 8), 8 the largest seen."""
    strong = Example(Context("1" * 16, ("a", " b", " c", " d")), (0.0, 8.0, 2.4, 2.3))
    weak = Example(Context("2" * 16, ("e", " f")), (0.5, 0.1))
    assert show([strong, weak]) == [
        ShownExample(Passage(("a", " b", " c", " d"), (1, 2)), ((" b", 10), (" c", 3))),
        ShownExample(Passage(("e", " f"), (0,)), (("e", 1),)),
    ]


def test_the_prompt_holds_examples_and_promoted_tokens() -> None:
    chat = FakeChat([said("x")])
    candidates(chat, material(example(1, 4.0), example(2, 1.0), promoted=(" rain",)))
    assert chat.requests[0]["asked"] == (
        'Passages:\n```\n1. "the<< word1>>" | " word1": 10\n2. "the<< word2>>" | " word2": 3\n```\n'
        'Tokens made more likely: " rain"'
    )


def chosen(top: Sequence[Example], uniform: Sequence[Example], n: int) -> list[int]:
    half = EvidenceHalf(tuple(top), tuple(uniform), ())
    return [int(example.context.id, 16) for example in choose(half, n)]


TOP = [example(i, 100.0 - i) for i in range(8)]
"""Contexts 0 to 7, descending."""
UNIFORM = [TOP[1], *[example(i, 100.0 - i) for i in range(10, 90, 10)]]
"""Context 1 again, and 10, 20 … 80."""


@pytest.mark.parametrize(
    "n, expected",
    [
        (1, [0]),
        (4, [0, 1, 10, 50]),
        (6, [0, 1, 2, 10, 30, 60]),
        (14, [0, 1, 2, 3, 4, 5, 6, *range(10, 80, 10)]),
        (99, [*range(8), *range(10, 90, 10)]),
    ],
)
def test_half_are_the_strongest_and_half_are_spread(n: int, expected: list[int]) -> None:
    assert chosen(TOP, UNIFORM, n) == expected


def test_the_strongest_stand_in_where_the_uniform_sample_is_small() -> None:
    assert chosen(TOP, UNIFORM[:2], 6) == [0, 1, 2, 3, 4, 10]
    assert chosen(TOP, [], 6) == [0, 1, 2, 3, 4, 5]


def test_without_top_examples_the_uniform_sample_is_spread() -> None:
    assert chosen([], UNIFORM, 3) == [1, 30, 60]
