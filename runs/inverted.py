"""Detection of several units at once: groups of explanations, each asked about the contexts of all.

1. The chosen units are cut, in their order, into groups; those of a group that have an explanation are its
   members. A group does not depend on what was scored before, so that a later run asks the same, and is answered
   from disk.
2. The first unit of a group that is to be scored has all members asked (`neurogloss.scorers.inverted`); the others
   wait for the same answers.
3. Each unit is measured by itself, as any score is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neurogloss.agent.models import Hard, Models
from neurogloss.agent.nodes.verdict import Verdict
from neurogloss.runs.results import FailedUnit, Result, ScoredUnit, worked
from neurogloss.runs.sweeps import Sweeps
from neurogloss.agent.tools import Scoring
from neurogloss.engines.usage import Call, recording
from neurogloss.errors import AnswerError, UserError
from neurogloss.ids import UnitId, derive_seed
from neurogloss.protocols import Answered, HeldOut
from neurogloss.records import Answer, Explanation, Label, Outcome, Passage, Question, Score, State
from neurogloss.scorers.choice import shuffled
from neurogloss.scorers.detection import Detection
from neurogloss.scorers.inverted import DETECTION, DISCRIMINATION, fitting
from neurogloss.scorers.measure import headline, measure
from neurogloss.sources.cache import Cache
from neurogloss.sources.sketch import certified_below


@dataclass(frozen=True)
class Member:
    """A unit of a group."""

    unit: UnitId
    explanation: Explanation
    earlier: Sequence[Score]
    density: float
    questions: Sequence[Question]
    """Those of detection."""
    hashes: dict[str, int]
    """Of the contexts that activate it, by content."""


@dataclass
class Group:
    """Members, and what was answered about them."""

    members: Sequence[Member]
    answers: dict[str, Sequence[Answer]]
    """One a member, by a context's content."""
    calls: Sequence[Call]
    """Not yet accounted for."""
    error: AnswerError | None = None
    """Why there are no answers."""


class GroupScoring:
    """Scores one unit at a time, asking for its whole group where that was not asked yet."""

    def __init__(self, sweeps: Sweeps, scoring: Scoring, models: Models, cache: Cache) -> None:
        """Raises UserError without an LLM."""
        if scoring.instruments.chat is None:
            raise UserError("Expected an LLM to ask about several explanations at once. Give one with --llm URL.")
        self._sweeps, self._scoring, self._models, self._cache = sweeps, scoring, models, cache
        self._chat = scoring.instruments.chat
        self._verdict = Verdict(sweeps.settings.alpha)
        size, chosen = sweeps.settings.together, sweeps.chosen
        self._slices = (chosen[start : start + size] for start in range(0, len(chosen), size))
        self._some: Sequence[UnitId] = ()
        self._group: asyncio.Task[Group] | None = None

    async def __call__(self, label: Label) -> Result:
        # Units come in their order: a group is over where the next one begins.
        unit = label.unit
        if self._group is None or unit not in self._some:
            self._some = next(some for some in self._slices if unit in some)
            self._group = asyncio.create_task(self._ask(self._some))
        group = await self._group
        calls, group.calls = group.calls, ()
        if group.error:
            work = worked("score", calls)
            return FailedUnit(unit, label.method, State(group.error.failure), str(group.error), work)
        return await self._result(group, next(i for i, m in enumerate(group.members) if m.unit == unit), calls)

    async def _ask(self, some: Sequence[UnitId]) -> Group:
        members = [member for member in map(self._member, some) if member]
        settings = self._sweeps.settings
        passages = {q.passages[0].content: q.passages[0] for member in members for q in member.questions}
        asked = shuffled(list(passages.values()), settings.seed, DETECTION)
        texts = [member.explanation.text for member in members]
        with recording() as calls:
            try:
                answers = await fitting(self._chat, texts, asked, settings.per_prompt, settings.seed)
            except AnswerError as error:
                return Group(members, {}, calls, error)
        return Group(members, dict(zip((p.content for p in asked), answers, strict=True)), calls)

    def _member(self, unit: UnitId) -> Member | None:
        label = self._sweeps.ledger.label(unit, self._sweeps.method)
        if label is None or label.explanation is None:
            return None
        found = self._models.evidence(unit, Hard())
        held_out = HeldOut(unit, found.score, (), derive_seed(self._sweeps.settings.seed, str(unit)))
        return Member(
            unit,
            label.explanation,
            [score for score in label.scores if score.scorer not in (DETECTION, DISCRIMINATION)],
            found.statistics.density,
            Detection(self._sweeps.settings.questions).questions(held_out),
            {e.context.content: int(e.context.id, 16) for e in (*found.score.top, *found.score.uniform)},
        )

    async def _result(self, group: Group, at: int, calls: Sequence[Call]) -> ScoredUnit:
        mine = group.members[at]
        seed = derive_seed(self._sweeps.settings.seed, str(mine.unit), DETECTION)
        others = [i for i, m in enumerate(group.members) if m.explanation.text != mine.explanation.text]
        drawn = np.random.default_rng(seed).permutation(len(others))[: self._scoring.n_floors]
        floors = [others[i] for i in drawn.tolist()]
        own, *beside = [_answered(group, mine.questions, i) for i in (at, *floors)]
        told = [pair for pair in own if pair[0].truth] + _answered(group, self._theirs(group, mine), at)
        judge, rate = f"llm:{self._chat.name}", mine.density
        scores = [
            measure(DETECTION, judge, own, beside, rate, seed, headline(mine.questions, rate)),
            measure(DISCRIMINATION, judge, told, [], rate, seed, chance=0.5),
        ]
        asked = [(DETECTION, i, answered) for i, answered in zip((at, *floors), [own, *beside], strict=True)]
        outcomes = [
            Outcome(scorer, group.members[i].explanation.id, question, answer)
            for scorer, i, answered in [*asked, (DISCRIMINATION, at, told)]
            for question, answer in answered
        ]
        verdict = await self._verdict({"scores": scores, "earlier": list(mine.earlier), "outcomes": outcomes})
        state, reason = State(verdict["state"]), verdict["reason"]
        return ScoredUnit(mine.explanation, state, scores, outcomes, reason, worked("score", calls))

    def _theirs(self, group: Group, mine: Member) -> list[Question]:
        """Contexts asked about in which others are active, and this one is certified silent."""
        sample = self._cache.uniform_hashes(mine.unit, "score")
        bound, active = int(certified_below(sample)), set(sample.tolist())
        found: dict[str, Passage] = {}
        for other in group.members:
            for question in other.questions:
                digest = other.hashes.get(question.passages[0].content) if question.truth else None
                if digest is not None and digest < bound and digest not in active:
                    found[question.passages[0].content] = question.passages[0]
        return [
            Question((passage,), False, "others")
            for content, passage in found.items()
            if content not in mine.hashes
        ]


def _answered(group: Group, questions: Sequence[Question], at: int) -> list[Answered]:
    """What was said of one member's explanation."""
    return [(question, group.answers[question.passages[0].content][at]) for question in questions]
