"""Scorers that ask a judge about one context at a time: detection, discrimination and fuzzing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from neurogloss.ids import derive_seed
from neurogloss.protocols import HeldOut
from neurogloss.records import Context, Example, HardNegatives, Passage, Question
from neurogloss.scorers.choice import in_turn, over_ranks, shuffled

KINDS = ("neighbours", "lexical", "look_alikes")
"""Of hard negatives."""
Silent = tuple[Context, str]
"""A context that did not activate the unit, and the stratum that it stands for."""


@dataclass(frozen=True)
class Detection:
    """Detection: does this context activate the unit? (Paulo et al. 2024, arXiv:2410.13928, section 3)

    1. Active contexts are drawn evenly over the ranks of the unit's peaks, from a uniform sample of the score
       half.
    2. As many contexts that are certified not to activate it are put beside them: of the scarcer kind, all that
       there are. They are a uniform sample of the silent ones; a share `hard` of them, where it is asked for, are
       contexts that something speaks for instead.
    3. The judge is asked of each, in random order and without marks, whether the explanation fits.

    Implements `neurogloss.protocols.QuestionScorer`.
    """

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


@dataclass(frozen=True)
class Discrimination:
    """Discrimination: does the explanation pick this unit's contexts against those of units like it?

    1. Active contexts are drawn evenly over the ranks of the unit's peaks, as for detection.
    2. As many contexts are put beside them in which the unit was certified silent while its neighbours fired, the
       units that most often fire together with it; or, by another name, contexts that hold a token at which it
       peaks elsewhere, or that read like its strongest ones.
    3. The judge is asked what detection asks. An explanation that fits a whole family of units finds its contexts
       among random ones, and not among these (descriptions are shared by several units on average:
       arXiv:2605.12874).

    Implements `neurogloss.protocols.QuestionScorer`.
    """

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


@dataclass(frozen=True)
class Fuzzing:
    """Fuzzing: are the marked tokens the ones that activate the unit? (Paulo et al. 2024, arXiv:2410.13928)

    1. True: an active context of the score half with its active tokens marked (at least 0.3 of its peak).
    2. False, as often: a silent context with the marks of one of those examples, each example's used once
       (`silent`, the paper's and delphi's form, which the context alone can answer), or the same example with as
       many marks on tokens that are not active (`active`, which isolates localisation).
    3. The judge is asked of each, in random order, whether the marks are at what the explanation describes.

    Implements `neurogloss.protocols.QuestionScorer`.
    """

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
