from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from neurogloss.errors import UserError
from neurogloss.folder import RunFolder
from neurogloss.ids import UnitId
from neurogloss.settings import ImageSettings
from neurogloss.sources.cache import Cache
from neurogloss.sources.vision import ablation
from neurogloss.sources.vision.images import collect_images
from neurogloss.sources.vision.pictures import open_picture
from neurogloss.sources.vision.subject import VisionSubject

COLOURS = ("red", "green", "blue")


def unit(index: int, sign: int = 1, dictionary: str = "neurons") -> UnitId:
    return UnitId("colours", "convolution", dictionary, index, sign)


def test_a_classifier_without_its_red_channel_cannot_tell_red(
    image_run: Cache, subject: VisionSubject, folder: Path
) -> None:
    images = ablation.labelled(folder, subject, 60)
    truth = np.array(images.classes)
    found = ablation.ablate(image_run, subject, [unit(0)], images, draws=9, seed=1)
    assert found.before == 1.0 and found.n_images == 60
    assert found.after == pytest.approx(1 - (truth == 0).mean())
    assert found.drop.value == pytest.approx((truth == 0).mean()) and found.drop.low > 0
    assert found.classes[0][0] == "red" and found.classes[0][1] < 0 and found.classes[0][2] == -1.0
    assert {name: change for name, change, _ in found.classes if name != "red"} == {"green": 0.0, "blue": 0.0}
    # Random units are other channels, or negative sides, which the classifier does not use.
    assert set(found.random) <= {0.0, *((truth == i).mean() for i in (1, 2))}
    assert found == ablation.ablate(image_run, subject, [unit(0)], images, draws=9, seed=1)


def test_a_negative_side_is_ablated_alone(image_run: Cache, subject: VisionSubject, folder: Path) -> None:
    images = ablation.labelled(folder, subject, 30)
    found = ablation.ablate(image_run, subject, [unit(0, -1)], images, draws=0)
    assert found.after == found.before == 1.0 and np.isnan(found.p_value)


def test_a_unit_can_be_clamped(image_run: Cache, subject: VisionSubject, folder: Path) -> None:
    images = ablation.labelled(folder, subject, 30)
    found = ablation.ablate(image_run, subject, [unit(0)], images, value=9.0, draws=0)
    assert found.after == pytest.approx((np.array(images.classes) == 0).mean())
    assert found.classes[-1][0] == "red"


def test_what_a_unit_of_a_dictionary_adds_is_taken_out(
    image_settings: Callable[..., ImageSettings], subject: VisionSubject, folder: Path, tmp_path: Path
) -> None:
    rows = np.eye(3, dtype=np.float32)[[2, 0]]
    np.save(tmp_path / "axes.npy", rows)
    run = RunFolder(tmp_path / "run")
    collect_images(run, image_settings(dictionaries=(f"directions:{tmp_path / 'axes.npy'}",)), subject)
    images = ablation.labelled(folder, subject, 30)
    pixels = subject.preprocess([open_picture(path) for path in images.paths])
    place = subject.hookpoint("convolution")
    cache = Cache(run.cache)
    found = ablation.ablate(cache, subject, [unit(0, dictionary="axes")], images, draws=0)

    def no_blue(flat: torch.Tensor) -> torch.Tensor:
        return torch.cat([flat[..., :2], flat[..., 2:].clamp_max(0)], -1)

    wanted = subject.logits(pixels, {place: no_blue})
    assert found.after == pytest.approx(float((wanted.argmax(1) == images.classes).mean()))
    assert found.classes[0][0] == "blue"


def test_folders_have_to_be_the_classes(subject: VisionSubject, folder: Path, tmp_path: Path) -> None:
    some = {colour: sorted((folder / colour).iterdir())[0].read_bytes() for colour in COLOURS}
    for name, colour in {"red": "red", "teal": "green"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_bytes(some[colour])
    with pytest.raises(UserError, match="found others .*: teal"):
        ablation.labelled(tmp_path, subject, 9)
    numbered = tmp_path / "numbered"
    for name, colour in {"n01": "red", "n03": "blue"}.items():
        (numbered / name).mkdir(parents=True)
        (numbered / name / f"{colour}.png").write_bytes(some[colour])
    with pytest.raises(UserError, match="found others .*: n01, n03"):
        ablation.labelled(numbered, subject, 9)
    (numbered / "n02").mkdir()  # as many as there are classes: they are taken in sorted order
    found = ablation.labelled(numbered, subject, 9)
    assert {path.stem: row for path, row in zip(found.paths, found.classes, strict=True)} == {"red": 0, "blue": 2}
    (numbered / "loose.png").write_bytes(some["green"])
    with pytest.raises(UserError, match=r"found loose\.png"):
        ablation.labelled(numbered, subject, 9)


def test_what_cannot_be_ablated_is_refused(image_run: Cache, subject: VisionSubject, folder: Path) -> None:
    images = ablation.labelled(folder, subject, 5)
    with pytest.raises(UserError, match="found none"):
        ablation.ablate(image_run, subject, [], images)
    with pytest.raises(UserError, match="from 0 to 2"):
        ablation.ablate(image_run, subject, [unit(7)], images, draws=0)
    with pytest.raises(UserError, match="other active units"):
        ablation.ablate(image_run, subject, [unit(i, s) for i in range(3) for s in (1, -1)], images, draws=1)
