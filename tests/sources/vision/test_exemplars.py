from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurogloss.errors import UserError
from neurogloss.folder import RunFolder
from neurogloss.ids import UnitId
from neurogloss.records import EvidenceHalf
from neurogloss.settings import ImageSettings
from neurogloss.sources.cache import Cache
from neurogloss.sources.contexts import HALVES
from neurogloss.sources.evidence import evidence
from neurogloss.sources.vision import exemplars, masks
from neurogloss.sources.vision.exemplars import Exemplars
from neurogloss.sources.vision.images import collect_images
from neurogloss.sources.vision.pictures import open_picture


def test_what_is_written_is_what_milan_reads(image_run: Cache, tmp_path: Path) -> None:
    units = exemplars.write(image_run, image_run.sites[0], tmp_path, top=6)
    images, shown = (np.load(tmp_path / f"{name}.npy") for name in ("images", "masks"))
    assert images.shape == (3, 6, 3, 224, 224) and images.dtype == np.uint8
    assert shown.shape == (3, 6, 1, 224, 224) and set(np.unique(shown)) == {0, 1}
    peaks = np.loadtxt(tmp_path / "activations.csv", delimiter=",")
    ids = np.loadtxt(tmp_path / "ids.csv", delimiter=",", dtype=np.int64)
    for row, unit in enumerate(units):
        tops = [e for half in ("explain", "score") for e in image_run.examples(unit, half, "top")]  # type: ignore[arg-type]
        best = max(tops, key=lambda example: example.peak)
        assert peaks[row, 0] == pytest.approx(best.peak, rel=1e-4) and (np.diff(peaks[row]) <= 0).all()
        assert ids[row, 0] == int(best.context.id, 16) >> 1
        picture = open_picture(Path(best.context.picture)).resize((224, 224), 2)
        np.testing.assert_array_equal(images[row, 0].transpose(1, 2, 0), np.asarray(picture))
        mask = masks.mask(best, masks.threshold(image_run, unit), (224, 224))
        np.testing.assert_array_equal(shown[row, 0, 0], mask)
    assert np.load(tmp_path / "units.npy").tolist() == [unit.index for unit in units]


def collected(folder: Path, run: Path, **given: Any) -> Cache:
    values = {"subject": "exemplars:colours", "pictures": str(folder), "hookpoints": ("layer4",), **given}
    collect_images(RunFolder(run), ImageSettings(**values))
    return Cache(RunFolder(run).cache)


def test_a_folder_that_is_read_is_a_run(image_run: Cache, tmp_path: Path) -> None:
    folder = tmp_path / "exemplars"
    written = exemplars.write(image_run, image_run.sites[0], folder, top=6)
    ids = np.loadtxt(folder / "ids.csv", delimiter=",", dtype=str)
    captions = tmp_path / "captions.csv"
    captions.write_text("path,caption\n" + "".join(f"{name}.png,image {name}\n" for name in set(ids.ravel())))
    cache = collected(folder, tmp_path / "run", captions=str(captions))
    shown, images = np.load(folder / "masks.npy"), np.load(folder / "images.npy")
    peaks = np.loadtxt(folder / "activations.csv", delimiter=",")
    assert len(cache.alive(1)) == len(written) == 3
    for row, index in enumerate(unit.index for unit in written):
        unit = UnitId("colours", "layer4", "neurons", index)
        halves = {half: cache.examples(unit, half, "uniform") for half in HALVES}
        assert {e.context.text for e in halves["explain"]}.isdisjoint(e.context.text for e in halves["score"])
        found = {e.context.text.removeprefix("image "): e for half in HALVES for e in halves[half]}
        assert set(found) == set(ids[row]) and cache.statistics(unit).n_active == 6
        for i, name in enumerate(ids[row]):
            example = found[name]
            assert example.grid == (7, 7) and example.peak == pytest.approx(peaks[row, i], rel=1e-3)
            if shown[row, i].any():
                wanted = shown[row, i, 0].reshape(7, 32, 7, 32).any((1, 3))
                np.testing.assert_array_equal(np.array(example.activations).reshape(7, 7) > 0, wanted)
            pixels = np.asarray(open_picture(Path(example.context.picture)))
            np.testing.assert_array_equal(pixels, images[row, i].transpose(1, 2, 0))
        silent = {c.text.removeprefix("image ") for half in HALVES for c in halves_of(cache, unit, half).negatives}
        assert silent == set(ids.ravel()) - set(ids[row])


def halves_of(cache: Cache, unit: UnitId, half: str) -> EvidenceHalf:
    found = evidence(cache, unit)
    return found.explain if half == "explain" else found.score


def test_an_image_that_two_units_list_is_one_image(image_run: Cache, tmp_path: Path) -> None:
    exemplars.write(image_run, image_run.sites[0], tmp_path / "layer", top=4)
    images, ids = (
        np.load(tmp_path / "layer" / "images.npy"),
        np.loadtxt(tmp_path / "layer" / "ids.csv", str, delimiter=","),
    )
    images[1, 0] = images[0, 0]  # under an id of its own
    np.save(tmp_path / "layer" / "images.npy", images)
    cache = collected(tmp_path / "layer", tmp_path / "run")
    assert cache.manifest["counts"]["images"] == len(np.unique(images.reshape(12, -1), axis=0)) < 12
    listed = [
        {Path(e.context.picture).stem for half in HALVES for e in cache.examples(unit, half, "top")}
        for unit in (UnitId("colours", "layer4", "neurons", index) for index in (0, 1))
    ]
    assert listed[0] & listed[1] == {ids[0, 0]}
    ids[2, 1] = ids[2, 0]
    np.savetxt(tmp_path / "layer" / "ids.csv", ids, "%s", ",")
    with pytest.raises(UserError, match=f"an id for each image .* {ids[2, 0]} for several"):
        collected(tmp_path / "layer", tmp_path / "other")


def test_a_folder_that_is_not_as_milan_writes_it_is_named(image_run: Cache, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"images\.npy"):
        Exemplars(tmp_path)
    exemplars.write(image_run, image_run.sites[0], tmp_path, top=4)
    np.save(tmp_path / "masks.npy", np.zeros((3, 4, 224, 224), np.uint8))
    with pytest.raises(UserError, match=r"masks\.npy, found \(3, 4, 224, 224\)"):
        Exemplars(tmp_path)
    exemplars.write(image_run, image_run.sites[0], tmp_path, top=4)
    (tmp_path / "ids.csv").write_text("1,2,3\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"3 rows of 4 in .*ids\.csv"):
        Exemplars(tmp_path)
    with pytest.raises(UserError, match="with 99 images"):
        exemplars.write(image_run, image_run.sites[0], tmp_path / "many", top=99)
