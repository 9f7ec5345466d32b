"""Intruder: do the unit's contexts have something in common at all? (arXiv:2507.08473) It needs no explanation.

1. Each question is made of contexts of one tenth of the ranks of the unit's peaks (or a larger part, where a tenth
   holds too few) and one context that is certified silent, in random order.
2. A chat model says which one does not belong. Without one, an embedder does: the context with the smallest mean
   cosine to the others (said to be near chance).
   Images are shown to a model that sees pictures; otherwise captions are read, and a question about an image
   without one is not answered.
3. The score is the share of questions answered right; guessing reaches one over the number of contexts, and an
   exact binomial test compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neurogloss.errors import AnswerError
from neurogloss.ids import derive_seed
from neurogloss.llm import ChatModel
from neurogloss.prompts.pictures import all_in_words
from neurogloss.protocols import Answered, Embedder, HeldOut, Instruments
from neurogloss.records import Answer, Context, Failure, Passage, Question
from neurogloss.scorers.chats import failed, numbers
from neurogloss.scorers.choice import in_turn, shuffled
from neurogloss.tasks import together

STRATA = 10
"""Parts of the ranks, at most."""


@dataclass(frozen=True)
class Intruder:
    """Implements `neurogloss.protocols.DirectScorer`."""

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

    async def answered(self, explanation: str, held_out: HeldOut, instruments: Instruments) -> list[Answered]:
        """As many passages each as contexts, the intruder first; the answer is whether it was named."""
        questions = self._questions(held_out)
        answers = await together(
            self._answer(question, derive_seed(held_out.seed, self.name, i), instruments)
            for i, question in enumerate(questions)
        )
        return list(zip(questions, answers, strict=True))

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

    async def _answer(self, question: Question, seed: int, instruments: Instruments) -> Answer:
        order = shuffled(range(len(question.passages)), seed, "order")
        chat, asked = instruments.chat, tuple(question.passages[i] for i in order)
        passages = asked if chat and chat.features.pictures else all_in_words(asked)
        if passages is None:
            return Answer(None, Failure.TOO_LITTLE_EVIDENCE, "an image has no caption, and none is seen")
        try:
            if chat is not None:
                named = await self._named(chat, passages, seed)
            else:
                assert instruments.embedder is not None
                named = 1 + _outlier(instruments.embedder, [passage.text for passage in passages])
        except AnswerError as error:
            return failed(error)
        return Answer(float(order[named - 1] == 0))

    async def _named(self, chat: ChatModel, passages: Sequence[Passage], seed: int) -> int:
        prompt = f"{self.prompt}-pictures" if any(passage.picture for passage in passages) else self.prompt
        n = len(passages)
        (found,) = await numbers(chat, prompt, 1, n, seed, lowest=1, images=passages, passages=passages)
        return found


def _outlier(embedder: Embedder, texts: list[str]) -> int:
    vectors = embedder.embed(texts)
    return int(np.argmin((vectors @ vectors.T).sum(1)))
