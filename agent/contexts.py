"""Label what another pipeline already has: texts with activations, no model, no run folder, no torch."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack

from neurogloss.agent import graph, tools
from neurogloss.agent.explainers.pmi import PMIExplainer
from neurogloss.engines import load_chat_model
from neurogloss.engines.embedder import MiniLM
from neurogloss.errors import AnswerError, UserError
from neurogloss.ids import UnitId, derive_seed, hash64
from neurogloss.protocols import Explainer, Judge, LiveSubject
from neurogloss.records import (
    Context,
    EvidenceHalf,
    Example,
    Label,
    Passage,
    State,
    UnitStatistics,
)
from neurogloss.scorers import floors
from neurogloss.scorers.judges.similarity import SimilarityJudge

Text = str | Sequence[str]
"""A text, or a text as its tokens."""
Activation = float | Iterable[float]
"""One number for the text, or one for each of its tokens (of its words, where it is a str)."""


def label_contexts(
    texts: Sequence[Text],
    activations: Sequence[Activation],
    *,
    unit: str = "own/contexts/given/0",
    threshold: float = 0.0,
    llm: str | None = None,
    model: str | None = None,
    scorers: Sequence[str] = ("detection", "fuzzing"),
    min_active: int = 4,
    seed: int = 0,
) -> Label:
    """Explain and score one unit from its texts and activations.

    Texts are split into two halves by their hash: one explains, the other scores.

    Args:
        texts: contexts of like length, active and silent ones. Equal texts are taken once.
        activations: of the unit, as many as texts; a text is active where its largest exceeds `threshold`.
        unit: name for the unit, as `subject/hookpoint/dictionary/index`.
        llm: URL of an OpenAI-compatible server, or `scripted:FILE`, that explains and judges; without one the
            words that the texts share are ranked and judged by embeddings.
        min_active: active texts needed in each half; with fewer the label's state is too_little_evidence.

    Returns:
        The label with its state, explanation and scores beside their floors.

    Raises:
        UserError: texts and activations that do not fit together, a name that is none, an unknown scorer or
            one that needs the subject.
    """
    try:
        name = UnitId.parse(unit)
    except ValueError as error:
        raise UserError(f"{error}.") from None
    return asyncio.run(
        _label(_examples(texts, activations), name, threshold, llm, model, scorers, min_active, seed)
    )


async def _label(
    examples: Sequence[Example],
    unit: UnitId,
    threshold: float,
    llm: str | None,
    model: str | None,
    scorers: Sequence[str],
    min_active: int,
    seed: int,
) -> Label:
    measuring = tools.choose_scorers(scorers, 100)
    if any(scorer.needs_subject for scorer in measuring):
        _no_subject()
    explain, score = (_half(examples, which, threshold, seed) for which in (0, 1))
    async with AsyncExitStack() as stack:
        explainer: Explainer = PMIExplainer(None)
        judge: Judge
        if llm:
            from neurogloss.agent.explainers.llm import LLMExplainer
            from neurogloss.scorers.judges.llm import LLMJudge

            chat = await stack.enter_async_context(load_chat_model(llm, model))
            explainer, judge = LLMExplainer(chat), LLMJudge(chat, seed=seed)
        else:
            background = [Passage(c.tokens) for c in (*explain.negatives, *(e.context for e in explain.uniform))]
            if len(background) < 2:
                return Label(
                    unit, explainer.name, State.TOO_LITTLE_EVIDENCE, "fewer than two texts to explain from"
                )
            judge = SimilarityJudge(MiniLM(), background[: tools.BACKGROUND], seed)
        found = await graph.explain_graph(explainer, judge, explainer.name, min_active, seed).ainvoke(
            {
                "unit": unit,
                "statistics": _statistics(examples, threshold),
                "half": explain,
                "score_active": len(score.uniform),
                "output_tokens": None,
            }
        )
        if "setback" in found:
            return Label(unit, explainer.name, State(found["setback"].failure), found["setback"].reason)
        explanation = found["explanations"][0]
        try:
            scored = await graph.score_graph(measuring, judge, _no_subject, 0, 0.05, seed).ainvoke(
                {
                    "explanation": explanation,
                    "half": score,
                    "tuning_prompts": (),
                    "density": _statistics(examples, threshold).density,
                    "floors": floors.draw(explanation, (), 1 if llm else 5, derive_seed(seed, str(unit))),
                }
            )
        except AnswerError as error:
            return Label(unit, explainer.name, State(error.failure), str(error), explanation)
        return Label(unit, explainer.name, scored["state"], scored["reason"], explanation, tuple(scored["scores"]))


def _no_subject() -> LiveSubject:
    raise UserError("Interventions need a collected run; label_contexts has only texts.")


def _examples(texts: Sequence[Text], activations: Sequence[Activation]) -> list[Example]:
    if len(texts) != len(activations) or not len(texts):
        raise UserError(
            f"Expected as many activations as texts, and some; found {len(texts)} texts and {len(activations)} "
            "activations."
        )
    found: dict[str, Example] = {}
    for i, (text, values) in enumerate(zip(texts, activations, strict=True)):
        tokens = tuple(re.findall(r"\s*\S+|\s+$", text)) if isinstance(text, str) else tuple(text)
        # Rows of numpy and torch are iterable, and no Sequence.
        given = tuple(map(float, values)) if isinstance(values, Iterable) else (float(values),) * len(tokens)
        if len(given) != len(tokens) or not tokens:
            raise UserError(
                f"Text {i} has {len(tokens)} {'words' if isinstance(text, str) else 'tokens'} and {len(given)} "
                "activations. Give one activation a token, or one number for the whole text."
            )
        if not all(map(math.isfinite, given)):
            raise UserError(f"Text {i} has an activation that is not finite. Leave the text out, or mend it.")
        joined = "".join(tokens)
        found.setdefault(joined, Example(Context(f"{hash64(joined):016x}", tokens), given))
    return list(found.values())


def _half(examples: Sequence[Example], which: int, threshold: float, seed: int) -> EvidenceHalf:
    mine = [example for example in examples if hash64(example.context.text, seed) % 2 == which]
    active = sorted((e for e in mine if e.peak > threshold), key=lambda e: (-e.peak, e.context.id))
    silent = sorted((e for e in mine if e.peak <= threshold), key=lambda e: e.context.id)
    return EvidenceHalf(tuple(active[:16]), tuple(active), tuple(example.context for example in silent))


def _statistics(examples: Sequence[Example], threshold: float) -> UnitStatistics:
    peaks = [example.peak for example in examples if example.peak > threshold]
    return UnitStatistics(
        n_contexts=len(examples),
        n_active=len(peaks),
        threshold=threshold,
        maximum=max((max(example.peak, 0.0) for example in examples), default=0.0),
        mean=sum(peaks) / len(peaks) if peaks else 0.0,
        histogram=(),
    )
