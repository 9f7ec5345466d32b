"""score: what one scorer finds of the explanation and of its floors. One task a scorer, side by side.

With a rule to stop by, explanation and floors are asked the same questions batch by batch, until that is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from neurogloss.agent.state import ScorerState, ScoreState
from neurogloss.ids import derive_seed
from neurogloss.protocols import (
    Answered,
    DetailedScorer,
    DirectScorer,
    HeldOut,
    Instruments,
    Judge,
    QuestionScorer,
    Scorer,
)
from neurogloss.records import Outcome
from neurogloss.scorers import answering
from neurogloss.scorers.measure import headline, measure
from neurogloss.scorers.sequential import Stop
from neurogloss.tasks import together

NONE = Instruments()


class Score:
    """Asks and measures. A transport error goes up: no score is made of half the answers."""

    def __init__(self, judge: Judge, instruments: Instruments = NONE, stop: Stop | None = None) -> None:
        """
        Args:
            instruments: what scorers measure with that are not asked through the judge.
            stop: when a judge was asked enough; None asks everything.
        """
        self._judge, self._instruments, self._stop = judge, instruments, stop

    async def __call__(self, state: ScorerState) -> ScoreState:
        scorer, explanation, held_out = state["scorer"], state["explanation"], state["held_out"]
        answering.require(scorer, self._instruments)
        needs = answering.needs(scorer)
        floors = state["floors"] if "explanation" in needs else []
        texts = [explanation.text, *(floor.text for floor in floors)]
        if self._stop and isinstance(scorer, QuestionScorer):
            own, *beside = await self._until(self._stop, scorer, texts, held_out)
        else:
            own, *beside = await together(
                answering.ask(scorer, text, held_out, self._judge, self._instruments) for text in texts
            )
        if isinstance(scorer, DirectScorer):
            metric, chance = scorer.metric, scorer.chance
        else:
            metric, chance = headline([question for question, _ in own], state["density"]), None
        score = measure(
            scorer.name,
            answering.answerer(scorer, self._judge, self._instruments),
            own,
            beside,
            state["density"],
            derive_seed(held_out.seed, scorer.name, "bootstrap"),
            metric=metric,
            chance=chance,
            others=await self._lexical(scorer, held_out, own),
        )
        if self._stop and isinstance(scorer, QuestionScorer):
            score = self._stop.score(score, own, beside, len(scorer.questions(held_out)))
        effect = state["effect"] if "steered" in needs else {}
        own_figures = (
            scorer.further(own, held_out, self._instruments) if isinstance(scorer, DetailedScorer) else {}
        )
        asked = [(explanation.id, own), *zip((floor.id for floor in floors), beside, strict=True)]
        return {
            "scores": [replace(score, metrics={**score.metrics, **effect, **own_figures})],
            "outcomes": [
                Outcome(scorer.name, id, question, answer)
                for id, answered in asked
                for question, answer in answered
            ],
        }

    async def _until(
        self, stop: Stop, scorer: QuestionScorer, texts: Sequence[str], held_out: HeldOut
    ) -> list[list[Answered]]:
        """What is answered for each text, as far as is needed."""
        found: list[list[Answered]] = [[] for _ in texts]
        for batch in stop.batches(scorer.questions(held_out)):
            answers = await together(self._judge.ask(scorer.task, text, batch) for text in texts)
            for given, new in zip(found, answers, strict=True):
                given += zip(batch, new, strict=True)
            if stop.reached(found[0], found[1:]):
                break
        return found

    async def _lexical(self, scorer: Scorer, held_out: HeldOut, own: list[Answered]) -> dict[str, list[Answered]]:
        """What the words of the explain half predict, of questions that are asked of a judge."""
        judge = self._instruments.lexical(held_out.unit) if self._instruments.lexical else None
        if judge is None or not isinstance(scorer, QuestionScorer):
            return {}
        questions = [question for question, _ in own]
        return {"lexical": list(zip(questions, await judge.ask(scorer.task, "", questions), strict=True))}
