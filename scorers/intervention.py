"""Scorers of what the subject writes with the unit raised, by two of its continuations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from neurogloss.errors import AnswerError
from neurogloss.llm import CausalModel
from neurogloss.protocols import Answered, HeldOut, Instruments, SteeredText
from neurogloss.records import Answer, Passage, Question
from neurogloss.scorers.chats import failed
from neurogloss.scorers.choice import shuffled
from neurogloss.scorers.embedding import logistic
from neurogloss.tasks import together


@dataclass(frozen=True)
class Intervention:
    """Intervention: can one tell, by the explanation, what the subject writes when the unit is raised?

    1. Prompts of the score half are continued by the subject, clean and with the unit raised at a set KL.
    2. The judge gets both continuations of a prompt, in random order, and says which shows more of what the
       explanation describes (the two-alternative form of Paulo et al. 2024, arXiv:2410.13928, section 4).
    3. A prompt whose two continuations are the same tells nothing and makes no question.

    Implements `neurogloss.protocols.QuestionScorer`.
    """

    name: str = "intervention"
    task: str = "intervention"
    needs_subject: bool = True

    def questions(self, held_out: HeldOut) -> list[Question]:
        """Two passages each; true means that the first is the steered one. Half of them are true."""
        questions: list[Question] = []
        for text in shuffled(telling(held_out.steered), held_out.seed, self.name):
            clean, steered = Passage((text.clean,)), Passage((text.steered,))
            first = len(questions) % 2 == 0
            questions.append(Question((steered, clean) if first else (clean, steered), first, "steered"))
        return shuffled(questions, held_out.seed, f"{self.name} order")


def telling(texts: Sequence[SteeredText]) -> list[SteeredText]:
    """Those in which raising the unit made a difference that can be read."""
    return [text for text in texts if text.clean.strip() and text.steered.strip() and text.clean != text.steered]


PREFIX = "Text:\n{text}\n\nIn this text there is much of:"


@dataclass(frozen=True)
class InterventionLikelihood:
    """Intervention in the form of log probabilities (Paulo et al. 2024, arXiv:2410.13928, section 4).

    1. Prompts of the score half are continued by the subject, clean and with the unit raised at a set KL, which
       was found on other prompts.
    2. A causal language model reads each continuation and what follows from it: "In this text there is much of: ".
    3. The score is the mean over prompts of log p(explanation | steered text) - log p(explanation | clean text),
       in nats; a sign test says how many of them rose.

    Nats grow with the strength of the intervention, so that scores are comparable at equal KL only; with the words
    of an explanation as well, so that the floor matters more than 0.

    Implements `neurogloss.protocols.DirectScorer`.
    """

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
