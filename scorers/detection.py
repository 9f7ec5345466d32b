"""Detection: does this context activate the unit? (Paulo et al. 2024, arXiv:2410.13928, section 3)

1. Active contexts are drawn evenly over the ranks of the unit's peaks, from a uniform sample of the score half.
2. As many contexts that are certified not to activate it are put beside them: of the scarcer kind, all that
   there are. They are a uniform sample of the silent ones; a share `hard` of them, where it is asked for, are
   contexts that something speaks for instead.
3. The judge is asked of each, in random order and without marks, whether the explanation fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neurogloss.protocols import HeldOut
from neurogloss.records import Context, Example, HardNegatives, Passage, Question
from neurogloss.scorers.choice import in_turn, over_ranks, shuffled

KINDS = ("neighbours", "lexical", "look_alikes")
"""Of hard negatives."""
Silent = tuple[Context, str]
"""A context that did not activate the unit, and the stratum that it stands for."""


@dataclass(frozen=True)
class Detection:
    """Implements `neurogloss.protocols.QuestionScorer`."""

    n_questions: int = 100
    """At most; half of them true."""
    hard: float = 0.0
    """Share of the false questions that are hard negatives, in [0, 1]; fewer where there are not so many."""
    task: str = "detection"
    needs_subject: bool = False

    @property
    def name(self) -> str:
        return "detection-hard" if self.hard else "detection"

    @property
    def hard_kinds(self) -> tuple[str, ...]:
        """Hard negatives that the evidence should hold for it."""
        return KINDS if self.hard else ()

    def questions(self, held_out: HeldOut) -> list[Question]:
        """One passage each; the stratum is the decile of the peak (10 is the highest), `silent`, or the kind of
        hard negative.
        """
        half, n = held_out.half, self.n_questions // 2
        found = hard_negatives(half.hard, self.hard_kinds)[: round(self.hard * n)]
        seen = {context.content for context, _ in found}
        plain = [(context, "silent") for context in half.negatives if context.content not in seen]
        active = over_ranks(half.uniform, min(n, len(found) + len(plain)))
        return balanced(active, [*found, *plain], held_out.seed, self.name)


def hard_negatives(hard: HardNegatives, kinds: Sequence[str]) -> list[Silent]:
    """Those of the given kinds, one of each kind in turn."""
    return in_turn([[(context, kind) for context in getattr(hard, kind)] for kind in kinds])


def balanced(
    active: Sequence[tuple[Example, str]], silent: Sequence[Silent], seed: int, purpose: str
) -> list[Question]:
    """A question for each active example and for as many silent contexts, shuffled."""
    questions = [
        Question((Passage.of(e.context, grid=e.grid),), True, decile, e.activations) for e, decile in active
    ]
    questions += [
        Question((Passage.of(context),), False, kind, (0.0,) * len(context.tokens))
        for context, kind in silent[: len(active)]
    ]
    return shuffled(questions, seed, purpose)
