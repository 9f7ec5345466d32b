"""Voxel writing: do texts that an LLM writes for the explanation drive the voxel, as its encoding model predicts?
(SASC: Singh et al. 2023, arXiv:2305.09863)

1. A chat model is told the explanation and writes texts that it fits.
2. The encoding model, which was fitted on the explain half, predicts the response to each of them.
3. The response is given in standard deviations of those that the model predicts to the held-out stimuli, from
   their mean. The score is the mean over the texts; that of texts for other voxels' explanations is its floor, so
   that the excess is SASC's difference.

What is tested is the model of the voxel: texts that nobody was shown have no measured responses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from neurogloss.errors import AnswerError, UserError
from neurogloss.protocols import Answered, HeldOut, Instruments
from neurogloss.records import Answer, Failure, Passage, Question
from neurogloss.scorers.chats import failed, write
from neurogloss.scorers.surprisal import logistic


@dataclass(frozen=True)
class VoxelWriting:
    """Implements `neurogloss.protocols.DirectScorer`."""

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
