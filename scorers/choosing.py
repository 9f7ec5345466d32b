"""Scorers that ask which one of several fits, or does not: intruder and output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neurogloss.errors import AnswerError
from neurogloss.ids import derive_seed
from neurogloss.prompts.pictures import all_in_words
from neurogloss.protocols import Answered, HeldOut, Instruments
from neurogloss.records import Answer, Context, Failure, Passage, Question
from neurogloss.scorers.chats import failed, numbers
from neurogloss.scorers.choice import in_turn, shuffled
from neurogloss.tasks import together

STRATA = 10
"""Parts of the ranks, at most."""


class _Choosing:
    """Asks, question by question, which of its passages is the first one; they are shown in random order."""

    name: str

    def _questions(self, held_out: HeldOut) -> list[Question]:
        raise NotImplementedError

    async def _named(
        self, explanation: str, asked: tuple[Passage, ...], seed: int, instruments: Instruments
    ) -> int | Answer:
        """Which one is named, from 1; or the answer if none can be."""
        raise NotImplementedError

    async def answered(self, explanation: str, held_out: HeldOut, instruments: Instruments) -> list[Answered]:
        """The passage to be found comes first in each question; the answer is whether it was named."""
        questions = self._questions(held_out)
        answers = await together(
            self._answer(explanation, question, derive_seed(held_out.seed, self.name, i), instruments)
            for i, question in enumerate(questions)
        )
        return list(zip(questions, answers, strict=True))

    async def _answer(self, explanation: str, question: Question, seed: int, instruments: Instruments) -> Answer:
        order = shuffled(range(len(question.passages)), seed, "order")
        try:
            asked = tuple(question.passages[i] for i in order)
            named = await self._named(explanation, asked, seed, instruments)
        except AnswerError as error:
            return failed(error)
        return named if isinstance(named, Answer) else Answer(float(order[named - 1] == 0))


@dataclass(frozen=True)
class Intruder(_Choosing):
    """Intruder: do the unit's contexts have something in common at all? (arXiv:2507.08473)

    It is told no explanation.

    1. Each question is made of contexts of one tenth of the ranks of the unit's peaks (or a larger part, where a
       tenth holds too few) and one context that is certified silent, in random order.
    2. A chat model says which one does not belong. Without one, an embedder does: the context with the smallest
       mean cosine to the others (said to be near chance). Images are shown to a model that sees pictures;
       otherwise captions are read, and a question about an image without one is not answered.
    3. The score is the share of questions answered right; guessing reaches one over the number of contexts, and an
       exact binomial test compares.

    Implements `neurogloss.protocols.DirectScorer`.
    """

    n_questions: int = 20
    """At most."""
    n_contexts: int = 5
    """In a question, the intruder among them; 3 or more."""
    name: str = "intruder"
    prompt: str = "score/intruder"
    needs_subject: bool = False
    needs: ClassVar[frozenset[str]] = frozenset({"chat|embedder"})
    metric: ClassVar[str] = "hit_rate"

    @property
    def chance(self) -> float:
        return 1 / self.n_contexts

    def _questions(self, held_out: HeldOut) -> list[Question]:
        """From each stratum of the ranks in turn, without using a context twice."""
        shown, uniform = self.n_contexts - 1, held_out.half.uniform
        n_strata = min(STRATA, len(uniform) // shown)
        groups: list[list[tuple[list[Context], str]]] = []
        for i in range(n_strata):
            part = uniform[i * len(uniform) // n_strata : (i + 1) * len(uniform) // n_strata]
            contexts = shuffled([e.context for e in part], held_out.seed, f"{self.name} {i}")
            cuts = range(0, len(contexts) - shown + 1, shown)
            groups.append([(contexts[at : at + shown], f"{n_strata - i} of {n_strata}") for at in cuts])
        return [
            Question(tuple(map(Passage.of, (intruder, *contexts))), True, stratum)
            for intruder, (contexts, stratum) in zip(
                held_out.half.negatives[: self.n_questions], in_turn(groups), strict=False
            )
        ]

    async def _named(
        self, explanation: str, asked: tuple[Passage, ...], seed: int, instruments: Instruments
    ) -> int | Answer:
        chat, n = instruments.chat, len(asked)
        passages = asked if chat and chat.features.pictures else all_in_words(asked)
        if passages is None:
            return Answer(None, Failure.TOO_LITTLE_EVIDENCE, "an image has no caption, and none is seen")
        if chat is None:
            assert instruments.embedder is not None
            vectors = instruments.embedder.embed([passage.text for passage in passages])
            return 1 + int(np.argmin((vectors @ vectors.T).sum(1)))
        prompt = f"{self.prompt}-pictures" if any(passage.picture for passage in passages) else self.prompt
        (found,) = await numbers(chat, prompt, 1, n, seed, lowest=1, images=passages, passages=passages)
        return found


RIVALS = 2


@dataclass(frozen=True)
class Output(_Choosing):
    """Output: which texts did the subject write with this unit raised? (Gur-Arieh et al. 2025, arXiv:2501.08319)

    1. A few prompts of the score half are continued with the unit raised, and with each of two other units raised,
       at the same KL. The continuations of one unit are a set.
    2. A chat model is given the explanation and the three sets in random order, and says which one it fits best.
       Without one, an embedder does: the set whose texts have the largest mean cosine to the explanation.
    3. The score is the share of questions answered right; guessing reaches 1/3, and an exact binomial test
       compares.

    Implements `neurogloss.protocols.DirectScorer`.
    """

    per_set: int = 3
    """Prompts in a question, each continued once in every set."""
    name: str = "output"
    prompt: str = "score/output"
    needs_subject: bool = True
    needs: ClassVar[frozenset[str]] = frozenset({"explanation", "steered", "rivals", "chat|embedder"})
    metric: ClassVar[str] = "hit_rate"
    chance: ClassVar[float | None] = 1 / (1 + RIVALS)

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

    async def _named(
        self, explanation: str, asked: tuple[Passage, ...], seed: int, instruments: Instruments
    ) -> int:
        sets = [passage.tokens for passage in asked]
        if instruments.chat is None:
            assert instruments.embedder is not None
            vectors = instruments.embedder.embed([explanation, *(text for texts in sets for text in texts)])
            cosines = (vectors[1:] @ vectors[0]).reshape(len(sets), -1)
            return 1 + int(np.argmax(cosines.mean(1)))
        (found,) = await numbers(
            instruments.chat, self.prompt, 1, len(sets), seed, lowest=1, explanation=explanation, sets=sets
        )
        return found
