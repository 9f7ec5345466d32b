"""explain: candidates from the explainer, or the reason why there are none."""

from __future__ import annotations

from neurogloss.agent.state import ExplainState, Setback
from neurogloss.errors import AnswerError
from neurogloss.protocols import Explainer


class Explain:
    """Asks the explainer. A transport error is a setback too: a later run tries again."""

    def __init__(self, explainer: Explainer) -> None:
        self._explainer = explainer

    async def __call__(self, state: ExplainState) -> ExplainState:
        try:
            candidates = await self._explainer.candidates(state["material"])
        except AnswerError as error:
            return {"setback": Setback(error.failure, str(error))}
        return {
            "candidates": candidates,
            "origin": "explain",
            "facts": {"candidates": [candidate.text for candidate in candidates]},
        }
