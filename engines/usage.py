"""What was asked of a model, what came of it, and what it cost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from neurogloss.accounts import Usage
from neurogloss.engines.prompt_logprobs import Blanks
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


@dataclass(frozen=True, slots=True)
class Reading:
    """Log probabilities of continuations, and what they cost."""

    likelihoods: tuple[Likelihood, ...]
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    stored: bool = False


@runtime_checkable
class Reader(Protocol):
    """A model that can say how likely continuations are, and what it cost to say so."""

    async def read(self, prefix: str, continuations: Sequence[str]) -> Reading: ...


@runtime_checkable
class Filler(Protocol):
    """A model that can say what could stand at the blanks of a text, and what it cost to say so."""

    async def fill(self, prefix: str, text: str, mark: str, choices: Sequence[str]) -> Blanks: ...


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
        with self._failures(request.messages):
            reply = await self._chat.chat(request)
        answer = reply.text
        if reply.calls:
            calls = [{"name": call.name, "arguments": call.arguments} for call in reply.calls]
            answer = json.dumps({"text": reply.text, "calls": calls}, ensure_ascii=False)
        self._record(request.messages, answer, _usage(reply))
        return reply

    async def choose(self, messages: Sequence[Message], choices: Sequence[str]) -> Choice:
        """As the model chooses."""
        with self._failures(messages):
            choice = await self._chat.choose(messages, choices)
        answer = json.dumps(dict(choice.probabilities), ensure_ascii=False)
        self._record(messages, answer, _usage(choice))
        return choice

    async def likelihoods(self, prefix: str, continuations: Sequence[str]) -> list[Likelihood]:
        """As the model gives them; only where its `features` have prompt log probabilities."""
        if not isinstance(self._chat, Reader):
            raise NotImplementedError(f"{self.name} gives no log probabilities; see its features")
        asked = (Message("user", prefix),)
        with self._failures(asked):
            reading = await self._chat.read(prefix, continuations)
        answer = json.dumps([each.total for each in reading.likelihoods])
        self._record(asked, answer, _usage(reading))
        return list(reading.likelihoods)

    async def blanks(self, prefix: str, text: str, mark: str, choices: Sequence[str]) -> Sequence[Sequence[float]]:
        """As PromptReader.blanks says; only where the model's `features` have prompt log probabilities."""
        if not isinstance(self._chat, Filler):
            raise NotImplementedError(f"{self.name} gives no log probabilities; see its features")
        asked = (Message("user", prefix + text),)
        with self._failures(asked):
            found = await self._chat.fill(prefix, text, mark, choices)
        self._record(asked, json.dumps(found.probabilities), _usage(found))
        return found.probabilities

    @contextmanager
    def _failures(self, messages: Sequence[Message]) -> Iterator[None]:
        try:
            yield
        except AnswerError as error:
            self._record(messages, str(error), Usage(requests=1), error.failure)
            raise

    def _record(
        self, messages: Sequence[Message], answer: str, usage: Usage, failure: Failure | None = None
    ) -> None:
        self.usage += usage
        if (calls := _calls.get()) is not None:
            calls.append(Call(tuple(map(_without_pictures, messages)), answer, failure, usage))


def _without_pictures(message: Message) -> Message:
    if not message.pictures:
        return message
    hashes = "\n".join(f"picture {hash64(picture):016x}" for picture in message.pictures)
    return replace(message, content=f"{message.content}\n{hashes}", pictures=())


def _usage(answer: Reply | Choice | Reading | Blanks) -> Usage:
    if answer.stored:
        return Usage(stored=1)
    return Usage(1, 0, answer.prompt_tokens, answer.cached_tokens, answer.completion_tokens)
