"""Label texts and activations of another pipeline, without a model, a run folder or torch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
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
from neurogloss.scorers import answering, choice
from neurogloss.scorers.judges.embedded import SimilarityJudge
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

    The hash of each text decides whether it explains or scores. In a running event loop, as in a notebook, this
    blocks the loop; `label_contexts_async` does not.

    Args:
        texts: contexts of similar length, active and silent ones. Duplicates count once.
        activations: of the unit, one for each text.
        unit: its name as `subject/hookpoint/dictionary/index`, or its index alone.
        values: settings by name, see `ContextSettings`.

    Returns:
        The label with its state, explanation, scores and floors.

    Raises:
        UserError: settings, texts, activations or the unit's name are invalid, or a scorer is unknown or needs the
            subject.
    """
    return wait(partial(label_contexts_async, texts, activations, unit=unit, **values))


async def label_contexts_async(
    texts: Sequence[Text],
    activations: Sequence[Activation],
    *,
    unit: UnitName = 0,
    **values: Unpack[ContextKeywords],
) -> Label:
    """`label_contexts` as a coroutine. Cancelling it cancels its requests."""
    settings = make(ContextSettings, values)
    measured = evidence_of(texts, activations, unit, settings.threshold, settings.seed)
    return (await label_each([measured], settings))[0]


async def label_each(measured: Sequence[Evidence], settings: ContextSettings) -> list[Label]:
    """Label units in order, up to `concurrency` at a time if a server answers."""
    scorers = scorers_of(settings)
    # Models in this process answer one at a time.
    room = asyncio.Semaphore(settings.concurrency if settings.llm else 1)
    async with AsyncExitStack() as stack:
        chat = None
        if settings.llm:
            server = load_chat_model(
                settings.llm, settings.model, answers=settings.answers, timeout=settings.timeout
            )
            chat = await stack.enter_async_context(server)

        async def one(evidence: Evidence) -> Label:
            async with room:
                return await label_unit(evidence, settings, scorers, chat)

        return await together(one(evidence) for evidence in measured)


def scorers_of(settings: ContextSettings) -> list[Scorer]:
    """The scorers that the settings name. Raises UserError if one is unknown or needs the subject."""
    scorers = methods.choose_scorers(settings.scorers, 100)
    if any(scorer.needs_subject for scorer in scorers):
        _no_subject()
    return scorers


async def label_unit(
    evidence: Evidence, settings: ContextSettings, scorers: Sequence[Scorer], chat: ChatModel | None
) -> Label:
    """Explain and score one unit by a chat model, or by embeddings without one."""
    # Each unit gets an embedder of its own: vectors differ in the last digits with the texts embedded before.
    parts = Instruments(chat, embedder=MiniLM(), seed=settings.seed)
    explainer = explainers.get(settings.explainer or ("default" if chat else "pmi"), parts)
    judge = _judge(evidence, settings.seed, chat)
    if judge is None:
        reason = "fewer than two texts to explain from"
        return Label(evidence.unit, explainer.name, State.TOO_LITTLE_EVIDENCE, reason)
    explaining = explain_graph(explainer, judge, explainer.name, settings.min_active, settings.seed)
    label = (await explain_unit(explaining, evidence, explainer.name)).label
    if label.explanation is None:
        return label
    instruments = Instruments(chat=chat, embedder=MiniLM(), lexical=lambda unit: lexical_judge(evidence.explain))
    for scorer in scorers:
        answering.require(scorer, instruments)
    scoring = methods.Scoring(judge, scorers, instruments, 1 if chat else 5, Hard(), {})
    compiled = score_graph(scoring, _no_subject, lambda unit: (), LabelSettings(seed=settings.seed))
    seed = derive_seed(settings.seed, str(evidence.unit))
    drawn = choice.draw(label.explanation, (), scoring.n_floors, seed)
    return (await score_unit(compiled, label, evidence, drawn)).label


def _judge(evidence: Evidence, seed: int, chat: ChatModel | None) -> Judge | None:
    """Who answers questions about this unit. None if there are too few texts to compare with."""
    if chat is not None:
        from neurogloss.scorers.judges.llm import LLMJudge

        return LLMJudge(chat, seed=seed)
    half = evidence.explain
    background = [Passage(c.tokens) for c in (*half.negatives, *(e.context for e in half.uniform))]
    return SimilarityJudge(MiniLM(), background[: methods.BACKGROUND], seed) if len(background) > 1 else None


def _no_subject() -> LiveSubject:
    raise UserError("Interventions need a collected run; label_contexts has only texts.")
