"""What was asked of a model, what came of it, and what it cost."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar, runtime_checkable

from neurogloss.accounts import Usage
from neurogloss.errors import AnswerError
from neurogloss.ids import hash64
from neurogloss.llm import ChatModel, Choice, Features, Likelihood, Message, Reply, Request
from neurogloss.records import Failure


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it went."""

    messages: tuple[Message, ...]
    """Without their pictures, of which the content ends in the hashes."""
    answer: str
    """The text, or JSON of what came instead of one: tool calls, probabilities; of a failure, the reason."""
    failure: Failure | None
    usage: Usage


Found = TypeVar("Found")
Answer = TypeVar("Answer", Reply, Choice, "Reading[Any]")


@dataclass(frozen=True, slots=True)
class Reading(Generic[Found]):
    """What was found in the log probabilities of a prompt, and what it cost."""

    found: tuple[Found, ...]
    usage: Usage = Usage(requests=1)


@runtime_checkable
class Reader(Protocol):
    """A model that gives the log probabilities of prompts, and says what they cost."""

    async def read(self, prefix: str, continuations: Sequence[str]) -> Reading[Likelihood]:
        """log p(continuation | prefix) of each continuation."""
        ...

    async def fill(self, prefix: str, text: str, mark: str, choices: Sequence[str]) -> Reading[tuple[float, ...]]:
        """The rows of `PromptReader.blanks`."""
        ...


class Closeable:
    """Connected and closed by `async with`."""

    async def connect(self) -> None:
        """Make ready; models that need nothing inherit this."""

    async def close(self) -> None:
        """Let go of what was opened. The model cannot be asked again."""

    async def __aenter__(self) -> Self:
        try:
            await self.connect()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


_calls: ContextVar[list[Call] | None] = ContextVar("calls", default=None)


@contextmanager
def recording() -> Iterator[list[Call]]:
    """The calls of recorded models within the block and the tasks it starts, in the order of their ends.

    Where blocks are nested, a call is in the innermost one alone.
    """
    calls: list[Call] = []
    token = _calls.set(calls)
    try:
        yield calls
    finally:
        _calls.reset(token)


class Wrapped(Closeable):
    """Stands before a chat model: its name, what it can do, its connection."""

    def __init__(self, chat: ChatModel) -> None:
        self._chat = chat

    @property
    def name(self) -> str:
        return self._chat.name

    @property
    def features(self) -> Features:
        return self._chat.features

    @property
    def _reader(self) -> Reader:
        if not isinstance(self._chat, Reader):
            raise NotImplementedError(f"{self.name} gives no log probabilities; see its features")
        return self._chat

    async def connect(self) -> None:
        if isinstance(self._chat, Closeable):
            await self._chat.connect()

    async def close(self) -> None:
        if isinstance(self._chat, Closeable):
            await self._chat.close()


class RecordedModel(Wrapped):
    """A chat model of which every call is recorded, failures too, and added up."""

    def __init__(self, chat: ChatModel, pictures: bool = True) -> None:
        """`pictures`: False where it is to be shown none, though it could see them."""
        super().__init__(chat)
        self._pictures = pictures
        self.usage = Usage()
        """Of all calls so far."""

    @property
    def features(self) -> Features:
        found = self._chat.features
        return found if self._pictures else replace(found, pictures=False)

    async def chat(self, request: Request) -> Reply:
        """As the model answers."""
        return await self._recorded(request.messages, self._chat.chat(request), _written)

    async def choose(self, messages: Sequence[Message], choices: Sequence[str]) -> Choice:
        """As the model chooses."""
        asked = self._chat.choose(messages, choices)
        return await self._recorded(messages, asked, lambda choice: _json(dict(choice.probabilities)))

    async def likelihoods(self, prefix: str, continuations: Sequence[str]) -> list[Likelihood]:
        """As the model gives them; only where its `features` have prompt log probabilities."""
        asked = self._reader.read(prefix, continuations)
        reading = await self._recorded(
            [Message("user", prefix)], asked, lambda reading: _json([each.total for each in reading.found])
        )
        return list(reading.found)

    async def blanks(self, prefix: str, text: str, mark: str, choices: Sequence[str]) -> Sequence[Sequence[float]]:
        """As PromptReader.blanks says; only where the model's `features` have prompt log probabilities."""
        asked = self._reader.fill(prefix, text, mark, choices)
        reading = await self._recorded(
            [Message("user", prefix + text)], asked, lambda reading: _json(reading.found)
        )
        return reading.found

    async def _recorded(
        self, messages: Sequence[Message], asked: Awaitable[Answer], written: Callable[[Answer], str]
    ) -> Answer:
        try:
            answer = await asked
        except AnswerError as error:
            self._record(messages, str(error), Usage(requests=1), error.failure)
            raise
        self._record(messages, written(answer), answer.usage)
        return answer

    def _record(
        self, messages: Sequence[Message], answer: str, usage: Usage, failure: Failure | None = None
    ) -> None:
        self.usage += usage
        if (calls := _calls.get()) is not None:
            calls.append(Call(tuple(map(_without_pictures, messages)), answer, failure, usage))


def _written(reply: Reply) -> str:
    calls = [{"name": call.name, "arguments": call.arguments} for call in reply.calls]
    return _json({"text": reply.text, "calls": calls}) if calls else reply.text


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _without_pictures(message: Message) -> Message:
    if not message.pictures:
        return message
    hashes = "\n".join(f"picture {hash64(picture):016x}" for picture in message.pictures)
    return replace(message, content=f"{message.content}\n{hashes}", pictures=())
