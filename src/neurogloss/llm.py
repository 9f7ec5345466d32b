"""Language models as the agent asks them: conversations with answers, choices, and likelihoods of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from neurogloss.accounts import Usage


@dataclass(frozen=True, slots=True)
class Tool:
    """Something that a model may ask to have done."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON schema of the arguments, an object."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's request to use a tool."""

    name: str
    arguments: Mapping[str, Any]
    """As the model gave them: not checked against the tool's schema."""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    """`system`, `user`, `assistant`, or `tool` for what a tool found."""
    content: str
    calls: tuple[ToolCall, ...] = ()
    """Of an assistant's turn that asks for tools."""
    answers: str = ""
    """Of a tool's turn: the id of the call that it answers."""
    pictures: tuple[bytes, ...] = field(default=(), repr=False)
    """PNG or JPEG files that follow the content; only for a model whose `features` have pictures."""


@dataclass(frozen=True, slots=True)
class Request:
    """A conversation to be continued, and all that decides how."""

    messages: tuple[Message, ...]
    schema: Mapping[str, Any] | None = None
    """JSON schema that the answer is to fit."""
    tools: tuple[Tool, ...] = ()
    """What the model may call instead of answering."""
    temperature: float = 0.0
    max_tokens: int = 256
    """Of the answer; a server's own default is far too long."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's answer and what it cost."""

    text: str
    """Empty only where there are calls."""
    calls: tuple[ToolCall, ...] = ()
    usage: Usage = Usage(requests=1)


@dataclass(frozen=True, slots=True)
class Choice:
    """How likely each of some answers is to a model."""

    probabilities: Mapping[str, float]
    """By answer; they sum to 1."""
    usage: Usage = Usage(requests=1)


@dataclass(frozen=True, slots=True)
class Features:
    """What a chat model can do beyond answering."""

    schema: bool = True
    """Answers held to a JSON schema by the server; without it they are asked for in words and read strictly."""
    choices: bool = False
    """Probabilities of given answers (`choose`)."""
    tools: bool = False
    """Tool calls; without them a menu is offered through structured answers."""
    prompt_logprobs: bool = False
    """Log probabilities of a prompt's own tokens: simulation, surprisal, PMI."""
    pictures: bool = False
    """Several pictures in a message; without them images are shown by their captions."""


class ChatModel(Protocol):
    """An LLM that answers conversations: a server, or a script."""

    @property
    def name(self) -> str:
        """What the ledger calls it."""
        ...

    @property
    def features(self) -> Features: ...

    async def chat(self, request: Request) -> Reply:
        """Answer, in the form of the request's schema where it has one, or by calling some of its tools.

        Raises:
            AnswerError: one of its subclasses, where there is no usable answer.
        """
        ...

    async def choose(self, messages: Sequence[Message], choices: Sequence[str]) -> Choice:
        """The probability of each choice as the answer, at temperature 1, renormalised over the choices.

        Raises:
            AnswerError: as `chat`; a model whose `features` have no choices cannot be asked.
        """
        ...


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Log probability of a text after a prefix."""

    total: float
    """Sum over tokens, in nats."""
    n_tokens: int

    @property
    def mean(self) -> float:
        return self.total / max(self.n_tokens, 1)


class CausalModel(Protocol):
    """A causal language model that gives log probabilities."""

    @property
    def name(self) -> str: ...

    async def likelihoods(self, prefix: str, continuations: Sequence[str]) -> list[Likelihood]:
        """log p(continuation | prefix) of each continuation, the prefix computed once."""
        ...


@runtime_checkable
class PromptReader(Protocol):
    """What a chat model whose `features` have prompt log probabilities can do with a text of ours."""

    async def blanks(self, prefix: str, text: str, mark: str, choices: Sequence[str]) -> Sequence[Sequence[float]]:
        """What could stand right after each mark of the text, which is read once, after the prefix.

        Args:
            mark: one character.
            choices: each one token.

        Returns:
            A row a mark: the probability of each choice, given all that stands before. They sum to 1 at most.

        Raises:
            AnswerError: the model does not say.
        """
        ...
