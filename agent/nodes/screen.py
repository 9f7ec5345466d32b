"""screen: rank candidates on the validation slice of the explain half, by successive halving.

1. All candidates are asked the first few questions; the better half is asked more, until one set has had them all
   (Jamieson & Talwalkar 2016, arXiv:1502.07943). Each round about costs the same, and most candidates are cheap.
2. The value is the AUROC of the answers. Who was asked more stands before the others; ties keep their order.
3. Candidates of a later round are put among those that are ranked already, behind their equals.

The score half is not touched.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from neurogloss.agent.state import ExplainState, Found, Ranked, Setback
from neurogloss.errors import AnswerError
from neurogloss.protocols import HeldOut, Judge
from neurogloss.records import Answer, Question, Side
from neurogloss.scorers.detection import Detection
from neurogloss.scorers.metrics import auroc
from neurogloss.tasks import together


@dataclass(frozen=True)
class Screen:
    """Asks the judge."""

    judge: Judge
    first: int | None = None
    """Questions of the first round, doubled in each further one. None asks everything, if the judge is free."""
    alone: bool = False
    """Whether a candidate without competitor is asked about, too."""

    async def __call__(self, state: ExplainState) -> Found:
        before, origin = state.get("ranking", []), state["origin"]
        known = {ranked.candidate.text for ranked in before}
        fresh = [Ranked(candidate, origin) for candidate in state["candidates"] if candidate.text not in known]
        if fresh and (self.alone or len(before) + len(fresh) > 1):
            held_out = HeldOut(state["unit"], state["validation"], (), state["material"].seed)
            try:
                fresh = await self._rank(fresh, Detection().questions(held_out))
            except AnswerError as error:
                return {"setback": Setback(error.failure, str(error))}
        ranking = sorted([*before, *fresh], key=_place)
        return {"ranking": ranking, "candidates": [], "facts": {"ranking": [_facts(r) for r in ranking]}}

    async def _rank(self, fresh: Sequence[Ranked], questions: Sequence[Question]) -> list[Ranked]:
        answers: list[list[Answer]] = [[] for _ in fresh]
        # What a unit makes the subject write is not seen in the contexts that activate it.
        alive, asked = [i for i, r in enumerate(fresh) if r.candidate.side is not Side.OUTPUT], 0
        found = list(fresh)
        for end in _rounds(len(questions), self.first):
            batch = questions[asked:end]
            given = await together(self.judge.ask("detection", fresh[i].candidate.text, batch) for i in alive)
            for i, more in zip(alive, given, strict=True):
                answers[i] += more
                found[i] = replace(fresh[i], value=_value(questions, answers[i]), asked=end)
            asked = end
            alive = sorted(alive, key=lambda i: _place(found[i]))[: math.ceil(len(alive) / 2)]
        return found


def _rounds(n: int, first: int | None) -> list[int]:
    """Questions asked by the end of each round: first, twice that, …, n."""
    ends = []
    while first is not None and first < n:
        ends.append(first)
        first *= 2
    return [*ends, n] if n else []


def _value(questions: Sequence[Question], answers: Sequence[Answer]) -> float:
    """AUROC over the questions that were answered; NaN where it is undefined."""
    answered = [
        (question.truth, answer.probability)
        for question, answer in zip(questions[: len(answers)], answers, strict=True)
        if answer.probability is not None
    ]
    return auroc([truth for truth, _ in answered], [p for _, p in answered])


def _place(ranked: Ranked) -> tuple[bool, int, float]:
    unclear = ranked.candidate.side is Side.UNCLEAR
    return unclear, -ranked.asked, math.inf if math.isnan(ranked.value) else -ranked.value


def _facts(ranked: Ranked) -> dict[str, object]:
    value = None if math.isnan(ranked.value) else ranked.value
    return {"text": ranked.candidate.text, "value": value, "asked": ranked.asked, "origin": ranked.origin}
