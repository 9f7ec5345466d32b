"""What one folder may ask of another: small protocols, so that rooms meet as arguments and not as imports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from neurogloss.ids import UnitId
from neurogloss.records import Answer, EvidenceHalf, Question, SteeredText, Steering

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    """`system`, `user` or `assistant`."""
    content: str


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's answer and what it cost."""

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0


class ChatModel(Protocol):
    """An LLM that answers conversations: a server, or a script."""

    @property
    def name(self) -> str:
        """What the ledger calls it."""
        ...

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None = None,
        temperature: float = 0.0,
        max_tokens: int = 256,
        seed: int = 0,
    ) -> Reply:
        """Answer, in the form of the JSON `schema` where one is given.

        Raises:
            AnswerError: one of its subclasses, where there is no usable answer.
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

    def likelihoods(self, prefix: str, continuations: Sequence[str]) -> list[Likelihood]:
        """log p(continuation | prefix) of each continuation, the prefix computed once."""
        ...


@dataclass(frozen=True, slots=True)
class TokenVectors:
    """Contextual vectors of one text's word pieces."""

    vectors: Float32
    """(n_pieces, dimension), each of unit length."""
    spans: NDArray[np.int64]
    """(n_pieces, 2): first character and one past the last, in the text."""


class Embedder(Protocol):
    """Text to vectors."""

    @property
    def name(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> Float32:
        """(len(texts), dimension), each row of unit length."""
        ...

    def embed_tokens(self, texts: Sequence[str]) -> list[TokenVectors]:
        """The vectors of each text's word pieces, before pooling."""
        ...


class Judge(Protocol):
    """Answers questions about an explanation: an LLM with a prompt, or an embedded measure."""

    @property
    def name(self) -> str: ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """JSON of everything that decides its answers."""
        ...

    async def ask(self, task: str, explanation: str, questions: Sequence[Question]) -> list[Answer]:
        """One answer a question, in order. `task` is the scorer's; an LLM judge has a prompt for each.

        A question that could not be answered gets an Answer with a failure; only transport errors raise.
        """
        ...


class Explainer(Protocol):
    """Writes candidate explanations from the explain half of a unit's evidence."""

    @property
    def name(self) -> str: ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """JSON of everything that decides its output: models, prompt hashes, parameters."""
        ...

    async def candidates(self, material: Material) -> list[str]:
        """At least one explanation, best first by the explainer's own measure.

        Raises:
            AnswerError: where the model gave none.
        """
        ...


@dataclass(frozen=True, slots=True)
class Material:
    """What an explainer is given: the explain half less the slice kept for choosing among candidates."""

    unit: UnitId
    half: EvidenceHalf
    promoted: tuple[str, ...]
    """Tokens that the unit raises most through the language-model head; empty where unknown."""
    seed: int


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What a scorer makes its questions from: the score half, and steered texts where there is a subject."""

    unit: UnitId
    half: EvidenceHalf
    steered: tuple[SteeredText, ...]
    seed: int


class Scorer(Protocol):
    """Turns held-out examples into questions, once a unit; the agent has them answered and measured.

    A scorer is a frozen dataclass whose fields are its parameters.
    """

    @property
    def name(self) -> str: ...

    @property
    def task(self) -> str:
        """What a judge is asked: `detection`, `fuzzing`, `intervention`, or the path of a prompt of one's own."""
        ...

    @property
    def needs_subject(self) -> bool:
        """Whether its questions are made of steered texts."""
        ...

    def questions(self, held_out: HeldOut) -> list[Question]:
        """The questions, in an order that says nothing of their truth. Empty where there is too little."""
        ...


class LiveSubject(Protocol):
    """The subject model itself, for interventions."""

    def steer(self, unit: UnitId, prompts: Sequence[str], tuning_prompts: Sequence[str], seed: int) -> Steering:
        """Continue each prompt clean and with the unit raised, at the KL that the subject was set to."""
        ...


class Progress(Protocol):
    """Where long work reports to; the command line draws a bar of it."""

    def start(self, task: str, total: int | None, unit: str, done: int = 0) -> None:
        """Begin a task of `total` units (None: unknown), `done` of them already there."""
        ...

    def advance(self, n: int = 1) -> None:
        """`n` more units of the present task are done."""
        ...

    def note(self, message: str) -> None:
        """A line for the reader."""
        ...


class Quiet:
    """A Progress that says nothing."""

    def start(self, task: str, total: int | None, unit: str, done: int = 0) -> None:
        pass

    def advance(self, n: int = 1) -> None:
        pass

    def note(self, message: str) -> None:
        pass
