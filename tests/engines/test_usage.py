"""Every call of a recorded model is in the account, and in the record of whoever asked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from neurogloss.accounts import Usage
from neurogloss.engines.usage import Call, Reading, RecordedModel, recording
from neurogloss.errors import RefusalError
from neurogloss.ids import hash64
from neurogloss.llm import ChatModel, Choice, Features, Likelihood, Message, Reply, Request, ToolCall
from neurogloss.records import Failure

ASK = (Message("user", "Why?"),)


class Oracle:
    """Answers with what it was given, or raises it."""

    name = "oracle"
    features = Features(choices=True)

    def __init__(self, answer: Reply | Exception) -> None:
        self.answer = answer

    async def chat(self, request: Request) -> Reply:
        await asyncio.sleep(0)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def choose(self, messages: Sequence[Message], choices: Sequence[str]) -> Choice:
        return Choice({"a": 0.25, "b": 0.75}, Usage(1, 0, 5, 0, 1))

    async def read(self, prefix: str, continuations: Sequence[str]) -> Reading[Likelihood]:
        return Reading(tuple(Likelihood(-1.5, 2) for _ in continuations), Usage(1, 0, 9))

    async def fill(self, prefix: str, text: str, mark: str, choices: Sequence[str]) -> Reading[tuple[float, ...]]:
        raise NotImplementedError


def recorded(answer: Reply | Exception) -> RecordedModel:
    model: ChatModel = Oracle(answer)
    return RecordedModel(model)


def test_answers_of_each_kind_are_recorded_and_added_up() -> None:
    model = recorded(Reply("Because.", usage=Usage(1, 0, 7, 3, 2)))

    async def ask() -> list[Call]:
        with recording() as calls:
            await model.chat(Request(ASK))
            await model.choose(ASK, ["a", "b"])
            assert await model.likelihoods("p", ["c", "d"]) == [Likelihood(-1.5, 2)] * 2
        await model.chat(Request(ASK))  # nobody records this one; it is in the account
        return calls

    assert asyncio.run(ask()) == [
        Call(ASK, "Because.", None, Usage(1, 0, 7, 3, 2)),
        Call(ASK, '{"a": 0.25, "b": 0.75}', None, Usage(1, 0, 5, 0, 1)),
        Call((Message("user", "p"),), "[-1.5, -1.5]", None, Usage(1, 0, 9, 0, 0)),
    ]
    assert model.usage == Usage(4, 0, 28, 6, 5)


def test_a_failure_is_a_call_too() -> None:
    model = recorded(RefusalError("I would rather not"))
    with recording() as calls, pytest.raises(RefusalError):
        asyncio.run(model.chat(Request(ASK)))
    assert calls == [Call(ASK, "I would rather not", Failure.REFUSAL, Usage(requests=1))]
    assert model.usage == Usage(requests=1)


def test_what_is_no_answer_of_the_model_is_not_recorded() -> None:
    model = recorded(KeyError("a bug"))
    with recording() as calls, pytest.raises(KeyError):
        asyncio.run(model.chat(Request(ASK)))
    assert calls == [] and model.usage == Usage()


def test_a_stored_answer_costs_nothing() -> None:
    model = recorded(Reply("Because.", usage=Usage(stored=1)))
    asyncio.run(model.chat(Request(ASK)))
    assert model.usage == Usage(stored=1)


def test_calls_of_tools_are_written_out() -> None:
    model = recorded(Reply("", calls=(ToolCall("steer", {"strength": 2}, "id"),)))
    with recording() as calls:
        asyncio.run(model.chat(Request(ASK)))
    assert calls[0].answer == '{"text": "", "calls": [{"name": "steer", "arguments": {"strength": 2}}]}'


def test_units_at_the_same_time_have_records_of_their_own() -> None:
    model = recorded(Reply("Because."))

    async def unit(n: int) -> int:
        with recording() as calls:
            async with asyncio.TaskGroup() as group:
                for _ in range(n):
                    group.create_task(model.chat(Request(ASK)))
        return len(calls)

    async def all_units() -> list[int]:
        return await asyncio.gather(*map(unit, range(5)))

    assert asyncio.run(all_units()) == [0, 1, 2, 3, 4]
    assert model.usage.requests == 10


def test_of_pictures_a_call_keeps_the_hashes() -> None:
    picture = b"\xff" * 1000
    asked = (Message("system", "See."), Message("user", "What is it?", pictures=(picture, b"other")))

    async def ask() -> list[Call]:
        with recording() as calls:
            await recorded(Reply("A cat.")).chat(Request(asked))
        return calls

    system, user = asyncio.run(ask())[0].messages
    assert system == asked[0]
    assert user == Message("user", f"What is it?\npicture {hash64(picture):016x}\npicture {hash64(b'other'):016x}")
