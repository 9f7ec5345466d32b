"""Simulation: how active the unit is at each token, guessed from the explanation (Bills et al. 2023).

1. Active contexts are drawn evenly over the ranks of the unit's peaks, with as many silent ones, as for detection.
2. A chat model is given the explanation and the tokens of one context, and answers with a whole number from 0 to
   10 for each, all at once. (The original reads the expectation from the probabilities of ten digits at each
   token.)
3. The score is the Pearson correlation of numbers and activations over all tokens of all contexts, pooled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from neurogloss.errors import AnswerError
from neurogloss.protocols import Answered, ChatModel, HeldOut, Instruments
from neurogloss.records import Answer, Question
from neurogloss.scorers.chats import failed, numbers
from neurogloss.scorers.detection import Detection
from neurogloss.tasks import together

HIGHEST = 10


@dataclass(frozen=True)
class Simulation:
    """Implements `neurogloss.protocols.DirectScorer`."""

    n_questions: int = 20
    """Contexts at most; half of them active."""
    name: str = "simulation"
    prompt: str = "score/simulation"
    needs_subject: bool = False
    needs: ClassVar[frozenset[str]] = frozenset({"explanation", "chat"})
    metric: ClassVar[str] = "correlation"
    chance: ClassVar[float | None] = None

    async def answered(self, explanation: str, held_out: HeldOut, instruments: Instruments) -> list[Answered]:
        """The numbers are each answer's values; the largest, over 10, stands for the probability."""
        assert instruments.chat is not None
        questions = Detection(self.n_questions).questions(held_out)
        answers = await together(
            self._answer(instruments.chat, explanation, question, held_out.seed) for question in questions
        )
        return list(zip(questions, answers, strict=True))

    async def _answer(self, chat: ChatModel, explanation: str, question: Question, seed: int) -> Answer:
        tokens = question.passages[0].tokens
        try:
            found = await numbers(
                chat, self.prompt, len(tokens), HIGHEST, seed, explanation=explanation, tokens=tokens
            )
        except AnswerError as error:
            return failed(error)
        return Answer(max(found) / HIGHEST, values=tuple(map(float, found)))
