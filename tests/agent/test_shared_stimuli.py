"""Voxels beside a layer of a language model that read the same sentences."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurogloss as ng
from neurogloss.errors import UserError
from neurogloss.ids import UnitId
from neurogloss.runs.compare import grid
from neurogloss.sources.steering import LiveSubject
from neurogloss.sources.subject import Subject
from neurogloss.store.ledger import Ledger

LAYER = "model.layers.0.mlp.down_proj.input"
NEURONS = (3, 17, 29, 41)
WORDS = "salt water pan pot rain wind the a in of boil cook road hill".split()


@pytest.fixture(scope="module")
def sentences() -> list[str]:
    rng = np.random.default_rng(0)
    return list(dict.fromkeys(" ".join(rng.choice(WORDS, 6)) for _ in range(400)))


@pytest.fixture(scope="module")
def read(sentences: list[str], tiny_subject_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the model over the sentences, each a document, and some that nobody was shown."""
    folder = tmp_path_factory.mktemp("read")
    lines = [*sentences, *(f"{sentence} and so on" for sentence in sentences[:20])]
    (folder / "corpus.jsonl").write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))
    ng.collect(
        folder / "run",
        subject=str(tiny_subject_folder),
        hookpoints=(LAYER,),
        corpus=str(folder / "corpus.jsonl"),
        active_quantile=0.8,
        uniform=128,
        device="cpu",
    )
    return folder / "run"


def shown(folder: Path, texts: Sequence[str], responses: Any) -> Path:
    """A run of the responses of voxels to texts."""
    folder.mkdir()
    with open(folder / "stimuli.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["text"], *([text] for text in texts)])
    np.save(folder / "responses.npy", np.asarray(responses, np.float32))
    (folder / "rois.json").write_text(json.dumps({"V1": [0, 2], "V4": [2, 3]}), encoding="utf-8")
    ng.collect_responses(
        folder / "run",
        subject="s1",
        stimuli=str(folder / "stimuli.csv"),
        responses=(str(folder / "responses.npy"),),
        rois=str(folder / "rois.json"),
        active_quantile=0.8,
        uniform=128,
        predict=False,
        seed=5,
    )
    return folder / "run"


@pytest.fixture(scope="module")
def voxels(
    sentences: list[str], read: Path, tiny_subject_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Each voxel responds as a neuron peaks, with a little noise."""
    subject = Subject.load(str(tiny_subject_folder))
    live, rng = LiveSubject(subject, ng.open_run(read).cache.sites), np.random.default_rng(1)
    units = [UnitId("tiny-llama", LAYER, "neurons", index) for index in NEURONS]
    peaks = np.array([[e.peak for e in live.examples(unit, sentences)] for unit in units]).T
    noise = 0.1 * peaks.std(0) * rng.standard_normal(peaks.shape)
    return shown(tmp_path_factory.mktemp("voxels") / "s1", sentences, peaks + noise)


@pytest.mark.parametrize("kind", ["coactivation", "correlation"])
def test_a_voxel_that_responds_as_a_neuron_does_is_matched_with_it(kind: Any, voxels: Path, read: Path) -> None:
    found = ng.similar(voxels, read, by=[kind])
    best = {pair.a.unit: pair for pair in found.pairs if pair.a.unit.sign > 0}
    assert {unit.index: pair.b.unit.index for unit, pair in best.items()} == dict(enumerate(NEURONS))
    assert all(pair.similarity > 0.6 for pair in best.values())
    (level,) = found.levels
    assert level.mean > level.floor


def test_two_participants_are_compared_over_the_stimuli_that_they_share(
    voxels: Path, sentences: list[str], tmp_path: Path
) -> None:
    rng = np.random.default_rng(2)
    ours = np.load(voxels.parent / "responses.npy")
    others = [*sentences[:150], *(f"{sentence} again" for sentence in sentences[150:])]
    responses = np.concatenate([ours[:150], rng.standard_normal((len(others) - 150, 4))])[:, ::-1]
    found = ng.similar(voxels, shown(tmp_path / "s2", others, responses), by=["correlation"])
    best = {pair.a.unit.index: pair.b.unit.index for pair in found.pairs if pair.a.unit.sign > 0}
    assert best == {0: 3, 1: 2, 2: 1, 3: 0}


def test_a_text_that_the_other_run_cut_is_not_shared(
    sentences: list[str], tiny_subject_folder: Path, voxels: Path, tmp_path: Path
) -> None:
    long = [sentence for sentence in sentences if len(sentence) > 24]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps({"text": line}) + "\n" for line in long))
    cut = {"hookpoints": (LAYER,), "corpus": str(tmp_path / "corpus.jsonl"), "context_chars": 16}
    ng.collect(tmp_path / "run", subject=str(tiny_subject_folder), device="cpu", **cut)
    with pytest.raises(UserError, match=r"share 0 stimuli, 20 are needed"):
        ng.similar(voxels, tmp_path / "run", by=["coactivation"])


def told(run: Path, texts: Sequence[str]) -> None:
    """Explanations of the first units of a run."""
    opened = ng.open_run(run)
    with Ledger(opened.folder.ledger) as ledger:
        ledger.add_method("hand", {})
        for unit, text in zip(opened.cache.units(), texts, strict=False):
            ledger.add_units([(unit, opened.cache.statistics(unit))])
            ledger.record_explained(ng.Explanation(unit, text, "hand"), [])


def test_a_region_is_compared_with_a_layer_by_co_activation(voxels: Path, read: Path) -> None:
    found = ng.similar(voxels, read, (None, None, "V1"), by=["coactivation"])
    best = {pair.a.unit: pair.b.unit.index for pair in found.pairs if pair.a.unit.sign > 0}
    assert {unit.index: match for unit, match in best.items()} == {0: NEURONS[0], 2: NEURONS[2]}
    left = found.left_out["a: active in fewer than 5 contexts"]
    assert found.units[0] + left == 4, "both sides of two voxels"
    both = ng.similar(voxels, read, (None, None, "V1,V4"), by=["coactivation"])
    assert {pair.a.unit.index for pair in both.pairs} == {0, 2, 3}
    cells = grid(voxels, read, (None, None, "V4"), by="coactivation")
    assert cells.rows == ("measured/voxels",)
    whole = ng.similar(voxels, read, (None, None, "V4"), by=["coactivation"])
    assert cells.means[0, 0] == pytest.approx(np.mean([pair.similarity for pair in whole.pairs]), abs=1e-6)


def test_a_region_is_compared_with_a_layer_by_text(voxels: Path, read: Path, tmp_path: Path) -> None:
    responses, model = (Path(shutil.copytree(run, tmp_path / run.parent.name)) for run in (voxels, read))
    told(responses, ["salt and water", "wind on the road", "rain", "cooking in a pot"])
    told(model, ["a pot on the stove, cooking", "salty water", "rainfall", "a windy road"])
    found = ng.similar(responses, model, (None, None, "V4"), by=["text"])
    assert {pair.a.text: pair.b.text for pair in found.pairs} == {
        "rain": "rainfall",
        "cooking in a pot": "a pot on the stove, cooking",
    }


def test_a_region_that_is_not_there_is_told(voxels: Path, read: Path) -> None:
    with pytest.raises(UserError, match=r"\(V1, V4\), found FFA"):
        ng.similar(voxels, read, (None, None, "V1,FFA"), by=["coactivation"])
    with pytest.raises(UserError, match="Expected voxels, which regions are of"):
        ng.similar(voxels, read, place_b=(None, None, "V1"), by=["coactivation"])
    with pytest.raises(UserError, match="Expected units at any hookpoint/neurons"):
        ng.similar(voxels, read, (None, "neurons", "V1"), by=["coactivation"])
