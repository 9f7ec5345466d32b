"""gather: from the explain half to what the explainer sees, and a validation slice that it does not see."""

from __future__ import annotations

from neurogloss.agent.state import ExplainState, Setback
from neurogloss.ids import derive_seed
from neurogloss.protocols import HeldOut, Material
from neurogloss.records import EvidenceHalf, Failure
from neurogloss.scorers.detection import Detection


class Gather:
    """Splits the explain half, or ends the unit where it holds too little."""

    def __init__(self, min_active: int, seed: int) -> None:
        self._min_active, self._seed = min_active, seed

    async def __call__(self, state: ExplainState) -> ExplainState:
        statistics, half = state["statistics"], state["half"]
        if statistics.maximum <= 0:
            reason = f"never active in {statistics.n_contexts} contexts"
            return {"setback": Setback(Failure.DEAD, reason)}
        found = min(len(half.uniform), state["score_active"])
        if found < self._min_active:
            reason = f"{found} active contexts in a half, {self._min_active} needed"
            return {"setback": Setback(Failure.TOO_LITTLE_EVIDENCE, reason)}
        shown, kept = split(half)
        seed = derive_seed(self._seed, str(state["unit"]))
        tokens = state.get("output_tokens")
        promoted = tuple(token for token, _ in tokens.promoted) if tokens else ()
        return {
            "material": Material(state["unit"], shown, promoted, seed),
            "validation": Detection().questions(HeldOut(state["unit"], kept, (), seed)),
        }


def split(half: EvidenceHalf) -> tuple[EvidenceHalf, EvidenceHalf]:
    """What the explainer sees, and what validates: every second uniform example and negative; no text in both."""
    validation, silent = half.uniform[1::2], half.negatives[1::2]
    texts = {context.text for context in (*silent, *(example.context for example in validation))}
    shown = EvidenceHalf(
        top=tuple(e for e in half.top if e.context.text not in texts),
        uniform=tuple(e for e in half.uniform[::2] if e.context.text not in texts),
        negatives=tuple(c for c in half.negatives[::2] if c.text not in texts),
    )
    return shown, EvidenceHalf((), validation, silent)
