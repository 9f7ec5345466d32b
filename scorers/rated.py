"""Tests on texts that an LLM rates: responsiveness, purity and faithfulness of FADE (Puri et al. 2025,
arXiv:2502.16994).

1. A chat model rates texts by the explanation, a few a prompt: 0 (does not fit), 1 (somewhat) or 2 (fits).
2. Responsiveness: texts are active and silent contexts of the score half. Those rated 2 should activate the unit
   more than those rated 0: AUROC of the activations (FADE's Gini is 2 AUROC - 1). Purity is the average precision
   of the same, `auprc`. Texts rated 1 are in neither set and make no question.
3. Faithfulness: texts are what the subject wrote with the unit raised, and clean. With p the share that is rated
   2, max(p(raised) - p(clean), 0) / (1 - p(clean)), at the one strength that the run's KL sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from neurogloss.errors import AnswerError
from neurogloss.llm import ChatModel
from neurogloss.protocols import Answered, HeldOut, Instruments
from neurogloss.records import Answer, Passage, Question
from neurogloss.scorers.chats import failed, numbers
from neurogloss.scorers.choice import active_level
from neurogloss.scorers.detection import Detection
from neurogloss.scorers.intervention import telling
from neurogloss.tasks import together

HIGHEST = 2
AT_ONCE = 15
"""Texts in a prompt."""
PROMPT = "score/rate"


@dataclass(frozen=True)
class Responsiveness:
    """Implements `neurogloss.protocols.DirectScorer`."""

    n_questions: int = 100
    """Texts at most; half of them active contexts."""
    name: str = "responsiveness"
    prompt: str = PROMPT
    needs_subject: bool = False
    needs: ClassVar[frozenset[str]] = frozenset({"explanation", "chat"})
    metric: ClassVar[str] = "auroc"
    chance: ClassVar[float | None] = None

    async def answered(self, explanation: str, held_out: HeldOut, instruments: Instruments) -> list[Answered]:
        """One context each, true where it was rated 2; the answer is the unit's, its peak the value."""
        assert instruments.chat is not None
        contexts = Detection(self.n_questions).questions(held_out)
        texts = [context.passages[0].text for context in contexts]
        ratings = await _rate(instruments.chat, self.prompt, explanation, texts, held_out.seed)
        level = active_level(held_out.half, 0.5)
        found: list[Answered] = []
        for context, rating in zip(contexts, ratings, strict=True):
            if isinstance(rating, Answer):
                found.append((Question(context.passages, context.truth, "unrated"), rating))
            elif rating != 1:
                peak = max(0.0, *context.activations)
                question = Question(context.passages, rating == HIGHEST, f"rated {rating}", context.activations)
                found.append((question, Answer(peak / (peak + level), values=(peak,))))
        return found


@dataclass(frozen=True)
class Faithfulness:
    """Implements `neurogloss.protocols.DirectScorer`."""

    name: str = "faithfulness"
    prompt: str = PROMPT
    needs_subject: bool = True
    needs: ClassVar[frozenset[str]] = frozenset({"explanation", "steered", "chat"})
    metric: ClassVar[str] = "faithfulness"
    chance: ClassVar[float | None] = None

    async def answered(self, explanation: str, held_out: HeldOut, instruments: Instruments) -> list[Answered]:
        """Two passages each, the steered one first; whether either was rated 2 are each answer's values."""
        assert instruments.chat is not None
        texts = telling(held_out.steered)
        both = [text.steered for text in texts] + [text.clean for text in texts]
        ratings = await _rate(instruments.chat, self.prompt, explanation, both, held_out.seed)
        found: list[Answered] = []
        for i, text in enumerate(texts):
            raised, clean = ratings[i], ratings[i + len(texts)]
            question = Question((Passage((text.steered,)), Passage((text.clean,))), True, "steered")
            found.append((question, _compared(raised, clean)))
        return found


def _compared(raised: int | Answer, clean: int | Answer) -> Answer:
    if isinstance(raised, Answer):
        return raised
    if isinstance(clean, Answer):
        return clean
    values = float(raised == HIGHEST), float(clean == HIGHEST)
    return Answer(0.5 + (values[0] - values[1]) / 2, values=values)


async def _rate(
    chat: ChatModel, prompt: str, explanation: str, texts: Sequence[str], seed: int
) -> list[int | Answer]:
    """A rating for each text, or the failure of its prompt."""

    async def batch(some: Sequence[str]) -> list[int | Answer]:
        try:
            return list(await numbers(chat, prompt, len(some), HIGHEST, seed, explanation=explanation, texts=some))
        except AnswerError as error:
            return [failed(error)] * len(some)

    batches = await together(batch(texts[at : at + AT_ONCE]) for at in range(0, len(texts), AT_ONCE))
    return [rating for ratings in batches for rating in ratings]
