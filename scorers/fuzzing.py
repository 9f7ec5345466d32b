"""Fuzzing: are the marked tokens the ones that activate the unit? (Paulo et al. 2024, arXiv:2410.13928)

1. True: an active context of the score half with its active tokens marked (at least 0.3 of its peak).
2. False: the same number of marks at the same places of another text, fresh for each example:
   of a silent context (`silent`, the paper's and delphi's form, which the context alone can answer), or of
   the active context itself on tokens that are not active (`active`, which isolates localisation).
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
    """Implements `neurogloss.protocols.Scorer`."""

    n_questions: int = 100
    """At most; half of them true."""
    negatives: Literal["silent", "active"] = "silent"
    needs_subject: bool = False

    @property
    def name(self) -> str:
        return "fuzzing" if self.negatives == "silent" else "fuzzing-active"

    def questions(self, held_out: HeldOut) -> list[Question]:
        """One marked passage each; the stratum is the decile of the peak (10 is the highest) or the negative."""
        rng = np.random.default_rng(derive_seed(held_out.seed, self.name, "marks"))
        active = over_ranks(held_out.half.uniform, self.n_questions // 2)
        patterns = [example.active_positions() for example, _ in active]
        questions = [
            Question((Passage(example.context.tokens, marks),), True, decile)
            for (example, decile), marks in zip(active, patterns, strict=True)
        ]
        if self.negatives == "active":
            false = [_elsewhere(example, rng) for example, _ in active]
        else:
            silent = held_out.half.negatives[: self.n_questions // 2]
            silent = silent if patterns else ()
            false = [_copied(context, patterns[rng.integers(len(patterns))]) for context in silent]
        questions += [Question((passage,), False, self.negatives) for passage in false if passage.marks]
        return shuffled(questions, held_out.seed, self.name)


def _copied(context: Context, pattern: tuple[int, ...]) -> Passage:
    """The context, marked as another one is; where it is shorter, the marks move along with its end."""
    length = len(context.tokens)
    shift = max(0, pattern[-1] - (length - 1))
    return Passage(context.tokens, tuple(i - shift for i in pattern if i - shift >= 0))


def _elsewhere(example: Example, rng: np.random.Generator) -> Passage:
    """The example, with as many marks as it has active tokens, on tokens that are not."""
    active = example.active_positions()
    others = [i for i in range(len(example.context.tokens)) if i not in active]
    n = min(len(active), len(others))
    return Passage(example.context.tokens, tuple(sorted(rng.choice(others, n, replace=False).tolist())))
