"""settle: the ranking becomes explanations, the losers kept beside the best."""

from __future__ import annotations

import math

from neurogloss.agent.effort import Effort
from neurogloss.agent.state import ExplainState, Ranked
from neurogloss.protocols import Explainer
from neurogloss.records import Explanation


class Settle:
    """Names the explainer and the method in each explanation."""

    def __init__(self, explainer: Explainer, method: str, effort: Effort) -> None:
        self._explainer, self._method, self._effort = explainer, method, effort

    async def __call__(self, state: ExplainState) -> ExplainState:
        explanations = [self._explanation(state, rank, ranked) for rank, ranked in enumerate(state["ranking"])]
        facts = {"chosen": explanations[0].text, "stopped": self._effort.over(state)}
        return {"explanations": explanations, "facts": facts}

    def _explanation(self, state: ExplainState, rank: int, ranked: Ranked) -> Explanation:
        return Explanation(
            unit=state["unit"],
            text=ranked.candidate.text,
            method=self._method,
            rank=rank,
            side=ranked.candidate.side,
            facets=ranked.candidate.facets,
            validation=None if math.isnan(ranked.value) else ranked.value,
            provenance={
                "explainer": self._explainer.name,
                "origin": ranked.origin,
                "validated_on": ranked.asked,
                "seed": state["material"].seed,
            },
        )
