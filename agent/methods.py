"""What a labelling method is made of: explainer, judge, scorers and models, as the settings say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from neurogloss.agent.explainers import registry as explainers
from neurogloss.agent.models import Hard, Models, require_steering
from neurogloss.agent.nodes.experiment import Experiment
from neurogloss.agent.nodes.refine import Refine
from neurogloss.agent.state import Effort
from neurogloss.engines import load_chat_model
from neurogloss.errors import UserError
from neurogloss.ids import content_id
from neurogloss.llm import ChatModel
from neurogloss.prompts.pictures import has_words
from neurogloss.prompts.render import template_hash
from neurogloss.protocols import Explainer, Instruments, Judge, Scorer
from neurogloss.records import Passage
from neurogloss.scorers import answering, registry
from neurogloss.scorers.judges.embedded import LikelihoodJudge, SimilarityJudge
from neurogloss.scorers.judges.llm import LLMJudge
from neurogloss.scorers.judges.pattern import PatternJudge
from neurogloss.scorers.sequential import Stop
from neurogloss.settings import LabelSettings
from neurogloss.sources.brain.voxels import Voxels
from neurogloss.sources.cache import Cache
from neurogloss.sources.loading import has_subject_packages, require_subject_packages

BACKGROUND = 64
"""Contexts of the explain half against which a similarity judge standardises."""
FIRST = 8
"""Questions of the first round of screening by a judge whose answers cost something."""
LOOK = 10
"""Questions between two looks at what was answered so far."""
UNREFINED = ("pmi", "pattern", "promoted", "output", "lavca", "lavca-keywords", "lavca-mined")
"""Explainers that write without an LLM, or of what contexts do not show."""
SILENT = 2_048
"""Certified negatives that the search for a pattern is given. For a rare unit, few would not tell how often a
condition holds in silent contexts."""
HARD = Hard(8, frozenset({"neighbours", "lexical"}))
"""What the explain half gives to what refines or contrasts."""


@dataclass(frozen=True)
class Scoring:
    """How explanations are scored."""

    judge: Judge
    scorers: Sequence[Scorer]
    instruments: Instruments
    n_floors: int
    hard: Hard
    """What the score half has to give."""
    settings: dict[str, Any]
    """JSON of everything that decides a score."""
    stop: Stop | None = None
    """When a judge was asked enough; None: when it was asked everything."""
    patterns: PatternJudge | None = None
    """Answers about contexts by running the explanations' patterns; None: the judge answers everything."""


@dataclass(frozen=True)
class Method:
    """A way of labelling, and the name under which the ledger keeps what it gave."""

    explainer: Explainer
    effort: Effort
    hard: Hard
    """What the explain half has to give."""
    scoring: Scoring
    settings: dict[str, Any]
    """JSON of everything that decides the result."""

    @property
    def id(self) -> str:
        return f"{self.explainer.name.split(':')[0]}-{content_id(self.settings)[3:11]}"


async def open_chat(stack: AsyncExitStack, settings: LabelSettings, answers: Path | None) -> ChatModel | None:
    """The model that the settings name, connected until the stack ends; None where they name none."""
    if not settings.llm:
        return None
    chat = load_chat_model(
        settings.llm,
        settings.model,
        answers=answers,
        concurrency=settings.requests,
        timeout=settings.timeout,
        pictures=settings.pictures == "auto",
    )
    return await stack.enter_async_context(chat)


def build(
    settings: LabelSettings,
    cache: Cache,
    models: Models,
    chat: ChatModel | None = None,
    own_scorers: Sequence[Scorer] = (),
) -> Method:
    """The method that the settings mean.

    Raises:
        UserError: an LLM is asked for and none is given, an unknown explainer or scorer, or one that needs what is
            not there.
    """
    settings = judged_by_patterns(settings, settings.explainer_name == "pattern")
    scoring = build_scoring(settings, cache, models, chat, own_scorers)
    parts = replace(
        scoring.instruments,
        causal=models.causal,
        n_candidates=1 if settings.effort == "low" else settings.candidates,
        seed=settings.seed,
    )
    explainer = explainers.get(settings.explainer_name, parts)
    effort = _effort(settings, models, chat, scoring.judge)
    decides = {
        **scoring.settings,
        "min_active": settings.min_active,
        "explainer": dict(explainer.settings),
        "effort": effort.settings,
    }
    hard = HARD if effort.rounds or settings.explainer_name == "contrastive" else Hard()
    if settings.explainer_name == "pattern":
        hard = replace(hard, negatives=SILENT)
    return Method(explainer, effort, hard, scoring, decides)


def judged_by_patterns(settings: LabelSettings, patterns: bool) -> LabelSettings:
    """The settings, with the pattern as the judge if the explanations are `patterns` and no judge is named."""
    return settings.model_copy(update={"judge": "pattern"}) if patterns and settings.judge is None else settings


def build_scoring(
    settings: LabelSettings,
    cache: Cache,
    models: Models,
    chat: ChatModel | None = None,
    own_scorers: Sequence[Scorer] = (),
) -> Scoring:
    """Judge and scorers alone, for explanations that are there. Raises UserError as `build`."""
    if chat is None and settings.llm_judges:
        raise UserError("Expected an LLM for this judge, found none. Give one with --llm URL [--model NAME].")
    scorers = choose_scorers(settings.scorers, settings.questions, own_scorers)
    if any(scorer.needs_subject for scorer in scorers):
        require_subject_packages()
        require_steering(cache)
    has_subject = has_subject_packages()
    instruments = Instruments(
        chat=chat,
        causal=models.causal if has_subject else None,
        embedder=models.embedder,
        subject=models.laboratory.subject,
        lexical=models.lexical,
        responses=voxels.measured if (voxels := Voxels.of(cache)) else None,
        readout=models.readout,
    )
    for scorer in scorers:
        answering.require(scorer, instruments)
    judge, kinds = _judge(settings, cache, models, chat), answering.hard_kinds(scorers)
    stop = _stop(settings, len(scorers))
    patterns = PatternJudge() if settings.judge == "pattern" else None
    n_floors = settings.floors if settings.floors is not None else (1 if settings.llm_judges else 5)
    return Scoring(
        judge,
        scorers,
        instruments,
        n_floors,
        Hard(settings.questions // 2 if kinds else 0, kinds),
        {
            **settings.model_dump(mode="json", include={"questions", "kl", "prompts", "alpha", "seed"}),
            "judge": dict(judge.settings),
            "scorers": [describe(scorer) for scorer in scorers],
            "floors": n_floors,
            "collected": {key: cache.manifest[key] for key in ("settings", "subject", "corpus")},
            **({"stop": dict(stop.settings)} if stop else {}),
            **({"patterns": dict(patterns.settings)} if patterns else {}),
        },
        stop,
        patterns,
    )


def choose_scorers(names: Sequence[str], n_questions: int, own: Sequence[Scorer] = ()) -> list[Scorer]:
    """The named scorers, and one's own. Raises UserError where there is none, or two have one name."""
    scorers = [*registry.get(names, n_questions), *own]
    found = [scorer.name for scorer in scorers]
    if not found or len(set(found)) < len(found):
        raise UserError(f"Expected one scorer or more, each once; found {', '.join(found) or 'none'}.")
    return scorers


def describe(scorer: Scorer) -> dict[str, Any]:
    """A scorer's name, parameters and prompt."""
    parameters: dict[str, Any] = (
        {f.name: getattr(scorer, f.name) for f in fields(scorer)} if is_dataclass(scorer) else {}
    )
    prompt = getattr(scorer, "prompt", None)
    hashed = {"prompt": template_hash(prompt)} if prompt else {}
    return {**parameters, **hashed, "name": scorer.name}


def _effort(settings: LabelSettings, models: Models, chat: ChatModel | None, judge: Judge) -> Effort:
    """Rounds of an LLM that explains; other explainers have nothing to refine with."""
    first = FIRST if settings.llm_judges else None
    writer = settings.explainer_name.rpartition("+")[2]
    if settings.generator and (settings.effort != "high" or models.laboratory.images is None):
        raise UserError(
            "Expected a generator where experiments are made on images, found one elsewhere. Label a run over "
            "images with --effort high, or leave it out."
        )
    if chat is None or writer in UNREFINED or settings.effort == "low":
        return Effort(first=first)
    nodes: dict[str, Refine | Experiment] = {"refine": Refine(chat, judge)} if settings.refinements else {}
    rounds = ["refine"] * settings.refinements
    if settings.effort == "high":
        nodes = {"experiment": Experiment(chat, models.laboratory, settings.experiments), **nodes}
        rounds = ["experiment", *rounds]
    return Effort(rounds, nodes, first, settings.unit_tokens, settings.unit_seconds)


def _stop(settings: LabelSettings, n_scorers: int) -> Stop | None:
    """The error is shared by the scorers; batches are of whole prompts, and of at least `LOOK` questions."""
    if settings.stop is None:
        return None
    prompt = 1 if settings.probabilities else settings.per_prompt
    pair = math.lcm(2, prompt)
    return Stop(settings.stop, settings.stop_error / n_scorers, settings.stop_width, pair * math.ceil(LOOK / pair))


def _judge(settings: LabelSettings, cache: Cache, models: Models, chat: ChatModel | None) -> Judge:
    if settings.llm_judges and chat is not None:
        return LLMJudge(chat, settings.per_prompt, settings.seed, settings.probabilities)
    background = _background(cache)
    if settings.judge == "likelihood":
        return LikelihoodJudge(models.causal, background)
    return SimilarityJudge(models.embedder, background, settings.seed)


def _background(cache: Cache) -> list[Passage]:
    """Contexts of the explain half that a judge can read. Raises UserError where there are none with words."""
    contexts = (cache.context(int(digest)) for digest in cache.hashes("explain"))
    found = list(islice((Passage(c.tokens) for c in contexts if has_words(c)), BACKGROUND))
    if len(found) < 2:
        raise UserError(
            "Expected captions or texts for a judge that reads words, found none. Collect the images with "
            "captions, or give an LLM that sees pictures (--llm URL)."
        )
    return found
