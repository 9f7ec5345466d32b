"""Detection: does this context activate the unit? (Paulo et al. 2024, arXiv:2410.13928, section 3)

1. Active contexts are drawn evenly over the ranks of the unit's peaks, from a uniform sample of the score half.
2. As many contexts that are certified not to activate it are put beside them: of the scarcer kind, all that
   there are.
3. The judge is asked of each, in random order and without marks, whether the explanation fits.
"""

from __future__ import annotations

from dataclasses import dataclass

from neurogloss.protocols import HeldOut
from neurogloss.records import Passage, Question
from neurogloss.scorers.choice import over_ranks, shuffled


@dataclass(frozen=True)
class Detection:
    """Implements `neurogloss.protocols.Scorer`."""

    n_questions: int = 100
    """At most; half of them true."""
    name: str = "detection"
    task: str = "detection"
    needs_subject: bool = False

    def questions(self, held_out: HeldOut) -> list[Question]:
        """One passage each; the stratum is the decile of the peak (10 is the highest) or `silent`."""
        half = held_out.half
        active = over_ranks(half.uniform, min(self.n_questions // 2, len(half.negatives)))
        silent = half.negatives[: len(active)]
        questions = [Question((Passage(e.context.tokens),), True, decile) for e, decile in active]
        questions += [Question((Passage(context.tokens),), False, "silent") for context in silent]
        return shuffled(questions, held_out.seed, self.name)
