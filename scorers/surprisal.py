"""Surprisal: does the explanation make the unit's contexts likelier? (Paulo et al. 2024, arXiv:2410.13928)

1. The questions are those of detection.
2. The information gain of a context x is I = log p(x | explanation) - log p(x | a generic explanation) under a
   causal language model, in nats.
3. Its logistic is the chance that the explanation, not the generic one, is what x was written under. The score is
   the AUROC of I between active and silent contexts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from neurogloss.errors import AnswerError
from neurogloss.protocols import Answered, HeldOut, Instruments
from neurogloss.records import Answer, Question
from neurogloss.scorers.answering import ask_in_words
from neurogloss.scorers.chats import failed
from neurogloss.scorers.detection import Detection
from neurogloss.scorers.judges.likelihood import GENERIC, PREFIX
from neurogloss.tasks import together


@dataclass(frozen=True)
class Surprisal:
    """Implements `neurogloss.protocols.DirectScorer`. It reads each context twice with the language model."""

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

    async def answered(self, explanation: str, held_out: HeldOut, instruments: Instruments) -> list[Answered]:
        """The gain in nats is each answer's value."""
        questions = Detection(self.n_questions).questions(held_out)
        answers = await ask_in_words(partial(self._answers, explanation, instruments), questions)
        return list(zip(questions, answers, strict=True))

    async def _answers(
        self, explanation: str, instruments: Instruments, questions: Sequence[Question]
    ) -> list[Answer]:
        assert instruments.causal is not None
        texts = [question.passages[0].text for question in questions]
        try:
            given, generic = await together(
                instruments.causal.likelihoods(self.prefix.format(explanation=words), texts)
                for words in (explanation, self.generic)
            )
        except AnswerError as error:
            return [failed(error)] * len(questions)
        gains = [one.total - other.total for one, other in zip(given, generic, strict=True)]
        return [Answer(logistic(gain), values=(gain,)) for gain in gains]


def logistic(x: float) -> float:
    """1 / (1 + exp(-x)), in the form that does not overflow."""
    return 0.5 + 0.5 * math.tanh(x / 2)
