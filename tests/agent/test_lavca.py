"""LaVCa: the voxel's own weights choose among the words of its captions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from neurogloss.agent.explainers.lavca import LaVCa, chosen, mined
from neurogloss.agent.explainers.registry import get
from neurogloss.engines.scripted import ScriptedModel
from neurogloss.errors import EmptyAnswerError, UnparseableError, UserError
from neurogloss.ids import UnitId
from neurogloss.llm import ChatModel
from neurogloss.protocols import Float32, Instruments, Material, Readout
from neurogloss.records import Context, EvidenceHalf, Example

AXES = ("cat", "dog", "red", "street")
UNIT = UnitId("s1", "measured", "voxels", 0)


class Axes:
    """A text is the sum of the axes that its words begin with, of unit length; another axis where none has."""

    name = "axes"
    dimension = 5

    def embed(self, texts: Sequence[str]) -> Float32:
        rows = [[float(any(word.startswith(axis) for word in text.split())) for axis in AXES] for text in texts]
        found = np.array([[*row, float(not any(row))] for row in rows], np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)


def readout(unit: UnitId, embedder: str = "axes", **weights: float) -> Readout:
    given = weights or {"cat": 2.0, "dog": 2.0, "red": -1.0}
    return Readout(
        embedder, np.array([*(given.get(axis, 0.0) for axis in AXES), 0], np.float32), np.zeros(5, np.float32)
    )


def material(*captions: str) -> Material:
    top = tuple(Example(Context(str(i), (text,)), (9.0 - i,)) for i, text in enumerate(captions))
    return Material(UNIT, EvidenceHalf(top, (), ()), None, 0)


CAPTIONS = ("a cat in the street", "the dog is red", "a red street with a cat")


def texts(explainer: LaVCa, *captions: str) -> list[str]:
    return [candidate.text for candidate in asyncio.run(explainer.candidates(material(*captions)))]


def test_words_that_the_weights_point_to_stay() -> None:
    assert chosen(mined(CAPTIONS), readout(UNIT), Axes()) == ["cat", "dog"]  # type: ignore[arg-type]
    assert chosen(mined(CAPTIONS), readout(UNIT, red=1.0), Axes()) == ["red"]  # type: ignore[arg-type]


def test_a_pair_of_words_comes_where_it_fits_better_than_either() -> None:
    assert chosen(mined(CAPTIONS), readout(UNIT, red=1.0, street=1.0), Axes()) == ["red street"]  # type: ignore[arg-type]


def test_a_word_in_another_form_is_no_other_word() -> None:
    assert chosen(mined(("cats and a cat", "cat street")), readout(UNIT), Axes()) == ["cat"]  # type: ignore[arg-type]


def test_a_sentence_by_template_and_the_ablation_without_one() -> None:
    assert texts(LaVCa(Axes(), readout), *CAPTIONS) == ["about cat and dog", "about cat"]  # type: ignore[arg-type]
    bare = LaVCa(Axes(), readout, keywords_only=True)  # type: ignore[arg-type]
    assert texts(bare, *CAPTIONS) == ["cat, dog", "cat"] and bare.name == "lavca-keywords"


DRAW, WRITE = "keywords. Captions:", '^Keywords:\n```\n1. "'


def asked(tmp_path: Path, *rules: dict[str, object]) -> ChatModel:
    (tmp_path / "script.jsonl").write_text("\n".join(map(json.dumps, rules)), encoding="utf-8")
    return ScriptedModel(tmp_path / "script.jsonl")


def test_an_llm_draws_the_keywords_and_writes_the_sentence(tmp_path: Path) -> None:
    drawn = {"match": DRAW, "reply": {"keywords": ["Street", "dog  kennel", "cattery", "red", "dog kennel", " "]}}
    chat = asked(tmp_path, drawn, {"match": WRITE + "dog kennel", "reply": {"explanation": "where pets live"}})
    explainer = LaVCa(Axes(), readout, chat)  # type: ignore[arg-type]
    # Of what it drew, the weights choose: neither red nor a street.
    assert texts(explainer, *CAPTIONS) == ["where pets live", "about dog kennel and cattery", "about dog kennel"]
    assert explainer.settings["prompt"] and explainer.settings["drawn"] and explainer.name == "lavca"
    bare = LaVCa(Axes(), readout, chat, keywords_only=True)  # type: ignore[arg-type]
    assert texts(bare, *CAPTIONS) == ["dog kennel, cattery", "dog kennel"]
    assert bare.settings["drawn"] and bare.settings["prompt"] is None


def test_mined_keywords_stand_beside_what_an_llm_would_draw(tmp_path: Path) -> None:
    chat = asked(tmp_path, {"match": WRITE + "cat", "reply": {"explanation": "household pets"}})
    explainer = LaVCa(Axes(), readout, chat, mined=True)  # type: ignore[arg-type]
    assert texts(explainer, *CAPTIONS) == ["household pets", "about cat and dog", "about cat"]
    assert explainer.name == "lavca-mined" and explainer.settings["drawn"] is None


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ({"keywords": [" ", ""]}, EmptyAnswerError),
        ({"keywords": ["cat", 3]}, UnparseableError),
        ({"keywords": "cat"}, UnparseableError),
        ({"words": ["cat"]}, UnparseableError),
        ("cat, dog", UnparseableError),
    ],
)
def test_keywords_that_are_none_are_a_failure(reply: object, error: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(error):
        texts(LaVCa(Axes(), readout, asked(tmp_path, {"match": DRAW, "reply": reply})), *CAPTIONS)  # type: ignore[arg-type]


def test_captions_without_words() -> None:
    with pytest.raises(EmptyAnswerError):
        texts(LaVCa(Axes(), readout), "is it", "of the")  # type: ignore[arg-type]


def test_another_space_is_refused() -> None:
    explainer = LaVCa(Axes(), lambda unit: readout(unit, "given"))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="features given"):
        texts(explainer, *CAPTIONS)


def test_by_name_and_what_it_needs() -> None:
    parts = Instruments(embedder=Axes(), readout=readout)  # type: ignore[arg-type]
    assert [get(name, parts).name for name in ("lavca", "lavca-keywords")] == ["lavca", "lavca-keywords"]
    with pytest.raises(UserError, match="neurogloss collect-responses"):
        get("lavca", Instruments(embedder=Axes()))  # type: ignore[arg-type]
