"""score: one scorer's questions, asked for the explanation and for its floors. One task a scorer, side by side."""

from __future__ import annotations

from dataclasses import replace

from neurogloss.agent.state import ScoreState, Scoring
from neurogloss.ids import derive_seed
from neurogloss.protocols import Judge
from neurogloss.records import Outcome
from neurogloss.scorers.measure import measure


class Score:
    """Asks the judge and measures. A transport error goes up: no score is made of half the answers."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    async def __call__(self, state: Scoring) -> ScoreState:
        scorer, explanation, held_out = state["scorer"], state["explanation"], state["held_out"]
        questions = scorer.questions(held_out)
        answers = await self._judge.ask(scorer.task, explanation.text, questions)
        floors = [await self._judge.ask(scorer.task, floor.text, questions) for floor in state["floors"]]
        seed = derive_seed(held_out.seed, scorer.name, "bootstrap")
        score = measure(scorer.name, self._judge.name, questions, answers, floors, state["density"], seed)
        asked = [(explanation.id, answers), *zip((f.id for f in state["floors"]), floors, strict=True)]
        return {
            "scores": [replace(score, metrics={**score.metrics, **state["effect"]})],
            "outcomes": [
                Outcome(scorer.name, id, question, answer)
                for id, given in asked
                for question, answer in zip(questions, given, strict=True)
            ],
        }
