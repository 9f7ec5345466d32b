"""What a labelling method is made of: explainer, judge, scorers and subject, as the settings say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from typing import Any

from neurogloss.engines.embedded import DeferredModel, EmbeddedModel
from neurogloss.engines.embedder import MiniLM
from neurogloss.errors import UserError
from neurogloss.ids import content_id
from neurogloss.protocols import CausalModel, ChatModel, Embedder, Explainer, Judge, LiveSubject, Progress, Scorer
from neurogloss.records import Passage
from neurogloss.scorers import registry
from neurogloss.settings import DEMO_SUBJECT, CollectSettings, LabelSettings
from neurogloss.sources.cache import Cache
from neurogloss.sources.loading import require_subject_packages

BACKGROUND = 64
"""Contexts of the explain half against which a similarity judge standardises."""


@dataclass(frozen=True)
class Method:
    """A way of labelling, and the name under which the ledger keeps what it gave."""

    explainer: Explainer
    judge: Judge
    scorers: Sequence[Scorer]
    n_floors: int
    settings: dict[str, Any]
    """JSON of everything that decides the result."""

    @property
    def id(self) -> str:
        return f"{self.explainer.name.split(':')[0]}-{content_id(self.settings)[3:11]}"


class Models:
    """The models of one process, each loaded when it is first used, and never twice."""

    def __init__(self, cache: Cache, kl: float, progress: Progress) -> None:
        self._cache, self._kl, self._progress = cache, kl, progress

    @cached_property
    def embedder(self) -> Embedder:
        return MiniLM()

    @cached_property
    def live(self) -> LiveSubject:
        """The subject for interventions."""
        from neurogloss.sources.steering import LiveSubject as Live

        return Live(self._subject, self._cache.sites, self._kl)

    @cached_property
    def causal(self) -> CausalModel:
        """The small language model that ranks: SmolLM2, which may be the subject itself."""
        return DeferredModel(DEMO_SUBJECT, self._load_causal)

    def _load_causal(self) -> CausalModel:
        from neurogloss.sources.subject import Subject

        same = self._cache.manifest["settings"]["subject"] == DEMO_SUBJECT
        subject = self._subject if same else Subject.load(DEMO_SUBJECT, self._progress)
        return EmbeddedModel(subject.model, subject.tokenizer, DEMO_SUBJECT)

    @cached_property
    def _subject(self) -> Any:
        from neurogloss.sources.subject import Subject

        return Subject.of(CollectSettings(**self._cache.manifest["settings"]), self._progress)


def build(
    settings: LabelSettings,
    cache: Cache,
    models: Models,
    chat: ChatModel | None = None,
    own_scorers: Sequence[Scorer] = (),
) -> Method:
    """The method that the settings mean.

    Raises:
        UserError: an LLM is asked for and none is given, an unknown scorer, or one that needs the subject where
            torch is not installed.
    """
    if chat is None and (settings.llm_explains or settings.llm_judges):
        raise UserError(
            "Expected an LLM for this explainer or judge, found none. Give one with --llm URL [--model NAME]."
        )
    scorers = choose_scorers(settings.scorers, settings.questions, own_scorers)
    if any(scorer.needs_subject for scorer in scorers):
        require_subject_packages()
    explainer, judge = _explainer(settings, models, chat), _judge(settings, cache, models, chat)
    n_floors = settings.floors if settings.floors is not None else (1 if settings.llm_judges else 5)
    decides = settings.model_dump(
        mode="json", include={"questions", "min_active", "kl", "prompts", "alpha", "seed"}
    )
    return Method(
        explainer,
        judge,
        scorers,
        n_floors,
        {
            **decides,
            "explainer": dict(explainer.settings),
            "judge": dict(judge.settings),
            "scorers": [describe(scorer) for scorer in scorers],
            "floors": n_floors,
            "collected": {key: cache.manifest[key] for key in ("settings", "subject", "corpus")},
        },
    )


def choose_scorers(names: Sequence[str], n_questions: int, own: Sequence[Scorer] = ()) -> list[Scorer]:
    """The named scorers, and one's own. Raises UserError where there is none, or two have one name."""
    scorers = [*registry.get(names, n_questions), *own]
    found = [scorer.name for scorer in scorers]
    if not found or len(set(found)) < len(found):
        raise UserError(f"Expected one scorer or more, each once; found {', '.join(found) or 'none'}.")
    return scorers


def describe(scorer: Scorer) -> dict[str, Any]:
    """A scorer's name and parameters."""
    parameters: dict[str, Any] = (
        {f.name: getattr(scorer, f.name) for f in fields(scorer)} if is_dataclass(scorer) else {}
    )
    return {**parameters, "name": scorer.name}


def _explainer(settings: LabelSettings, models: Models, chat: ChatModel | None) -> Explainer:
    if settings.llm_explains and chat is not None:
        from neurogloss.agent.explainers.llm import LLMExplainer

        return LLMExplainer(chat, n=settings.candidates)
    from neurogloss.agent.explainers.pmi import PMIExplainer

    return PMIExplainer(models.causal)


def _judge(settings: LabelSettings, cache: Cache, models: Models, chat: ChatModel | None) -> Judge:
    if settings.llm_judges and chat is not None:
        from neurogloss.scorers.judges.llm import LLMJudge

        return LLMJudge(chat, seed=settings.seed)
    background = [Passage(cache.context(int(h)).tokens) for h in cache.hashes("explain")[:BACKGROUND]]
    if settings.judge == "likelihood":
        from neurogloss.scorers.judges.likelihood import LikelihoodJudge

        return LikelihoodJudge(models.causal, background)
    from neurogloss.scorers.judges.similarity import SimilarityJudge

    return SimilarityJudge(models.embedder, background, settings.seed)
