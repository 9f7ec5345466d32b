"""Intervention in the form of log probabilities (Paulo et al. 2024, arXiv:2410.13928, section 4).

1. Prompts of the score half are continued by the subject, clean and with the unit raised at a set KL, which was
   found on other prompts.
2. A causal language model reads each continuation and what follows from it: "In this text there is much of: ".
3. The score is the mean over prompts of log p(explanation | steered text) - log p(explanation | clean text), in
   nats; a sign test says how many of them rose.

Nats grow with the strength of the intervention, so that scores are comparable at equal KL only; with the words of
an explanation as well, so that the floor matters more than 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from neurogloss.errors import AnswerError
from neurogloss.llm import CausalModel
from neurogloss.protocols import Answered, HeldOut, Instruments, SteeredText
from neurogloss.records import Answer, Passage, Question
from neurogloss.scorers.chats import failed
from neurogloss.scorers.intervention import telling
from neurogloss.scorers.surprisal import logistic
from neurogloss.tasks import together

PREFIX = "Text:\n{text}\n\nIn this text there is much of:"


@dataclass(frozen=True)
class InterventionLikelihood:
    """Implements `neurogloss.protocols.DirectScorer`."""

    prefix: str = PREFIX
    """What a continuation is shown in, as `text`; the explanation follows it."""
    name: str = "intervention-nats"
    needs_subject: bool = True
    needs: ClassVar[frozenset[str]] = frozenset({"explanation", "steered", "causal"})
    metric: ClassVar[str] = "nats"
    chance: ClassVar[float | None] = None

    async def answered(self, explanation: str, held_out: HeldOut, instruments: Instruments) -> list[Answered]:
        """Two passages each, the steered one first. The difference in nats is each answer's value."""
        assert instruments.causal is not None
        texts = telling(held_out.steered)
        answers = await together(self._answer(instruments.causal, text, explanation) for text in texts)
        return [
            (Question((Passage((text.steered,)), Passage((text.clean,))), True, "steered"), answer)
            for text, answer in zip(texts, answers, strict=True)
        ]

    async def _answer(self, model: CausalModel, text: SteeredText, explanation: str) -> Answer:
        totals = []
        for continuation in (text.steered, text.clean):
            prefix = self.prefix.format(text=text.prompt + continuation)
            try:
                (found,) = await model.likelihoods(prefix, [f" {explanation}"])
            except AnswerError as error:
                return failed(error)
            totals.append(found.total)
        gain = totals[0] - totals[1]
        return Answer(logistic(gain), values=(gain,))
