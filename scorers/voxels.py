"""Voxel prediction: does the explanation say how the voxel responds to stimuli that nobody fitted anything on?
(LaVCa's sentence-level score: Matsuyama et al. 2025, arXiv:2502.13606)

1. The predicted response to a held-out stimulus is the cosine of the sentence vectors of explanation and caption.
2. The score is Spearman's correlation of predicted with measured responses: Pearson's of their ranks. Explanations
   of other voxels are its floor.
3. Beside it: what noise allows and the score as a share of that; the same explanation's mean correlation with
   other voxels of the region, and the share of them that it predicts at least as well; and by how many standard
   deviations the response to the nearest tenth of the stimuli exceeds that to the others (after SASC: Singh et al.
   2023, arXiv:2305.09863, on stimuli that were measured and not on texts that were written); and how alike two
   encoding models with features of two kinds predict the voxel, whatever the explanation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from neurogloss.ids import derive_seed
from neurogloss.protocols import Answered, Embedder, Float32, HeldOut, Instruments, Measured
from neurogloss.records import Answer, Passage, Question

FEWEST = 10
"""Stimuli with a text, at least."""
NEAREST = 0.1
"""Share of the stimuli that counts as near to an explanation."""


@dataclass(frozen=True)
class VoxelPrediction:
    """Implements `neurogloss.protocols.DetailedScorer`."""

    n_questions: int = 500
    """Stimuli at most: the same for all voxels."""
    name: str = "voxel-prediction"
    needs_subject: bool = False
    needs: ClassVar[frozenset[str]] = frozenset({"explanation", "embedder", "responses"})
    metric: ClassVar[str] = "correlation"
    chance: ClassVar[float | None] = None

    async def answered(self, explanation: str, held_out: HeldOut, instruments: Instruments) -> list[Answered]:
        """A stimulus each; true where the response is above the median. Ranks in [0, 1] are the question's
        activation and the answer's value.
        """
        measured = self._chosen(held_out, instruments)
        if len(measured.texts) < FEWEST:
            return []
        assert instruments.embedder is not None
        cosines = _cosines(explanation, measured.texts, instruments.embedder)
        ranks, guesses = _ranks(measured.responses), _ranks(cosines)
        return [
            (
                Question((Passage((text,)),), bool(rank > 0.5), activations=(float(rank),)),
                Answer(float((1 + cosine) / 2), values=(float(guess),)),
            )
            for text, rank, guess, cosine in zip(measured.texts, ranks, guesses, cosines, strict=True)
        ]

    def further(
        self, answered: Sequence[Answered], held_out: HeldOut, instruments: Instruments
    ) -> Mapping[str, float]:
        """What stands beside the score; NaN where undefined."""
        if not answered:
            return {}
        measured = self._chosen(held_out, instruments)
        guesses = np.array([answer.values[0] for _, answer in answered])
        own = _correlation(guesses, _ranks(measured.responses))
        others = [_correlation(guesses, _ranks(each)) for each in measured.region]
        near = guesses > np.quantile(guesses, 1 - NEAREST)
        spread = float(measured.responses.std())
        gap = float(measured.responses[near].mean() - measured.responses[~near].mean())
        return {
            "ceiling": measured.ceiling,
            "of_ceiling": own / measured.ceiling if measured.ceiling > 0 else math.nan,
            "region_floor": float(np.mean(others)) if others else math.nan,
            "region_p": (1 + sum(other >= own for other in others)) / (1 + len(others)) if others else math.nan,
            "gap_in_sigma": gap / spread if spread else math.nan,
            "encoder_stability": measured.stability,
        }

    def _chosen(self, held_out: HeldOut, instruments: Instruments) -> Measured:
        """The stimuli with a text, or `n_questions` of them drawn by a seed that all voxels share."""
        assert instruments.responses is not None
        measured = instruments.responses(held_out.unit)
        told = [i for i, text in enumerate(measured.texts) if text.strip()]
        order = np.random.default_rng(derive_seed(0, self.name)).permutation(len(told))
        rows = sorted(told[i] for i in order[: self.n_questions])
        return Measured(
            tuple(measured.texts[i] for i in rows),
            measured.responses[rows],
            measured.region[:, rows],
            measured.ceiling,
            measured.stability,
        )


def _cosines(explanation: str, texts: tuple[str, ...], embedder: Embedder) -> Float32:
    found: Float32 = np.clip(_vectors(embedder.embed, texts) @ embedder.embed([explanation])[0], -1, 1)
    return found


@lru_cache(4)
def _vectors(embed: Callable[[Sequence[str]], Float32], texts: tuple[str, ...]) -> Float32:
    """Of stimuli: the same for all voxels of a run."""
    return embed(texts)


def _ranks(values: Float32) -> NDArray[np.float64]:
    """In (0, 1], equal ones alike."""
    from scipy.stats import rankdata

    found: NDArray[np.float64] = rankdata(values) / len(values)
    return found


def _correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return float(np.corrcoef(x, y)[0, 1]) if np.ptp(x) and np.ptp(y) else math.nan
