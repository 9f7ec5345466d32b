"""Intervention: can one tell, by the explanation, what the subject writes when the unit is raised?

1. Prompts of the score half are continued by the subject, clean and with the unit raised at a set KL.
2. The judge gets both continuations of a prompt, in random order, and says which shows more of what the
   explanation describes (the two-alternative form of Paulo et al. 2024, arXiv:2410.13928, section 4).
3. A prompt whose two continuations are the same tells nothing and makes no question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neurogloss.protocols import HeldOut, SteeredText
from neurogloss.records import Passage, Question
from neurogloss.scorers.choice import shuffled


@dataclass(frozen=True)
class Intervention:
    """Implements `neurogloss.protocols.QuestionScorer`."""

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
