"""Label what another pipeline already has: texts with activations, no model, no run folder, no torch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Unpack

from neurogloss.agent import methods
from neurogloss.agent.explainers import registry as explainers
from neurogloss.agent.graph import explain_graph, score_graph
from neurogloss.agent.models import Hard, lexical_judge
from neurogloss.engines import load_chat_model
from neurogloss.engines.embedder import MiniLM
from neurogloss.errors import UserError
from neurogloss.ids import derive_seed
from neurogloss.keywords import ContextKeywords
from neurogloss.llm import ChatModel
from neurogloss.protocols import Instruments, Judge, LiveSubject, Scorer
from neurogloss.records import Evidence, Label, Passage, State
from neurogloss.runs.given import Activation, Text, UnitName, evidence_of
from neurogloss.runs.stages import explain_unit, score_unit
from neurogloss.scorers import answering, floors
from neurogloss.scorers.judges.similarity import SimilarityJudge
from neurogloss.settings import ContextSettings, LabelSettings, make
from neurogloss.tasks import together, wait


def label_contexts(
    texts: Sequence[Text],
    activations: Sequence[Activation],
    *,
    unit: UnitName = 0,
    **values: Unpack[ContextKeywords],
) -> Label:
    """Explain and score one unit from its texts and activations.

    Texts are split into two halves by their hash: one explains, the other scores. It may be called where an event
    loop runs, as in a notebook, and holds that loop up; `label_contexts_async` does not.

    Args:
        texts: contexts of like length, active and silent ones. Equal texts are taken once.
        activations: of the unit, as many as texts.
        unit: its name as `subject/hookpoint/dictionary/index`, or its index alone.
        values: settings by name, see `ContextSettings`.

    Returns:
        The label with its state, explanation and scores beside their floors.

    Raises:
        UserError: settings that do not fit, texts and activations that do not fit together, a name that is none,
            an unknown scorer or one that needs the subject.
    """
    return wait(partial(label_contexts_async, texts, activations, unit=unit, **values))


async def label_contexts_async(
    texts: Sequence[Text],
    activations: Sequence[Activation],
    *,
    unit: UnitName = 0,
    **values: Unpack[ContextKeywords],
) -> Label:
    """As `label_contexts`, awaited."""
    settings = make(ContextSettings, values)
    measured = evidence_of(texts, activations, unit, settings.threshold, settings.seed)
    async with open_labeller(settings) as labeller:
        return await labeller.label(measured)


async def label_each(measured: Sequence[Evidence], settings: ContextSettings) -> list[Label]:
    """The label of each unit, in order; at a server, some units are in flight at a time."""
    # Models in this process answer one at a time.
    room = asyncio.Semaphore(settings.concurrency if settings.llm else 1)
    async with open_labeller(settings) as labeller:

        async def one(evidence: Evidence) -> Label:
            async with room:
                return await labeller.label(evidence)

        return await together(one(evidence) for evidence in measured)


# --- labelling ------------------------------------------------------------------------------------


def scorers_of(settings: ContextSettings) -> list[Scorer]:
    """Those that the settings name. Raises UserError where one is unknown, or needs the subject."""
    scorers = methods.choose_scorers(settings.scorers, 100)
    if any(scorer.needs_subject for scorer in scorers):
        _no_subject()
    return scorers


@asynccontextmanager
async def open_labeller(settings: ContextSettings) -> AsyncIterator[Labeller]:
    """What labels as the settings say; its connection ends with the block."""
    scorers = scorers_of(settings)
    async with AsyncExitStack() as stack:
        chat = None
        if settings.llm:
            chat = await stack.enter_async_context(
                load_chat_model(settings.llm, settings.model, answers=settings.answers)
            )
        yield Labeller(settings, scorers, chat)


@dataclass(frozen=True)
class Labeller:
    """Explains and scores units from their evidence alone, by a chat model or by embeddings."""

    settings: ContextSettings
    scorers: Sequence[Scorer]
    chat: ChatModel | None

    async def label(self, evidence: Evidence) -> Label:
        """Explained and scored, or the failure that ended it."""
        judge = self.judge(evidence)
        return await self.score(evidence, await self.explain(evidence, judge), judge)

    def judge(self, evidence: Evidence) -> Judge | None:
        """Who answers questions about this unit; None where there are too few texts to compare with."""
        if self.chat is not None:
            from neurogloss.scorers.judges.llm import LLMJudge

            return LLMJudge(self.chat, seed=self.settings.seed)
        half = evidence.explain
        background = [Passage(c.tokens) for c in (*half.negatives, *(e.context for e in half.uniform))]
        if len(background) < 2:
            return None
        return SimilarityJudge(MiniLM(), background[: methods.BACKGROUND], self.settings.seed)

    async def explain(self, evidence: Evidence, judge: Judge | None) -> Label:
        """In state `explained`, or a failure with its reason."""
        # A unit's own embedder: vectors differ in the last digits with the texts that came before.
        parts = Instruments(self.chat, embedder=MiniLM(), seed=self.settings.seed)
        explainer = explainers.get(self.settings.explainer or ("default" if self.chat else "pmi"), parts)
        unit, method, seed = evidence.unit, explainer.name, self.settings.seed
        if judge is None:
            return Label(unit, method, State.TOO_LITTLE_EVIDENCE, "fewer than two texts to explain from")
        compiled = explain_graph(explainer, judge, method, self.settings.min_active, seed)
        return (await explain_unit(compiled, evidence, method)).label

    async def score(self, evidence: Evidence, label: Label, judge: Judge | None) -> Label:
        """The same label with scores and verdict; as it is where it holds no explanation."""
        if label.explanation is None or judge is None:
            return label
        seed = self.settings.seed
        instruments = Instruments(
            chat=self.chat, embedder=MiniLM(), lexical=lambda unit: lexical_judge(evidence.explain)
        )
        scoring = methods.Scoring(judge, self.scorers, instruments, 1 if self.chat else 5, Hard(), {})
        for scorer in self.scorers:
            answering.require(scorer, instruments)
        compiled = score_graph(scoring, _no_subject, lambda unit: (), LabelSettings(seed=seed))
        drawn = floors.draw(label.explanation, (), scoring.n_floors, derive_seed(seed, str(evidence.unit)))
        return (await score_unit(compiled, label, evidence, drawn)).label


def _no_subject() -> LiveSubject:
    raise UserError("Interventions need a collected run; label_contexts has only texts.")
