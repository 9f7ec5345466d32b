"""The models of one process, and what is found with them in a run's cache: each made when it is first used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from neurogloss.agent.experiments import Generator, Laboratory
from neurogloss.agent.nodes.score import Steered
from neurogloss.engines.embedded import EmbeddedModel
from neurogloss.engines.embedder import MiniLM
from neurogloss.engines.embedders import load_embedder
from neurogloss.errors import UserError
from neurogloss.ids import UnitId, derive_seed
from neurogloss.llm import CausalModel
from neurogloss.protocols import Embedder, Judge, LiveSubject, Progress, ReadoutOf
from neurogloss.records import Evidence, EvidenceHalf, Example
from neurogloss.scorers.judges.embedded import LexicalJudge
from neurogloss.settings import DEMO_SUBJECT, CollectSettings, ImageSettings, LabelSettings
from neurogloss.sources.brain.voxels import Voxels
from neurogloss.sources.cache import Cache
from neurogloss.sources.evidence import NEGATIVES, evidence
from neurogloss.sources.loading import has_subject_packages
from neurogloss.sources.neighbours import Neighbours

if TYPE_CHECKING:
    from neurogloss.sources.vision.steering import LiveClassifier

RIVALS = 2
"""Other units that an output-side scorer tells a unit from."""


@dataclass(frozen=True, slots=True)
class Hard:
    """Hard negatives that a half has to give."""

    n: int = 0
    """Of each kind."""
    kinds: frozenset[str] = frozenset()
    """Fields of `HardNegatives`; look-alikes take an embedding of every context of the half."""
    negatives: int = NEGATIVES
    """Plain certified negatives of a half at most."""


class Models:
    """What the parts of a labelling method share."""

    def __init__(self, cache: Cache, settings: LabelSettings, progress: Progress) -> None:
        self._cache, self._settings, self._progress = cache, settings, progress
        self.lexical = lru_cache(64)(self._lexical)
        """A unit's predictor from the words of its explain half; None where that has one kind of context only."""

    @cached_property
    def embedder(self) -> Embedder:
        return load_embedder(self._settings.embedder) if self._settings.embedder else MiniLM()

    @cached_property
    def neighbours(self) -> Neighbours:
        """Which units fire together."""
        return Neighbours(self._cache)

    @cached_property
    def live(self) -> LiveSubject:
        """The subject for interventions."""
        from neurogloss.sources.steering import LiveSubject as Live

        return Live(self._subject, self._cache.sites, self._settings.kl)

    @property
    def steered(self) -> Steered:
        """What units are raised in: the subject of texts, or of images."""
        return self.looking if self._cache.measure == "images" else self.live

    @cached_property
    def looking(self) -> LiveClassifier:
        """The subject of a run over images, for experiments and interventions."""
        from neurogloss.sources.vision.loading import subject_of
        from neurogloss.sources.vision.steering import LiveClassifier, gallery

        cache, settings = self._cache, ImageSettings(**self._cache.manifest["settings"])
        return LiveClassifier(subject_of(settings), cache.sites, self._settings.kl, gallery(cache))

    @cached_property
    def causal(self) -> CausalModel:
        """The small language model that ranks: SmolLM2, which may be the subject itself."""
        return EmbeddedModel(self._load_causal, DEMO_SUBJECT)

    @property
    def laboratory(self) -> Laboratory:
        """What experiments are made with: the subject where torch is installed, and it reads texts or images."""
        reads = self._cache.measure if has_subject_packages() else ""
        return Laboratory(
            (lambda: self.live) if reads == "tokens" else None,
            self._together,
            (lambda: self.looking) if reads == "images" else None,
            self._generator,
        )

    @cached_property
    def _generator(self) -> Generator | None:
        return Generator(self._settings.generator) if self._settings.generator else None

    @property
    def readout(self) -> ReadoutOf | None:
        """Directions of voxels in the embedder's space; None where the run has none."""
        voxels = Voxels.of(self._cache)
        return voxels.readout if voxels else None

    def evidence(self, unit: UnitId, hard: Hard) -> Evidence:
        """What the cache holds of a unit, with those hard negatives."""
        return evidence(
            self._cache,
            unit,
            hard.negatives,
            hard=hard.n,
            neighbours=self.neighbours if "neighbours" in hard.kinds else None,
            embedder=self.embedder if "look_alikes" in hard.kinds else None,
        )

    def rivals(self, unit: UnitId) -> list[UnitId]:
        """Others of the unit's dictionary that are active often enough, drawn by a seed of the unit's own."""
        site = self._cache.site(unit)
        rng = np.random.default_rng(derive_seed(self._settings.seed, str(unit), "rivals"))
        found: list[UnitId] = []
        for index in map(int, rng.permutation(site.units)):
            other = UnitId(unit.subject, unit.hookpoint, unit.dictionary, index)
            if index != unit.index and self._cache.statistics(other).n_active >= self._settings.min_active:
                found.append(other)
            if len(found) == RIVALS:
                break
        return found

    def _lexical(self, unit: UnitId) -> Judge | None:
        return lexical_judge(evidence(self._cache, unit).explain)

    def _together(self, unit: UnitId) -> list[tuple[float, Sequence[Example]]]:
        return [
            (other.jaccard, self._cache.examples(other.unit, "explain", "top"))
            for other in self.neighbours.of(unit)
        ]

    def _load_causal(self) -> tuple[Any, Any]:
        from neurogloss.sources.subject import Subject

        same = self._cache.measure == "tokens" and text_settings(self._cache).subject == DEMO_SUBJECT
        subject = self._subject if same else Subject.load(DEMO_SUBJECT, self._progress)
        return subject.model, subject.tokenizer

    @cached_property
    def _subject(self) -> Any:
        from neurogloss.sources.subject import Subject

        return Subject.of(text_settings(self._cache), self._progress)


def text_settings(cache: Cache) -> CollectSettings:
    """How a run of texts was collected. Raises UserError where the run is of images or responses."""
    if cache.measure != "tokens":
        raise UserError(
            f"Expected a run over texts, found one over {cache.measure} in {cache.path.parent}: its subject "
            "reads no texts, so there is no steering, firing or experiment. Use scorers without a subject:  "
            "--scorers detection"
        )
    return CollectSettings(**cache.manifest["settings"])


def require_steering(cache: Cache) -> None:
    """Refuse a run whose units cannot be raised. Raises UserError."""
    from neurogloss.sources.vision.steering import gallery

    if cache.measure != "images":
        text_settings(cache)
    elif not cache.manifest["subject"]["classes"] and not gallery(cache):
        raise UserError(
            f"Expected a model with named classes or images with captions, by which a raised unit is told; "
            f"{cache.subject} has neither. Use scorers without a subject:  --scorers detection,fuzzing"
        )


def lexical_judge(half: EvidenceHalf) -> Judge | None:
    """What predicts from the words of the explain half; None where that has one kind of context only."""
    try:
        return LexicalJudge(half)
    except ValueError:
        return None
