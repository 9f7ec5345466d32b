"""gather, explain and settle: the start and the end of the explain graph.

1. gather splits the explain half. Every second uniform example and negative goes to the explainer; the others go
   in turn to `practice`, from which mistakes are read for refining, and to `validation`, on which candidates are
   compared. Without refinement there is no practice, and validation takes both. No text is in two of the three.
2. explain asks the explainer for candidates.
3. settle turns the ranking into explanations, the losers kept with the best.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest

from neurogloss.agent.state import Effort, ExplainState, Found, Ranked, Setback
from neurogloss.errors import AnswerError
from neurogloss.ids import derive_seed
from neurogloss.protocols import Explainer, Material
from neurogloss.records import Context, EvidenceHalf, Explanation, Failure, HardNegatives


@dataclass(frozen=True)
class Gather:
    """Splits the explain half, or ends the unit if it holds too little."""

    min_active: int
    refines: bool
    seed: int
    whole: bool = False
    """Whether the explainer gets the whole explain half, because it validates on slices of its own."""

    async def __call__(self, state: ExplainState) -> Found:
        statistics, half = state["statistics"], state["half"]
        if shortfall := state.get("shortfall"):
            return {"setback": Setback(Failure.TOO_LITTLE_EVIDENCE, shortfall)}
        if statistics.maximum <= 0:
            reason = f"never active in {statistics.n_contexts} contexts"
            return {"setback": Setback(Failure.DEAD, reason)}
        found = min(len(half.uniform), state["score_active"])
        if found < self.min_active:
            reason = f"{found} active contexts in a half, {self.min_active} needed"
            return {"setback": Setback(Failure.TOO_LITTLE_EVIDENCE, reason)}
        shown, kept = split(half)
        practice, validation = split(kept) if self.refines else (EvidenceHalf((), (), ()), kept)
        seed = derive_seed(self.seed, str(state["unit"]))
        return {
            "material": Material(state["unit"], half if self.whole else shown, state.get("output_tokens"), seed),
            "practice": asked_about(practice),
            "validation": asked_about(validation),
            "rounds": 0,
            "started": time.monotonic(),
            "facts": {
                "shown": len({e.context.id for e in (*shown.top, *shown.uniform)}),
                "practice": len(practice.uniform),
                "validation": len(validation.uniform),
            },
        }


@dataclass(frozen=True)
class Explain:
    """Asks the explainer. A transport error is a setback too: a later run tries again."""

    explainer: Explainer

    async def __call__(self, state: ExplainState) -> Found:
        try:
            candidates = await self.explainer.candidates(state["material"])
        except AnswerError as error:
            return {"setback": Setback(error.failure, str(error))}
        return {
            "candidates": candidates,
            "origin": "explain",
            "facts": {"candidates": [candidate.text for candidate in candidates]},
        }


@dataclass(frozen=True)
class Settle:
    """Names the explainer and the method in each explanation."""

    explainer: Explainer
    method: str
    effort: Effort

    async def __call__(self, state: ExplainState) -> Found:
        explanations = [self._explanation(state, rank, ranked) for rank, ranked in enumerate(state["ranking"])]
        facts = {"chosen": explanations[0].text, "stopped": self.effort.over(state)}
        return {"explanations": explanations, "facts": facts}

    def _explanation(self, state: ExplainState, rank: int, ranked: Ranked) -> Explanation:
        return Explanation(
            unit=state["unit"],
            text=ranked.candidate.text,
            method=self.method,
            rank=rank,
            side=ranked.candidate.side,
            facets=ranked.candidate.facets,
            validation=None if math.isnan(ranked.value) else ranked.value,
            provenance={
                **ranked.candidate.details,
                "explainer": self.explainer.name,
                "origin": ranked.origin,
                "validated_on": ranked.asked,
                "seed": state["material"].seed,
            },
        )


# --- slices of the explain half ---------------------------------------------------------------------


def split(half: EvidenceHalf) -> tuple[EvidenceHalf, EvidenceHalf]:
    """Two slices, no text in both: the first has the top examples and every second of the rest."""
    kinds = half.hard
    kept = EvidenceHalf(
        top=(),
        uniform=half.uniform[1::2],
        negatives=half.negatives[1::2],
        hard=HardNegatives(kinds.neighbours[1::2], kinds.lexical[1::2], kinds.look_alikes[1::2]),
    )
    seen = {context.content for context in (*_silent(kept), *(example.context for example in kept.uniform))}

    def others(contexts: Sequence[Context]) -> tuple[Context, ...]:
        return tuple(context for context in contexts[::2] if context.content not in seen)

    shown = EvidenceHalf(
        top=tuple(e for e in half.top if e.context.content not in seen),
        uniform=tuple(e for e in half.uniform[::2] if e.context.content not in seen),
        negatives=others(half.negatives),
        hard=HardNegatives(others(kinds.neighbours), others(kinds.lexical), others(kinds.look_alikes)),
    )
    return shown, kept


def asked_about(half: EvidenceHalf) -> EvidenceHalf:
    """The slice with its hard negatives among the plain ones, one of each in turn, no text twice."""
    return replace(half, negatives=_silent(half), hard=HardNegatives())


def _silent(half: EvidenceHalf) -> tuple[Context, ...]:
    hard = (*half.hard.neighbours, *half.hard.lexical, *half.hard.look_alikes)
    both = chain.from_iterable(zip_longest(hard, half.negatives))
    return tuple({context.content: context for context in both if context is not None}.values())
