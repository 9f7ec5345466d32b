"""Scorers of explanations of voxels: prediction and writing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from neurogloss.errors import AnswerError, UserError
from neurogloss.ids import derive_seed
from neurogloss.protocols import Answered, Embedder, Float32, HeldOut, Instruments, Measured
from neurogloss.records import Answer, Failure, Passage, Question
from neurogloss.scorers.chats import failed, write
from neurogloss.scorers.embedding import logistic
from neurogloss.scorers.metrics import pearson

FEWEST = 10
"""Stimuli with a text, at least."""
NEAREST = 0.1
"""Share of the stimuli that counts as near to an explanation."""


@dataclass(frozen=True)
class VoxelPrediction:
    """Voxel prediction: does the explanation say how the voxel responds to stimuli that nobody fitted anything on?
    (LaVCa's sentence-level score: Matsuyama et al. 2025, arXiv:2502.13606)

    1. The predicted response to a held-out stimulus is the cosine of the sentence vectors of explanation and
       caption.
    2. The score is Spearman's correlation of predicted with measured responses: Pearson's of their ranks.
       Explanations of other voxels are its floor.
    3. Beside it: what noise allows and the score as a share of that; the same explanation's mean correlation with
       other voxels of the region, and the share of them that it predicts at least as well; and by how many
       standard deviations the response to the nearest tenth of the stimuli exceeds that to the others (after SASC:
       Singh et al. 2023, arXiv:2305.09863, on stimuli that were measured and not on texts that were written); and
       how alike two encoding models with features of two kinds predict the voxel, whatever the explanation.

    Implements `neurogloss.protocols.DetailedScorer`.
    """

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
        own = pearson(guesses, _ranks(measured.responses))
        others = [pearson(guesses, _ranks(each)) for each in measured.region]
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


@dataclass(frozen=True)
class VoxelWriting:
    """Voxel writing: do texts written for the explanation drive the voxel, as its encoding model predicts?
    (SASC: Singh et al. 2023, arXiv:2305.09863)

    1. A chat model is told the explanation and writes texts that it fits.
    2. The encoding model, which was fitted on the explain half, predicts the response to each of them.
    3. The response is given in standard deviations of those that the model predicts to the held-out stimuli, from
       their mean. The score is the mean over the texts; that of texts for other voxels' explanations is its floor,
       so that the excess is SASC's difference.

    What is tested is the model of the voxel: texts that nobody was shown have no measured responses.

    Implements `neurogloss.protocols.DirectScorer`.
    """

    n_texts: int = 10
    name: str = "voxel-writing"
    prompt: str = "score/write-fitting"
    needs_subject: bool = False
    needs: ClassVar[frozenset[str]] = frozenset({"explanation", "chat", "embedder", "responses", "readout"})
    metric: ClassVar[str] = "sigma"
    chance: ClassVar[float | None] = None

    async def answered(self, explanation: str, held_out: HeldOut, instruments: Instruments) -> list[Answered]:
        """One written text each. The predicted response in standard deviations is each answer's value.

        Raises:
            TransportError: the model could not be reached.
            UserError: the encoding model has features of another kind than the embedder's sentence vectors.
        """
        assert instruments.chat is not None and instruments.embedder is not None
        assert instruments.readout is not None and instruments.responses is not None
        readout = instruments.readout(held_out.unit)
        if readout.embedder != instruments.embedder.name:
            raise UserError(
                f"Expected an encoding model over sentence vectors of {instruments.embedder.name}, found one over "
                f"{readout.embedder}. Collect the responses without --features, or leave out {self.name}."
            )
        stimuli = [text for text in instruments.responses(held_out.unit).texts if text.strip()]
        usual = instruments.embedder.embed(stimuli) @ readout.weights if stimuli else None
        if usual is None or not usual.std():
            return []
        try:
            written = await write(
                instruments.chat, self.prompt, ("fitting",), self.n_texts, held_out.seed, explanation=explanation
            )
        except AnswerError as error:
            return [(Question((), True, "written"), failed(error))] * self.n_texts
        texts = written["fitting"]
        found = (instruments.embedder.embed(texts) @ readout.weights - usual.mean()) / usual.std()
        return [
            (Question((Passage((text,)),), True, "written"), _answer(text, float(value)))
            for text, value in zip(texts, found, strict=True)
        ]


def _answer(text: str, value: float) -> Answer:
    if not text.strip():
        return Answer(None, Failure.EMPTY, "a text without words")
    return Answer(logistic(value), values=(value,))
