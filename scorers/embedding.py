"""Scorers that compare the explanation with contexts and ask nobody: embedding and surprisal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from neurogloss.errors import AnswerError
from neurogloss.protocols import Answered, HeldOut, Instruments
from neurogloss.records import Answer, Question
from neurogloss.scorers.answering import ask_in_words
from neurogloss.scorers.chats import failed
from neurogloss.scorers.detection import Detection
from neurogloss.scorers.judges.embedded import GENERIC, PREFIX
from neurogloss.tasks import together


class _OfContexts:
    """Asks detection's questions in words, all at once; a number is each answer's value."""

    n_questions: int

    async def answered(self, explanation: str, held_out: HeldOut, instruments: Instruments) -> list[Answered]:
        """The questions of detection, each with its answer."""
        questions = Detection(self.n_questions).questions(held_out)
        answers = await ask_in_words(partial(self._answers, explanation, instruments), questions)
        return list(zip(questions, answers, strict=True))

    async def _answers(
        self, explanation: str, instruments: Instruments, questions: Sequence[Question]
    ) -> list[Answer]:
        return await self._of_texts(explanation, instruments, [each.passages[0].text for each in questions])

    async def _of_texts(self, explanation: str, instruments: Instruments, texts: list[str]) -> list[Answer]:
        raise NotImplementedError


@dataclass(frozen=True)
class Embedding(_OfContexts):
    """Embedding: how near the explanation lies to the unit's contexts (Paulo et al. 2024, arXiv:2410.13928).

    1. The questions are those of detection.
    2. The similarity of a context is the cosine of its sentence vector and that of the explanation, behind an
       instruction where the model takes one; (1 + cosine) / 2 stands for the probability.
    3. The score is the AUROC between active and silent contexts.

    Implements `neurogloss.protocols.DirectScorer`.
    """

    n_questions: int = 100
    """At most; half of them true."""
    instruction: str = ""
    """Written before the explanation."""
    name: str = "embedding"
    needs_subject: bool = False
    needs: ClassVar[frozenset[str]] = frozenset({"explanation", "embedder"})
    metric: ClassVar[str] = "auroc"
    chance: ClassVar[float | None] = None

    async def _of_texts(self, explanation: str, instruments: Instruments, texts: list[str]) -> list[Answer]:
        assert instruments.embedder is not None
        vectors = instruments.embedder.embed([self.instruction + explanation, *texts])
        cosines = np.clip(vectors[1:] @ vectors[0], -1, 1).tolist()
        return [Answer((1 + cosine) / 2, values=(cosine,)) for cosine in cosines]


@dataclass(frozen=True)
class Surprisal(_OfContexts):
    """Surprisal: does the explanation make the unit's contexts likelier? (Paulo et al. 2024, arXiv:2410.13928)

    1. The questions are those of detection.
    2. The information gain of a context x is I = log p(x | explanation) - log p(x | a generic explanation) under a
       causal language model, in nats.
    3. Its logistic is the chance that the explanation, not the generic one, is what x was written under. The score
       is the AUROC of I between active and silent contexts.

    Implements `neurogloss.protocols.DirectScorer`. It reads each context twice with the language model.
    """

    n_questions: int = 100
    """At most; half of them true."""
    prefix: str = PREFIX
    """What stands before a context, with the `explanation` in it."""
    generic: str = GENERIC
    """The explanation that says nothing."""
    name: str = "surprisal"
    needs_subject: bool = False
    needs: ClassVar[frozenset[str]] = frozenset({"explanation", "causal"})
    metric: ClassVar[str] = "auroc"
    chance: ClassVar[float | None] = None

    async def _of_texts(self, explanation: str, instruments: Instruments, texts: list[str]) -> list[Answer]:
        assert instruments.causal is not None
        try:
            given, generic = await together(
                instruments.causal.likelihoods(self.prefix.format(explanation=words), texts)
                for words in (explanation, self.generic)
            )
        except AnswerError as error:
            return [failed(error)] * len(texts)
        gains = [one.total - other.total for one, other in zip(given, generic, strict=True)]
        return [Answer(logistic(gain), values=(gain,)) for gain in gains]


def logistic(x: float) -> float:
    """1 / (1 + exp(-x)), in the form that does not overflow."""
    return 0.5 + 0.5 * math.tanh(x / 2)
