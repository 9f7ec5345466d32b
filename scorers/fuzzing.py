"""Fuzzing: are the marked tokens the ones that activate the unit? (Paulo et al. 2024, arXiv:2410.13928)

1. True: an active context of the score half with its active tokens marked (at least 0.3 of its peak).
2. False, as often: a silent context with the marks of one of those examples, each example's used once (`silent`,
   the paper's and delphi's form, which the context alone can answer), or the same example with as many marks
   on tokens that are not active (`active`, which isolates localisation).
3. The judge is asked of each, in random order, whether the marks are at what the explanation describes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from neurogloss.ids import derive_seed
from neurogloss.protocols import HeldOut
from neurogloss.records import Context, Example, Passage, Question
from neurogloss.scorers.choice import over_ranks, shuffled


@dataclass(frozen=True)
class Fuzzing:
    """Implements `neurogloss.protocols.QuestionScorer`."""

    n_questions: int = 100
    """At most; half of them true."""
    negatives: Literal["silent", "active"] = "silent"
    task: str = "fuzzing"
    needs_subject: bool = False

    @property
    def name(self) -> str:
        return "fuzzing" if self.negatives == "silent" else "fuzzing-active"

    def questions(self, held_out: HeldOut) -> list[Question]:
        """One marked passage each; the stratum is the decile of the peak (10 is the highest) or the negative."""
        half, n = held_out.half, self.n_questions // 2
        if self.negatives == "active":
            active = over_ranks([e for e in half.uniform if _has_room(e)], n)
            rng = np.random.default_rng(derive_seed(held_out.seed, self.name, "marks"))
            false = [_elsewhere(example, rng) for example, _ in active]
        else:
            active = over_ranks([e for e in half.uniform if e.active_positions()], min(n, len(half.negatives)))
            models = shuffled([e for e, _ in active], held_out.seed, f"{self.name} marks")
            silent = half.negatives[: len(active)]
            false = [_copied(context, model) for context, model in zip(silent, models, strict=True)]
        questions = [Question((Passage.of(e.context, e.active_positions(), e.grid),), True, d) for e, d in active]
        questions += [Question((passage,), False, self.negatives) for passage in false]
        return shuffled(questions, held_out.seed, self.name)


def _copied(context: Context, model: Example) -> Passage:
    """The context, marked as another one is; where it is shorter, the marks move along with its end.

    Those that then stand before its start are left out; the last one always remains.
    """
    pattern = model.active_positions()
    shift = 0 if model.grid else max(0, pattern[-1] - (len(context.tokens) - 1))
    return Passage.of(context, [i - shift for i in pattern if i - shift >= 0], model.grid)


def _elsewhere(example: Example, rng: np.random.Generator) -> Passage:
    """The example, with as many marks as it has active tokens or cells, on others."""
    active = example.active_positions()
    others = [i for i in range(len(example.activations)) if i not in active]
    marks = rng.choice(others, len(active), replace=False)
    return Passage.of(example.context, sorted(marks.tolist()), example.grid)


def _has_room(example: Example) -> bool:
    """Whether some tokens or cells are active, and as many are not."""
    return 0 < 2 * len(example.active_positions()) <= len(example.activations)
