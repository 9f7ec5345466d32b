"""Simulation: how active the unit is at each token, guessed from the explanation (Bills et al. 2023).

1. Active contexts are drawn evenly over the ranks of the unit's peaks, with as many silent ones, as for detection.
2. All at once: a text shows the explanation and the tokens of one context, each with a ? for the response to it.
   An LLM reads it as a prompt. In place of each ? the digits 0 to 9 have a probability, given what stands before;
   their mean under it is the simulated activation. (The original has 0 to 10, which is two tokens to many
   tokenizers; a correlation does not depend on the scale.)
3. In writing, where a server gives no log probabilities of prompts: a chat model answers with a whole number from
   0 to 10 for each token.
4. The score is the Pearson correlation of simulated and true activations over all tokens of all contexts, pooled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neurogloss.errors import AnswerError, UnparseableError
from neurogloss.llm import ChatModel, PromptReader
from neurogloss.prompts.render import render
from neurogloss.protocols import Answered, HeldOut, Instruments
from neurogloss.records import Answer, Question
from neurogloss.scorers.chats import failed, numbers
from neurogloss.scorers.detection import Detection
from neurogloss.tasks import together

DIGITS = tuple("0123456789")
BEFORE_DIGITS = "\t"
"""Stands before each blank of the prompt; in a token it is escaped."""
HIGHEST = 10


@dataclass(frozen=True)
class Simulation:
    """Implements `neurogloss.protocols.DirectScorer`, all at once. A context is one request."""

    n_questions: int = 20
    """Contexts at most; half of them active."""
    name: str = "simulation"
    prompt: str = "read/simulation"
    needs_subject: bool = False
    needs: ClassVar[frozenset[str]] = frozenset({"explanation", "chat", "prompt_logprobs"})
    metric: ClassVar[str] = "correlation"
    chance: ClassVar[float | None] = None

    async def answered(self, explanation: str, held_out: HeldOut, instruments: Instruments) -> list[Answered]:
        """The simulated activations are each answer's values; the largest, over 9, stands for the probability."""
        chat = instruments.chat
        assert isinstance(chat, PromptReader)
        questions = Detection(self.n_questions).questions(held_out)
        answers = await together(self._answer(chat, explanation, each) for each in questions)
        return list(zip(questions, answers, strict=True))

    async def _answer(self, model: PromptReader, explanation: str, question: Question) -> Answer:
        tokens = question.passages[0].tokens
        given, text = render(self.prompt, explanation=explanation, tokens=tokens).messages
        try:
            rows = await model.blanks(f"{given.content}\n", text.content, BEFORE_DIGITS, DIGITS)
            simulated = _means(rows)
        except AnswerError as error:
            return failed(error)
        return Answer(max(simulated) / len(DIGITS[1:]), values=simulated)


def _means(rows: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """The digits' mean at each place. Raises UnparseableError where one has no digit."""
    p = np.array(rows, float)
    mass = p.sum(1)
    if not mass.all():
        raise UnparseableError(
            f"expected digits among what is likely at token {int(mass.argmin()) + 1}, found none"
        )
    return tuple((p @ np.arange(len(DIGITS)) / mass).tolist())


@dataclass(frozen=True)
class WrittenSimulation:
    """The same, its numbers written by a chat model. Implements `neurogloss.protocols.DirectScorer`."""

    n_questions: int = 20
    """Contexts at most; half of them active."""
    name: str = "simulation-written"
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
