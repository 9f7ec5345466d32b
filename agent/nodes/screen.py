"""screen: rank the candidates on the validation slice of the explain half. The score half is not touched."""

from __future__ import annotations

import math

from neurogloss.agent.state import ExplainState, Setback
from neurogloss.errors import AnswerError
from neurogloss.protocols import Explainer, Judge
from neurogloss.records import Explanation
from neurogloss.scorers.metrics import auroc


class Screen:
    """Asks the judge of every candidate; ties keep the explainer's order."""

    def __init__(self, judge: Judge, explainer: Explainer, method: str) -> None:
        self._judge, self._explainer, self._method = judge, explainer, method

    async def __call__(self, state: ExplainState) -> ExplainState:
        questions, ranked = state["validation"], []
        try:
            for place, text in enumerate(state["candidates"]):
                ranked.append((await self._value(text, state), place, text))
        except AnswerError as error:
            return {"setback": Setback(error.failure, str(error))}
        ranked.sort(key=lambda item: (-item[0] if not math.isnan(item[0]) else math.inf, item[1]))
        return {
            "explanations": [
                Explanation(
                    unit=state["unit"],
                    text=text,
                    method=self._method,
                    rank=rank,
                    validation=None if math.isnan(value) else value,
                    provenance={
                        "explainer": self._explainer.name,
                        "place": place,
                        "validated_on": 0 if math.isnan(value) else len(questions),
                        "seed": state["material"].seed,
                    },
                )
                for rank, (value, place, text) in enumerate(ranked)
            ]
        }

    async def _value(self, text: str, state: ExplainState) -> float:
        """AUROC over the validation questions that were answered; NaN where only one candidate is there."""
        if len(state["candidates"]) == 1:
            return math.nan
        answers = await self._judge.ask("detection", text, state["validation"])
        answered = [
            (question.truth, answer.probability)
            for question, answer in zip(state["validation"], answers, strict=True)
            if answer.probability is not None
        ]
        return auroc([truth for truth, _ in answered], [p for _, p in answered])
