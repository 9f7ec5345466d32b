"""Discrimination: does the explanation pick this unit's contexts against those of units like it?

1. Active contexts are drawn evenly over the ranks of the unit's peaks, as for detection.
2. As many contexts are put beside them in which the unit was certified silent while its neighbours fired, the
   units that most often fire together with it; or, by another name, contexts that hold a token at which it peaks
   elsewhere, or that read like its strongest ones.
3. The judge is asked what detection asks. An explanation that fits a whole family of units finds its contexts
   among random ones, and not among these (descriptions are shared by several units on average: arXiv:2605.12874).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from neurogloss.protocols import HeldOut
from neurogloss.records import Question
from neurogloss.scorers.choice import over_ranks
from neurogloss.scorers.detection import balanced, hard_negatives


@dataclass(frozen=True)
class Discrimination:
    """Implements `neurogloss.protocols.QuestionScorer`."""

    n_questions: int = 100
    """At most; half of them true."""
    against: Literal["neighbours", "lexical", "look_alikes"] = "neighbours"
    """The kind of hard negatives."""
    task: str = "detection"
    needs_subject: bool = False

    @property
    def name(self) -> str:
        return "discrimination" if self.against == "neighbours" else f"discrimination-{self.against}"

    @property
    def hard_kinds(self) -> tuple[str, ...]:
        """Hard negatives that the evidence should hold for it."""
        return (self.against,)

    def questions(self, held_out: HeldOut) -> list[Question]:
        """One passage each; the stratum is the decile of the peak or the kind of negative. Empty where none of
        that kind were looked for.
        """
        silent = hard_negatives(held_out.half.hard, self.hard_kinds)
        active = over_ranks(held_out.half.uniform, min(self.n_questions // 2, len(silent)))
        return balanced(active, silent, held_out.seed, self.name)
