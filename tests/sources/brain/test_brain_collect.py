"""Responses as evidence: the pass keeps what the matrix says, halves stay apart, and voxels are told apart."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurogloss.errors import UserError
from neurogloss.folder import RunFolder
from neurogloss.ids import UnitId
from neurogloss.runs.select import select
from neurogloss.sources.brain import collect
from neurogloss.sources.brain.collect import collect_responses
from neurogloss.sources.brain.experiment import read_experiment
from neurogloss.sources.brain.voxels import Voxels, shortfalls
from neurogloss.sources.cache import Cache
from neurogloss.sources.evidence import evidence

pytest.importorskip("himalaya")
pytest.importorskip("torch")


def unit(index: int, sign: int = 1, place: str = "measured") -> UnitId:
    return UnitId("s1", place, "voxels", index, sign)


def opened(folder: Path, settings: Any, embedder: Any) -> tuple[Cache, Voxels]:
    run = RunFolder(folder / "run")
    collect_responses(run, settings, embedder)
    voxels = Voxels.of(Cache(run.cache))
    assert voxels is not None
    return Cache(run.cache), voxels


def test_top_stimuli_are_those_with_the_largest_responses(study: Any, bag: Any, tmp_path: Path) -> None:
    cache, voxels = opened(tmp_path, study.settings(top=3), bag)
    experiment = read_experiment(study.settings())
    held_out = set(voxels.about["texts"])
    for sign in (1, -1):
        found = evidence(cache, unit(0, sign))
        for half, wanted in ((found.explain, False), (found.score, True)):
            mine = [i for i, row in enumerate(experiment.stimuli) if (row.text in held_out) is wanted]
            order = sorted(mine, key=lambda i: -sign * experiment.responses[i, 0])[:3]
            assert [each.context.text for each in half.top] == [experiment.stimuli[i].text for i in order]
            peaks = sign * experiment.responses[order, 0]
            assert_allclose([each.peak for each in half.top], peaks, rtol=1e-5)
    assert cache.manifest["measure"] == "stimuli" and cache.manifest["counts"]["stimuli"] == 120


def test_halves_follow_the_split(study: Any, bag: Any, tmp_path: Path) -> None:
    for i, row in enumerate(study.rows):
        row["split"] = "test" if i < 30 else "train"
    cache, voxels = opened(tmp_path, study.settings(), bag)
    assert sorted(voxels.about["texts"]) == sorted(row["text"] for row in study.rows[:30])
    assert len(cache.hashes("score")) == 30 and len(cache.hashes("explain")) == 90


def test_sessions_of_continuous_text_stay_whole(study: Any, bag: Any, tmp_path: Path) -> None:
    rows = []
    for story in range(8):
        np.save(tmp_path / f"story{story}.npy", study.responses[:15, :3] + story)
        rows += [{"text": f"w{story}x{i}", "onset": 2.0 * i, "session": f"story{story}"} for i in range(15)]
    study.rows = rows
    files = tuple(str(tmp_path / f"story{i}.npy") for i in range(8))
    cache, _ = opened(tmp_path, study.settings(responses=files, tr=2.0, predict=False), bag)
    halves = [
        {cache.context(int(h)).text.split("x")[0] for h in cache.hashes(half)} for half in ("explain", "score")
    ]
    assert not {w[:2] for w in halves[0]} & {w[:2] for w in halves[1]} and all(halves)


def test_voxels_say_why_they_are_not_labelled(study: Any, bag: Any, tmp_path: Path) -> None:
    cache, _ = opened(tmp_path, study.settings(), bag)
    reason = shortfalls(cache)
    assert reason(unit(0)) == reason(unit(1, -1)) == ""
    assert reason(unit(2)).startswith("not predicted above chance: held-out r ")
    assert reason(unit(4)) == "voxel not measured: not a number in 1 of 120 rows"


def test_without_a_prediction_only_flaws_count(study: Any, tmp_path: Path) -> None:
    cache, voxels = opened(tmp_path, study.settings(predict=False), None)
    assert shortfalls(cache)(unit(2)) == "" != shortfalls(cache)(unit(4))
    with pytest.raises(UserError, match="collected with --no-predict"):
        voxels.readout(unit(0))


def test_measured_responses_of_either_side_and_of_the_region(study: Any, bag: Any, tmp_path: Path) -> None:
    (tmp_path / "rois.json").write_text(json.dumps({"all": [0, 1, 2, 3, 4], "few": [1, 2, 4]}), encoding="utf-8")
    _, voxels = opened(tmp_path, study.settings(rois=str(tmp_path / "rois.json")), bag)
    experiment = read_experiment(study.settings())
    by_text = {row.text: experiment.responses[i] for i, row in enumerate(experiment.stimuli)}
    for sign in (1, -1):
        found = voxels.measured(unit(1, sign))
        assert_allclose(found.responses, [sign * by_text[text][1] for text in found.texts], rtol=1e-6)
        # of the smaller region, less the voxel itself and the one that was not measured
        assert_allclose(found.region, [[sign * by_text[text][2] for text in found.texts]], rtol=1e-6)
        assert math.isnan(found.ceiling)
    with pytest.raises(UserError, match="one of 5 voxels"):
        voxels.measured(unit(5))


def test_the_readout_is_the_direction_that_predicts(study: Any, bag: Any, tmp_path: Path) -> None:
    _, voxels = opened(tmp_path, study.settings(), bag)
    features = bag.embed(["soup law", "river boat", "wind"])
    positive, negative = (voxels.readout(unit(0, sign)) for sign in (1, -1))
    assert positive.embedder == "bag"
    predicted = voxels.predict(features)[:, 0]
    assert_allclose(np.diff((features - positive.mean) @ positive.weights), np.diff(predicted), atol=1e-5)
    assert_array_equal(positive.weights, -negative.weights)
    assert predicted.argmax() == 0


def test_predicted_evidence_is_of_its_own_and_knows_nothing_held_out(study: Any, bag: Any, tmp_path: Path) -> None:
    _, measured = opened(tmp_path, study.settings(), bag)
    held_out = measured.about["texts"][0]
    pool = [*(f"soup law{i}" for i in range(30)), *(f"wind lake{i}" for i in range(30)), held_out]
    table = tmp_path / "pool.jsonl"
    table.write_text("".join(json.dumps({"text": text}) + "\n" for text in pool), encoding="utf-8")
    settings = study.settings(
        responses=(), predicted_by=str(tmp_path / "run"), hookpoints=("predicted",), stimuli=str(table)
    )
    run = RunFolder(tmp_path / "predicted")
    manifest = collect_responses(run, settings, bag)
    assert manifest["counts"]["stimuli"] == 60, "the held-out stimulus is left out"
    found = evidence(Cache(run.cache), unit(0, place="predicted"))
    assert all("soup" in each.context.text for each in found.explain.top[:5])
    predicted = Voxels.of(Cache(run.cache))
    assert predicted is not None and predicted.about == measured.about
    with pytest.raises(UserError, match="features of the kind"):
        collect_responses(RunFolder(tmp_path / "other"), settings, None)
    np.save(tmp_path / "f.npy", bag.embed(pool))
    given = settings.model_copy(update={"features": (str(tmp_path / "f.npy"),)})
    collect_responses(RunFolder(tmp_path / "given"), given, None)
    again = evidence(Cache(RunFolder(tmp_path / "given").cache), unit(0, place="predicted"))
    assert again.explain.top == found.explain.top
    np.save(tmp_path / "f.npy", bag.embed(pool[:-1]))
    with pytest.raises(UserError, match=r"as \(61, F\)"):
        collect_responses(RunFolder(tmp_path / "short"), given, None)


def test_a_pass_that_was_killed_goes_on_to_the_same_bytes(
    study: Any, bag: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "SHARD", 40)
    monkeypatch.setattr(collect, "AT_ONCE", 7)
    settings = study.settings()
    whole, broken = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "broken")
    collect_responses(whole, settings, bag)
    read = collect._Measured.read
    calls = []

    def fails(self: Any, *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 20:
            raise KeyboardInterrupt
        return read(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(collect._Measured, "read", fails)
        collect_responses(broken, settings, bag)
    assert not json.loads((broken.cache / "manifest.json").read_text(encoding="utf-8"))["complete"]
    again = collect_responses(broken, settings, bag)
    assert again["files"] == Cache(whole.cache).manifest["files"]


def test_other_responses_are_another_subject(study: Any, bag: Any, tmp_path: Path) -> None:
    first = read_experiment(study.settings()).fingerprint
    study.responses[0, 0] += 1
    assert read_experiment(study.settings()).fingerprint != first


def test_stimuli_without_words_need_features(study: Any, bag: Any, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"a")
    study.rows[0] = {"path": "a.png", "id": "a"}
    with pytest.raises(UserError, match="found 1 of 120 without"):
        collect_responses(RunFolder(tmp_path / "run"), study.settings(), bag)
    assert not (tmp_path / "run" / "cache" / "manifest.json").exists()
    np.save(tmp_path / "f.npy", bag.embed([row.get("text") or "soup" for row in study.rows]))
    cache, voxels = opened(tmp_path, study.settings(features=(str(tmp_path / "f.npy"),)), bag)
    assert cache.sites[0].grid == (1, 1) and voxels.about["space"] == "given"
    pictures = [cache.context(int(h)).picture for half in ("explain", "score") for h in cache.hashes(half)]
    assert [each for each in pictures if each] == [str(tmp_path / "a.png")]


def test_a_sample_is_of_voxels_that_are_predicted(study: Any, bag: Any, tmp_path: Path) -> None:
    cache, _ = opened(tmp_path, study.settings(), bag)
    assert {each.index for each in select(cache, "sample:4", 1, seed=0)} == {0, 1}
    with pytest.raises(UserError, match="from 1 to the 4 units alive"):
        select(cache, "sample:5", 1, seed=0)
    assert len(select(cache, "all", 1, seed=0)) == 10, "all are asked for, and say why not"
