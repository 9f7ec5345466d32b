"""Embedding: how near the explanation lies to the unit's contexts (Paulo et al. 2024, arXiv:2410.13928).

1. The questions are those of detection.
2. The similarity of a context is the cosine of its sentence vector and that of the explanation, behind an
   instruction where the model takes one; (1 + cosine) / 2 stands for the probability.
3. The score is the AUROC between active and silent contexts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from neurogloss.protocols import Answered, HeldOut, Instruments
from neurogloss.records import Answer, Question
from neurogloss.scorers.answering import ask_in_words
from neurogloss.scorers.detection import Detection


@dataclass(frozen=True)
class Embedding:
    """Implements `neurogloss.protocols.DirectScorer`."""

    n_questions: int = 100
    """At most; half of them true."""
    instruction: str = ""
    """Written before the explanation."""
    name: str = "embedding"
    needs_subject: bool = False
    needs: ClassVar[frozenset[str]] = frozenset({"explanation", "embedder"})
    metric: ClassVar[str] = "auroc"
    chance: ClassVar[float | None] = None

    async def answered(self, explanation: str, held_out: HeldOut, instruments: Instruments) -> list[Answered]:
        """The cosine is each answer's value."""
        questions = Detection(self.n_questions).questions(held_out)
        answers = await ask_in_words(partial(self._answers, explanation, instruments), questions)
        return list(zip(questions, answers, strict=True))

    async def _answers(
        self, explanation: str, instruments: Instruments, questions: Sequence[Question]
    ) -> list[Answer]:
        assert instruments.embedder is not None
        texts = [question.passages[0].text for question in questions]
        vectors = instruments.embedder.embed([self.instruction + explanation, *texts])
        cosines = np.clip(vectors[1:] @ vectors[0], -1, 1).tolist()
        return [Answer((1 + cosine) / 2, values=(cosine,)) for cosine in cosines]
