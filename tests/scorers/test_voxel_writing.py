"""Voxel writing, by hand: texts are angles, and the voxel's direction is the angle 0."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurogloss.errors import TransportError, UserError
from neurogloss.ids import UnitId
from neurogloss.llm import Choice, Features, Message, Reply, Request
from neurogloss.protocols import Float32, HeldOut, Instruments, Measured, Readout
from neurogloss.records import EvidenceHalf, Failure
from neurogloss.scorers.answering import require
from neurogloss.scorers.measure import measure
from neurogloss.scorers.voxels import VoxelWriting

HELD_OUT = HeldOut(UnitId("s1", "measured", "voxels", 0), EvidenceHalf((), (), ()), (), 0)
STIMULI = ("0.5", "1.0", "", "2.0")
SCORER = VoxelWriting(n_texts=3)


class OnACircle:
    """A text is a number: an angle."""

    name = "circle"
    dimension = 2

    def embed(self, texts: Sequence[str]) -> Float32:
        return np.array([(math.cos(float(t or 3)), math.sin(float(t or 3))) for t in texts], np.float32)


@dataclass
class Writer:
    """Writes the same texts for an explanation, or fails."""

    texts: dict[str, Sequence[str] | Exception]
    name: str = "writer"
    features: Features = field(default_factory=Features)

    async def chat(self, request: Request) -> Reply:
        asked = request.messages[-1].content
        found = next(texts for explanation, texts in self.texts.items() if json.dumps(explanation) in asked)
        if isinstance(found, Exception):
            raise found
        return Reply(json.dumps({"fitting": found}))

    async def choose(self, messages: Sequence[Message], choices: Sequence[str]) -> Choice:
        raise NotImplementedError


def instruments(embedder: str = "circle", **texts: Sequence[str] | Exception) -> Instruments:
    measured = Measured(STIMULI, np.zeros(4, np.float32), np.zeros((0, 4), np.float32), math.nan)
    readout = Readout(embedder, np.array([2, 0], np.float32), np.array([0.1, 0.3], np.float32))
    return Instruments(
        chat=Writer(texts), embedder=OnACircle(), responses=lambda unit: measured, readout=lambda unit: readout
    )  # type: ignore[arg-type]


def test_the_score_is_in_deviations_of_the_predictions_to_held_out_stimuli() -> None:
    tools = instruments(east=["0.0", "0.1", "0.2"], west=["3.0", "3.1", "2.9"])
    own, other = (asyncio.run(SCORER.answered(text, HELD_OUT, tools)) for text in ("east", "west"))
    usual = np.cos([0.5, 1.0, 2.0])
    expected = (np.cos([0.0, 0.1, 0.2]) - usual.mean()) / usual.std()
    assert_allclose([answer.values[0] for _, answer in own], expected, rtol=1e-5)
    score = measure(SCORER.name, "writer", own, [other], 0.1, 0, SCORER.metric)
    assert_allclose(score.score.value, expected.mean(), rtol=1e-5)
    below = (np.cos([3.0, 3.1, 2.9]) - usual.mean()) / usual.std()
    assert_allclose(score.excess.value, (expected - below).mean(), rtol=1e-5)
    assert score.metrics["share_raised"] == 1


def test_what_is_not_written_is_a_failure_of_each_text() -> None:
    tools = instruments(east=["0.0", "", "0.2"], short=["1.0"], gone=TransportError("gone"))
    answers = [answer for _, answer in asyncio.run(SCORER.answered("east", HELD_OUT, tools))]
    assert [answer.failure for answer in answers] == [None, Failure.EMPTY, None]
    answers = [answer for _, answer in asyncio.run(SCORER.answered("short", HELD_OUT, tools))]
    assert [answer.failure for answer in answers] == [Failure.UNPARSEABLE] * 3
    with pytest.raises(TransportError):
        asyncio.run(SCORER.answered("gone", HELD_OUT, tools))


def test_another_feature_space_and_no_encoding_model_are_refused() -> None:
    with pytest.raises(UserError, match="sentence vectors of circle, found one over given"):
        asyncio.run(SCORER.answered("east", HELD_OUT, instruments("given")))
    with pytest.raises(UserError, match="encoding model over sentence vectors"):
        require(SCORER, Instruments(chat=Writer({}), embedder=OnACircle(), responses=lambda unit: None))  # type: ignore[arg-type, return-value]
