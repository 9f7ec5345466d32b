"""Output: which texts did the subject write with this unit raised? (Gur-Arieh et al. 2025, arXiv:2501.08319)

1. A few prompts of the score half are continued with the unit raised, and with each of two other units raised, at
   the same KL. The continuations of one unit are a set.
2. A chat model is given the explanation and the three sets in random order, and says which one it fits best.
   Without one, an embedder does: the set whose texts have the largest mean cosine to the explanation.
3. The score is the share of questions answered right; guessing reaches 1/3, and an exact binomial test compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neurogloss.errors import AnswerError
from neurogloss.ids import derive_seed
from neurogloss.protocols import Answered, Embedder, HeldOut, Instruments
from neurogloss.records import Answer, Passage, Question
from neurogloss.scorers.chats import failed, numbers
from neurogloss.scorers.choice import shuffled
from neurogloss.tasks import together

RIVALS = 2


@dataclass(frozen=True)
class Output:
    """Implements `neurogloss.protocols.DirectScorer`."""

    per_set: int = 3
    """Prompts in a question, each continued once in every set."""
    name: str = "output"
    prompt: str = "score/output"
    needs_subject: bool = True
    needs: ClassVar[frozenset[str]] = frozenset({"explanation", "steered", "rivals", "chat|embedder"})
    metric: ClassVar[str] = "hit_rate"
    chance: ClassVar[float | None] = 1 / (1 + RIVALS)

    async def answered(self, explanation: str, held_out: HeldOut, instruments: Instruments) -> list[Answered]:
        """A passage a set, its texts as tokens, this unit's first; the answer is whether it was named."""
        questions = self._questions(held_out)
        answers = await together(
            self._answer(explanation, question, derive_seed(held_out.seed, self.name, i), instruments)
            for i, question in enumerate(questions)
        )
        return list(zip(questions, answers, strict=True))

    def _questions(self, held_out: HeldOut) -> list[Question]:
        if len(held_out.rivals) < RIVALS:
            return []
        units = [held_out.steered, *held_out.rivals[:RIVALS]]
        n = min(len(texts) for texts in units)
        starts = range(0, n - self.per_set + 1, self.per_set)
        return [
            Question(
                tuple(Passage(tuple(t.steered for t in texts[at : at + self.per_set])) for texts in units),
                True,
                "steered",
            )
            for at in starts
        ]

    async def _answer(self, explanation: str, question: Question, seed: int, instruments: Instruments) -> Answer:
        order = shuffled(range(len(question.passages)), seed, "order")
        sets = [question.passages[i].tokens for i in order]
        try:
            if instruments.chat is not None:
                (named,) = await numbers(
                    instruments.chat, self.prompt, 1, len(sets), seed, lowest=1, explanation=explanation, sets=sets
                )
            else:
                assert instruments.embedder is not None
                named = 1 + _nearest(instruments.embedder, explanation, sets)
        except AnswerError as error:
            return failed(error)
        return Answer(float(order[named - 1] == 0))


def _nearest(embedder: Embedder, explanation: str, sets: Sequence[Sequence[str]]) -> int:
    vectors = embedder.embed([explanation, *(text for texts in sets for text in texts)])
    cosines = (vectors[1:] @ vectors[0]).reshape(len(sets), -1)
    return int(np.argmax(cosines.mean(1)))
