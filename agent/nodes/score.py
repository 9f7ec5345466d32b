"""prepare, score and verdict: from an explanation to its scores.

1. prepare collects what the scorers measure on. If a scorer asks for it, the subject is steered, once a unit.
2. score measures the explanation and its floors by one scorer; all scorers run at the same time. With a rule to
   stop by, explanation and floors are asked the same questions batch by batch, until that is enough.
3. verdict accepts the label if some score lies above its floor, rejects it if none does, or says why nothing was
   scored.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from neurogloss.agent.state import ScorerState, ScoreState
from neurogloss.ids import UnitId, derive_seed
from neurogloss.protocols import (
    Answered,
    DetailedScorer,
    DirectScorer,
    HeldOut,
    Instruments,
    Judge,
    QuestionScorer,
    Scorer,
    Steering,
)
from neurogloss.records import Outcome, State
from neurogloss.scorers import answering
from neurogloss.scorers.choice import prompt_texts
from neurogloss.scorers.judges.pattern import TASKS, PatternJudge, line_of
from neurogloss.scorers.measure import accepted, headline, measure
from neurogloss.scorers.sequential import Stop
from neurogloss.tasks import together


class Steered(Protocol):
    """A live subject that says something of texts or images, with a unit raised or without."""

    def steer(
        self, unit: UnitId, prompts: Sequence[str], tuning_prompts: Sequence[str], seed: int
    ) -> Steering: ...


class Prepare:
    """Steers on silent contexts of the score half; the strength is set on those of the explain half.

    A unit without such contexts is not steered; its interventions then have no questions.
    """

    def __init__(
        self,
        scorers: Sequence[Scorer],
        subject: Callable[[], Steered],
        n_prompts: int,
        seed: int,
        rivals: Callable[[UnitId], Sequence[UnitId]] | None = None,
    ) -> None:
        """`rivals`: other units of the same dictionary, for scorers that compare a unit with them."""
        needed = frozenset[str]().union(*map(answering.needs, scorers))
        self._steers = bool(needed & {"steered", "rivals"})
        self._rivals = rivals if "rivals" in needed else None
        self._subject, self._n_prompts, self._seed = subject, n_prompts, seed

    async def __call__(self, state: ScoreState) -> ScoreState:
        unit, half = state["explanation"].unit, state["half"]
        seed = derive_seed(self._seed, str(unit))
        prompts = prompt_texts(half.negatives, self._n_prompts)
        if not (self._steers and prompts and state["tuning_prompts"]):
            return {"held_out": HeldOut(unit, half, (), seed), "effect": {}}
        tuning = state["tuning_prompts"]
        subject = self._subject()
        steering = subject.steer(unit, prompts, tuning, seed)
        others = self._rivals(unit) if self._rivals else ()
        rivals = tuple(subject.steer(other, prompts, tuning, seed).texts for other in others)
        effect = {"kl": steering.kl, "strength": steering.strength}
        return {"held_out": HeldOut(unit, half, steering.texts, seed, rivals), "effect": effect}


@dataclass(frozen=True)
class Score:
    """Asks and measures. A transport error goes up: no score is made of half the answers."""

    judge: Judge
    instruments: Instruments = Instruments()
    """For scorers that do not ask the judge."""
    stop: Stop | None = None
    """When the judge was asked enough. None asks everything."""
    patterns: PatternJudge | None = None
    """Runs the patterns of explanation and floors for the tasks that a pattern answers, instead of the judge."""

    async def __call__(self, state: ScorerState) -> ScoreState:
        scorer, explanation, held_out = state["scorer"], state["explanation"], state["held_out"]
        answering.require(scorer, self.instruments)
        needs = answering.needs(scorer)
        floors = state["floors"] if "explanation" in needs else []
        judge, texts = self.judge, [explanation.text, *(floor.text for floor in floors)]
        if self.patterns and isinstance(scorer, QuestionScorer) and scorer.task in TASKS:
            judge = self.patterns
            texts = [
                line_of(explanation) or explanation.text,
                *(floor.pattern or floor.text for floor in floors),
            ]
        if self.stop and isinstance(scorer, QuestionScorer):
            own, *beside = await self._until(self.stop, scorer, judge, texts, held_out)
        else:
            own, *beside = await together(
                answering.ask(scorer, text, held_out, judge, self.instruments) for text in texts
            )
        if isinstance(scorer, DirectScorer):
            metric, chance = scorer.metric, scorer.chance
        else:
            metric, chance = headline([question for question, _ in own], state["density"]), None
        score = measure(
            scorer.name,
            answering.answerer(scorer, judge, self.instruments),
            own,
            beside,
            state["density"],
            derive_seed(held_out.seed, scorer.name, "bootstrap"),
            metric=metric,
            chance=chance,
            others=await self._lexical(scorer, held_out, own),
        )
        if self.stop and isinstance(scorer, QuestionScorer):
            score = self.stop.score(score, own, beside, len(scorer.questions(held_out)))
        effect = state["effect"] if "steered" in needs else {}
        own_figures = scorer.further(own, held_out, self.instruments) if isinstance(scorer, DetailedScorer) else {}
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
        self, stop: Stop, scorer: QuestionScorer, judge: Judge, texts: Sequence[str], held_out: HeldOut
    ) -> list[list[Answered]]:
        """What is answered for each text, as far as is needed."""
        found: list[list[Answered]] = [[] for _ in texts]
        for batch in stop.batches(scorer.questions(held_out)):
            answers = await together(judge.ask(scorer.task, text, batch) for text in texts)
            for given, new in zip(found, answers, strict=True):
                given += zip(batch, new, strict=True)
            if stop.reached(found[0], found[1:]):
                break
        return found

    async def _lexical(self, scorer: Scorer, held_out: HeldOut, own: list[Answered]) -> dict[str, list[Answered]]:
        """What the words of the explain half predict, of questions that are asked of a judge."""
        judge = self.instruments.lexical(held_out.unit) if self.instruments.lexical else None
        if judge is None or not isinstance(scorer, QuestionScorer):
            return {}
        questions = [question for question, _ in own]
        return {"lexical": list(zip(questions, await judge.ask(scorer.task, "", questions), strict=True))}


@dataclass(frozen=True)
class Verdict:
    """Decides at level `alpha`, corrected over the scorers."""

    alpha: float

    async def __call__(self, state: ScoreState) -> ScoreState:
        fresh = {score.scorer for score in state["scores"]}
        scores = [*state["scores"], *(score for score in state.get("earlier", ()) if score.scorer not in fresh)]
        if any(not math.isnan(score.p_value) for score in scores):
            return {"state": State.ACCEPTED if accepted(scores, self.alpha) else State.REJECTED, "reason": ""}
        # Of the floors' answers too: without them there is nothing to compare with.
        answers = [outcome.answer for outcome in state["outcomes"]]
        failures = Counter(answer.failure for answer in answers if answer.failure is not None)
        if not failures:
            return {"state": State.TOO_LITTLE_EVIDENCE, "reason": "no scorer found enough to ask about"}
        worst, n = failures.most_common(1)[0]
        return {"state": State(worst), "reason": f"{n} of the judge's answers: {worst}"}
