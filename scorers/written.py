"""Tests on texts that an LLM writes, with the live subject as judge: generative clarity and sensitivity.

Clarity (of an explanation; FADE, Puri et al. 2025, arXiv:2502.16994, Gur-Arieh et al. 2025, arXiv:2501.08319):

1. A chat model writes texts that the explanation fits, and near misses: texts as like them as can be that it does
   not fit. Silent contexts of the score half can stand in their place (FADE's clarity is |2 AUROC - 1| of those).
2. The subject reads them all, and the unit's peak is taken in each.
3. The score is the AUROC of the peaks. The writer is not asked what fits, so that it cannot agree with itself.

Sensitivity (of a unit; arXiv:2509.23717):

1. A chat model is shown active contexts of the score half and writes as many like them as it is asked for.
2. The score is the share that activates the unit.

A text activates the unit where its peak reaches that of the weakest tenth of its active contexts: a threshold of
each unit's own, since activations of different units have no common scale.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from neurogloss.errors import AnswerError
from neurogloss.protocols import Answered, HeldOut, Instruments
from neurogloss.records import Answer, Failure, Passage, Question
from neurogloss.scorers.chats import failed, write
from neurogloss.scorers.choice import active_level, over_ranks

WEAKEST = 0.1


@dataclass(frozen=True)
class Clarity:
    """Implements `neurogloss.protocols.DirectScorer`."""

    n_texts: int = 10
    """Of each kind."""
    against: Literal["near-misses", "silent"] = "near-misses"
    prompt: str = "score/write"
    needs_subject: bool = True
    needs: ClassVar[frozenset[str]] = frozenset({"explanation", "chat", "subject"})
    metric: ClassVar[str] = "auroc"
    chance: ClassVar[float | None] = None

    @property
    def name(self) -> str:
        return "clarity" if self.against == "near-misses" else "clarity-silent"

    async def answered(self, explanation: str, held_out: HeldOut, instruments: Instruments) -> list[Answered]:
        """One written text each; true for those that the explanation fits. The peak is each answer's value."""
        assert instruments.chat is not None
        if math.isnan(active_level(held_out.half, WEAKEST)):
            return []
        kinds, n = (True, False), self.n_texts
        try:
            texts = await write(
                instruments.chat, self.prompt, ("fitting", "near"), n, held_out.seed, explanation=explanation
            )
        except AnswerError as error:
            return [(Question((), kind, "written"), failed(error)) for kind in kinds for _ in range(n)]
        false = texts["near"]
        if self.against == "silent":
            false = [context.text for context in held_out.half.negatives[:n]]
        read = [*texts["fitting"], *false]
        answers = _read(read, held_out, instruments)
        return [
            (Question((Passage((text,)),), i < n, "written" if i < n else self.against), answer)
            for i, (text, answer) in enumerate(zip(read, answers, strict=True))
        ]


@dataclass(frozen=True)
class Sensitivity:
    """Implements `neurogloss.protocols.DirectScorer`."""

    n_texts: int = 10
    n_shown: int = 15
    """Contexts that the writer sees, at most, evenly over the ranks of the peaks."""
    name: str = "sensitivity"
    prompt: str = "score/alike"
    needs_subject: bool = True
    needs: ClassVar[frozenset[str]] = frozenset({"chat", "subject"})
    metric: ClassVar[str] = "hit_rate"
    chance: ClassVar[float | None] = None

    async def answered(self, explanation: str, held_out: HeldOut, instruments: Instruments) -> list[Answered]:
        """One written text each; the answer is whether it activates the unit, the peak its value."""
        assert instruments.chat is not None
        shown = [
            Passage(example.context.tokens, example.active_positions())
            for example, _ in over_ranks(held_out.half.uniform, self.n_shown)
        ]
        if not shown:
            return []
        try:
            texts = (
                await write(instruments.chat, self.prompt, ("texts",), self.n_texts, held_out.seed, shown=shown)
            )["texts"]
        except AnswerError as error:
            return [(Question((), True, "written"), failed(error))] * self.n_texts
        answers = _read(texts, held_out, instruments)
        return [
            (Question((Passage((text,)),), True, "written"), _decided(answer))
            for text, answer in zip(texts, answers, strict=True)
        ]


def _read(texts: Sequence[str], held_out: HeldOut, instruments: Instruments) -> list[Answer]:
    """The unit's peak in each text, as a probability that is 1/2 where the text just activates it."""
    assert instruments.subject is not None
    filled = [text for text in texts if text.strip()]
    peaks = iter(
        [example.peak for example in instruments.subject().examples(held_out.unit, filled)] if filled else []
    )
    level = active_level(held_out.half, WEAKEST)
    return [
        _answer(next(peaks), level) if text.strip() else Answer(None, Failure.EMPTY, "a text without words")
        for text in texts
    ]


def _answer(peak: float, level: float) -> Answer:
    peak = max(peak, 0.0)
    return Answer(peak / (peak + level), values=(peak,))


def _decided(answer: Answer) -> Answer:
    """0 or 1 in place of a probability; a peak at the level activates."""
    if answer.probability is None:
        return answer
    return Answer(float(answer.probability >= 0.5), values=answer.values)
