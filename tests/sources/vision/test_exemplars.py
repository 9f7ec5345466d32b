from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurogloss.errors import UserError
from neurogloss.ids import UnitId
from neurogloss.sources.cache import Cache
from neurogloss.sources.vision import exemplars, masks
from neurogloss.sources.vision.exemplars import Exemplars
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


def test_a_folder_is_read_as_evidence(image_run: Cache, tmp_path: Path) -> None:
    exemplars.write(image_run, image_run.sites[0], tmp_path, top=6)
    ids = np.loadtxt(tmp_path / "ids.csv", delimiter=",", dtype=str)
    folder = Exemplars(tmp_path, "layer4", captions={name: f"image {name}" for name in ids.ravel()})
    unit = folder.units[1]
    assert unit == UnitId("exemplars", "layer4", "neurons", 1)
    found = folder.evidence(unit, tmp_path / "pictures")
    examples = [*found.explain.top, *found.score.top]
    assert len(examples) == 6 and found.statistics.maximum == max(e.peak for e in examples)
    shown = np.load(tmp_path / "masks.npy")[1, :, 0]
    row = {f"image {name}": i for i, name in enumerate(ids[1])}
    for example in examples:
        assert example.grid == (7, 7)
        i = row[example.context.text]
        if shown[i].any():
            wanted = shown[i].reshape(7, 32, 7, 32).any((1, 3))
            np.testing.assert_array_equal(np.array(example.activations).reshape(7, 7) > 0, wanted)
        pixels = np.load(tmp_path / "images.npy")[1, i].transpose(1, 2, 0)
        np.testing.assert_array_equal(np.asarray(open_picture(Path(example.context.picture))), pixels)
    with pytest.raises(UserError, match="It has 3"):
        folder.evidence(UnitId("exemplars", "layer4", "neurons", 9), tmp_path / "pictures")


def test_a_folder_that_is_not_as_milan_writes_it_is_named(image_run: Cache, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"images\.npy"):
        Exemplars(tmp_path, "layer4")
    exemplars.write(image_run, image_run.sites[0], tmp_path, top=4)
    np.save(tmp_path / "masks.npy", np.zeros((3, 4, 224, 224), np.uint8))
    with pytest.raises(UserError, match=r"masks\.npy, found \(3, 4, 224, 224\)"):
        Exemplars(tmp_path, "layer4")
    exemplars.write(image_run, image_run.sites[0], tmp_path, top=4)
    (tmp_path / "ids.csv").write_text("1,2,3\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"3 rows of 4 in .*ids\.csv"):
        Exemplars(tmp_path, "layer4")
    with pytest.raises(UserError, match="with 99 images"):
        exemplars.write(image_run, image_run.sites[0], tmp_path / "many", top=99)
