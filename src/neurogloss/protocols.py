"""What one folder may ask of another: small protocols, so that rooms meet as arguments and not as imports."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from neurogloss.ids import UnitId
from neurogloss.llm import CausalModel, ChatModel
from neurogloss.records import Answer, Candidate, EvidenceHalf, Example, OutputTokens, Question

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SteeredText:
    """One prompt, continued by the subject as it is and with the unit raised."""

    prompt: str
    """Empty of images."""
    clean: str
    steered: str


@dataclass(frozen=True, slots=True)
class Steering:
    """What raising a unit does, at a strength set by the KL divergence it causes."""

    strength: float
    """Added along the unit's decoder direction, in units of activation."""
    kl: float
    """Mean KL(clean || steered) of the next token on the tuning prompts, in nats."""
    texts: tuple[SteeredText, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One side of a voxel's measured responses to the stimuli of the score half."""

    texts: tuple[str, ...]
    """S captions or sentences."""
    responses: Float32
    """(S,), along the unit's sign, averaged over repeats."""
    region: Float32
    """(n, S): the same of other voxels of its region, drawn by a seed; of any, where it has no region."""
    ceiling: float
    """The largest correlation with these responses that noise allows, in [0, 1]; NaN where unknown."""
    stability: float = math.nan
    """Correlation of what two encoding models with features of two kinds predict for it; NaN where unknown."""


@dataclass(frozen=True, slots=True, eq=False)
class Readout:
    """One side of a voxel as a direction in the space of an embedder."""

    embedder: str
    """Name of the embedder that made the features."""
    weights: Float32
    """(F,): what each feature adds to the predicted response."""
    mean: Float32
    """(F,): mean feature of the stimuli that it was fitted on."""


MeasuredOf = Callable[[UnitId], Measured]
"""Raises UserError where the unit is no voxel of the run."""
ReadoutOf = Callable[[UnitId], Readout]


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

    async def candidates(self, material: Material) -> list[Candidate]:
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
    outputs: OutputTokens | None
    """What the unit promotes and suppresses through the language-model head; None where unknown."""
    seed: int

    @property
    def promoted(self) -> tuple[str, ...]:
        """Tokens that the unit raises most; empty where unknown."""
        return tuple(token for token, _ in self.outputs.promoted) if self.outputs else ()


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What a scorer measures on: the score half, and steered texts where there is a subject."""

    unit: UnitId
    half: EvidenceHalf
    steered: tuple[SteeredText, ...]
    seed: int
    rivals: tuple[tuple[SteeredText, ...], ...] = ()
    """The same prompts, continued with other units raised, one at a time."""


@dataclass(frozen=True, slots=True)
class Instruments:
    """What scorers and explainers may use besides the judge. None if a run does not have it."""

    chat: ChatModel | None = None
    causal: CausalModel | None = None
    embedder: Embedder | None = None
    subject: Callable[[], LiveSubject] | None = None
    lexical: Callable[[UnitId], Judge | None] | None = None
    """A unit's predictor from the words of the explain half: a floor for whoever is asked questions."""
    responses: MeasuredOf | None = None
    """How a voxel responded to the stimuli of the score half."""
    readout: ReadoutOf | None = None
    """A voxel's direction in the embedder's space, as its encoding model has it."""
    n_candidates: int = 3
    """Explanations to ask an LLM for."""
    seed: int = 0


Answered = tuple[Question, Answer]
"""A question, and what was answered to it."""


class Scorer(Protocol):
    """What every scorer has. It is a `QuestionScorer` or a `DirectScorer`, and a frozen dataclass whose fields are
    its parameters.
    """

    @property
    def name(self) -> str: ...

    @property
    def needs_subject(self) -> bool:
        """Whether the subject has to be loaded for it."""
        ...


@runtime_checkable
class QuestionScorer(Scorer, Protocol):
    """Turns held-out examples into questions with known answers; a judge is asked them.

    With `needs_subject` they are made of steered texts.
    """

    @property
    def task(self) -> str:
        """What a judge is asked: `detection`, `fuzzing`, `intervention`, or the path of a prompt of one's own."""
        ...

    def questions(self, held_out: HeldOut) -> list[Question]:
        """The questions, in an order that says nothing of their truth. Empty where there is too little."""
        ...


@runtime_checkable
class DirectScorer(Scorer, Protocol):
    """Finds its questions and their answers itself."""

    @property
    def needs(self) -> frozenset[str]:
        """What it cannot do without: an `explanation`, `steered` texts, those of `rivals`, and instruments by the
        names of their fields (`chat|embedder`: one of the two); `prompt_logprobs`: that the chat model has these.
        """
        ...

    @property
    def metric(self) -> str:
        """Its headline metric, one of those in `neurogloss.scorers.measure`."""
        ...

    @property
    def chance(self) -> float | None:
        """What the metric is by guessing alone, where that is known."""
        ...

    async def answered(self, explanation: str, held_out: HeldOut, instruments: Instruments) -> list[Answered]:
        """Questions, each with its answer. Empty where there is too little.

        Raises:
            TransportError: a model could not be reached. What else goes wrong is the state of an answer.
        """
        ...


@runtime_checkable
class DetailedScorer(DirectScorer, Protocol):
    """One with figures of its own beside its metric."""

    def further(
        self, answered: Sequence[Answered], held_out: HeldOut, instruments: Instruments
    ) -> Mapping[str, float]:
        """Further metrics by name, of what it answered for the unit's own explanation; NaN where undefined."""
        ...


class LiveSubject(Protocol):
    """The subject model itself, for interventions."""

    def steer(
        self,
        unit: UnitId,
        prompts: Sequence[str],
        tuning_prompts: Sequence[str],
        seed: int,
        kl: float | None = None,
    ) -> Steering:
        """Continue each prompt clean and with the unit raised, at the KL given, or that the subject was set to."""
        ...

    def examples(self, unit: UnitId, texts: Sequence[str]) -> list[Example]:
        """Each text as the subject's tokens, with the unit's activation at each.

        Raises:
            UserError: a text is too long for the subject.
        """
        ...

    def token_change(self, unit: UnitId, prompts: Sequence[str], tuning_prompts: Sequence[str]) -> OutputTokens:
        """Next tokens whose log probability raising the unit changes most, mean over the prompts."""
        ...


class Progress(Protocol):
    """Where long work reports to; the command line draws a bar of it. A subclass need not answer all of it."""

    def start(self, task: str, total: int | None, unit: str, done: int = 0) -> None:
        """Begin a task of `total` units (None: unknown), `done` of them already there."""
        return None

    def advance(self, n: int = 1) -> None:
        """`n` more units of the present task are done."""
        return None

    def show(self, figures: str) -> None:
        """What else there is to say of the task at present; takes the place of what was shown before."""
        return None

    def note(self, message: str) -> None:
        """A line for the reader."""
        return None


class Quiet(Progress):
    """A Progress that says nothing."""
