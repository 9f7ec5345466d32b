"""verdict: accepted where some score lies above its floor, rejected where none does, or why nothing was scored."""

from __future__ import annotations

import math
from collections import Counter

from neurogloss.agent.state import ScoreState
from neurogloss.records import State
from neurogloss.scorers.measure import accepted


class Verdict:
    """Decides at level `alpha`, corrected over the scorers."""

    def __init__(self, alpha: float) -> None:
        self._alpha = alpha

    async def __call__(self, state: ScoreState) -> ScoreState:
        scores = [*state.get("scores", []), *state.get("earlier", [])]
        if any(not math.isnan(score.p_value) for score in scores):
            return {"state": State.ACCEPTED if accepted(scores, self._alpha) else State.REJECTED, "reason": ""}
        # Of the floors' answers too: without them there is nothing to compare with.
        answers = [outcome.answer for outcome in state.get("outcomes", [])]
        failures = Counter(answer.failure for answer in answers if answer.failure is not None)
        if not failures:
            return {"state": State.TOO_LITTLE_EVIDENCE, "reason": "no scorer found enough to ask about"}
        worst, n = failures.most_common(1)[0]
        return {"state": State(worst), "reason": f"{n} of the judge's answers: {worst}"}
