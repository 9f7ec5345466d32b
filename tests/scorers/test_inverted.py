"""Which of several explanations a context fits: what is asked, and how it is read."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from neurogloss.errors import RefusalError, TransportError
from neurogloss.llm import Choice, Features, Reply, Request
from neurogloss.records import Answer, Failure, Passage
from neurogloss.scorers.inverted import fitting

EXPLANATIONS = ["words for rain", "numbers", "names"]
PASSAGES = [Passage((" rain",)), Passage((" two",)), Passage((" nothing",))]


class Scripted:
    """Gives one reply after another, errors too, and keeps the requests."""

    name, features = "scripted", Features()

    def __init__(self, *replies: Any) -> None:
        self._replies, self.asked = list(replies), list[Request]()

    async def chat(self, request: Request) -> Reply:
        self.asked.append(request)
        reply = self._replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return Reply(reply if isinstance(reply, str) else json.dumps({"answers": reply}))

    async def choose(self, messages: Any, choices: Any) -> Choice:
        raise NotImplementedError


def ask(chat: Scripted, per_prompt: int = 3) -> list[list[Answer]]:
    return asyncio.run(fitting(chat, EXPLANATIONS, PASSAGES, per_prompt, 0))


def test_what_is_listed_fits_and_the_others_do_not() -> None:
    chat = Scripted([[1], [3, 2], []])
    assert [[a.probability for a in row] for row in ask(chat)] == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]
    last = chat.asked[0].messages[-1].content
    assert last.index('2. "numbers"') < last.index("Texts:") < last.index('1. " rain"')
    assert chat.asked[0].schema is not None
    assert chat.asked[0].schema["properties"]["answers"]["items"]["items"]["maximum"] == 3


def test_a_prompt_holds_so_many_passages_and_every_explanation() -> None:
    chat = Scripted([[1], []], [[2]])
    assert [[a.probability for a in row] for row in ask(chat, 2)] == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]
    assert [request.messages[:-1] for request in chat.asked] == [chat.asked[0].messages[:-1]] * 2
    assert all(text in request.messages[-1].content for request in chat.asked for text in EXPLANATIONS)


@pytest.mark.parametrize(
    "reply", ["no", [[1], []], [[1], [4], []], [[1], [0], []], [[1], [True], []], [[1], 2, []]]
)
def test_what_cannot_be_read_is_a_failure_of_the_whole_prompt(reply: Any) -> None:
    answers = ask(Scripted(reply))
    assert {a.failure for row in answers for a in row} == {Failure.UNPARSEABLE} and len(answers) == 3


def test_a_refusal_is_kept_as_one_and_a_lost_server_goes_up() -> None:
    first, second, third = ask(Scripted(RefusalError("no"), [[1]]), 2)
    assert {a.failure for a in (*first, *second)} == {Failure.REFUSAL} and third[0].probability == 1
    with pytest.raises(TransportError):
        ask(Scripted(TransportError("gone")))


def test_without_passages_nothing_is_asked() -> None:
    assert asyncio.run(fitting(Scripted(), EXPLANATIONS, [], 5, 0)) == []


def test_an_image_is_read_as_its_caption_and_without_one_is_not_asked_about() -> None:
    chat = Scripted([[1], []])
    images = [Passage(("a shower",), picture="/a.png"), Passage((), picture="/b.png"), Passage((" two",))]
    rows = asyncio.run(fitting(chat, EXPLANATIONS, images, 5, 0))
    assert [rows[0][0].probability, rows[2][0].probability] == [1, 0]
    assert {answer.failure for answer in rows[1]} == {Failure.TOO_LITTLE_EVIDENCE} and len(rows[1]) == 3
    assert '1. "a shower"' in chat.asked[0].messages[-1].content
