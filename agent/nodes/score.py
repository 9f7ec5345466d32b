"""score: what one scorer finds of the explanation and of its floors. One task a scorer, side by side."""

from __future__ import annotations

from dataclasses import replace

from neurogloss.agent.state import ScorerState, ScoreState
from neurogloss.ids import derive_seed
from neurogloss.protocols import Answered, DirectScorer, HeldOut, Instruments, Judge, QuestionScorer, Scorer
from neurogloss.records import Outcome
from neurogloss.scorers import answering
from neurogloss.scorers.measure import measure
from neurogloss.tasks import together

NONE = Instruments()


class Score:
    """Asks and measures. A transport error goes up: no score is made of half the answers."""

    def __init__(self, judge: Judge, instruments: Instruments = NONE) -> None:
        """`instruments`: what scorers measure with that are not asked through the judge."""
        self._judge, self._instruments = judge, instruments

    async def __call__(self, state: ScorerState) -> ScoreState:
        scorer, explanation, held_out = state["scorer"], state["explanation"], state["held_out"]
        answering.require(scorer, self._instruments)
        needs = answering.needs(scorer)
        floors = state["floors"] if "explanation" in needs else []
        own, *beside = await together(
            answering.ask(scorer, text, held_out, self._judge, self._instruments)
            for text in (explanation.text, *(floor.text for floor in floors))
        )
        score = measure(
            scorer.name,
            answering.answerer(scorer, self._judge, self._instruments),
            own,
            beside,
            state["density"],
            derive_seed(held_out.seed, scorer.name, "bootstrap"),
            metric=scorer.metric if isinstance(scorer, DirectScorer) else "auroc",
            chance=scorer.chance if isinstance(scorer, DirectScorer) else None,
            others=await self._lexical(scorer, held_out, own),
        )
        effect = state["effect"] if "steered" in needs else {}
        asked = [(explanation.id, own), *zip((floor.id for floor in floors), beside, strict=True)]
        return {
            "scores": [replace(score, metrics={**score.metrics, **effect})],
            "outcomes": [
                Outcome(scorer.name, id, question, answer)
                for id, answered in asked
                for question, answer in answered
            ],
        }

    async def _lexical(self, scorer: Scorer, held_out: HeldOut, own: list[Answered]) -> dict[str, list[Answered]]:
        """What the words of the explain half predict, of questions that are asked of a judge."""
        judge = self._instruments.lexical(held_out.unit) if self._instruments.lexical else None
        if judge is None or not isinstance(scorer, QuestionScorer):
            return {}
        questions = [question for question, _ in own]
        return {"lexical": list(zip(questions, await judge.ask(scorer.task, "", questions), strict=True))}
