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
    accuracy, red = found.accuracy, found.classes[0]
    assert accuracy.before == 1.0 and found.n_images == 60
    assert accuracy.after == pytest.approx(1 - (truth == 0).mean())
    assert accuracy.drop.value == pytest.approx((truth == 0).mean()) and accuracy.drop.low > 0
    assert red.name == "red" and red.logit < 0 and red.right == -1.0
    assert {each.name: each.logit for each in found.classes[1:]} == {"green": 0.0, "blue": 0.0}
    # Random units are other channels, or negative sides, which the classifier does not use.
    assert set(accuracy.random) <= {0.0, *((truth == i).mean() for i in (1, 2))}
    assert found == ablation.ablate(image_run, subject, [unit(0)], images, draws=9, seed=1)


def test_without_its_red_channel_red_images_find_others(
    image_run: Cache, subject: VisionSubject, folder: Path
) -> None:
    images = ablation.labelled(folder, subject, 60)
    found = ablation.ablate(image_run, subject, [unit(0)], images, draws=9, seed=1)
    # By hand: the embeddings are the channels' largest cells, from which those of red are taken out.
    truth = np.array(images.classes)
    clean = subject.logits(subject.pixels(images.paths))
    changed = clean * np.array([0, 1, 1])
    rows, asked = clean - clean.mean(0), changed - clean.mean(0)
    cosines = (asked / np.linalg.norm(asked, axis=1)[:, None]) @ (rows / np.linalg.norm(rows, axis=1)[:, None]).T
    np.fill_diagonal(cosines, -2)
    nearest = np.argsort(-cosines, 1, kind="stable")[:, :5]
    assert found.precision.before == 1.0 and found.precision.drop.value > 0.1
    assert found.precision.after == pytest.approx((truth[nearest] == truth[:, None]).mean())
    assert 0 < found.kept < 1 and found.precision.p_value < 1
    names = [path.relative_to(folder).as_posix() for path in images.paths]
    shown = found.retrievals[0]
    row = names.index(shown.image)
    assert shown.image.startswith("red/") and all(name.startswith("red/") for name in shown.before)
    assert [names[i] for i in nearest[row]] == list(shown.after) and set(shown.after) != set(shown.before)
    change = {each.name: each.found for each in found.classes}
    assert change["red"] < -0.1 and sum(change.values()) == pytest.approx(0)


def test_a_negative_side_is_ablated_alone(image_run: Cache, subject: VisionSubject, folder: Path) -> None:
    images = ablation.labelled(folder, subject, 30)
    found = ablation.ablate(image_run, subject, [unit(0, -1)], images, draws=0)
    assert found.accuracy.after == found.accuracy.before == 1.0 and np.isnan(found.accuracy.p_value)
    assert found.kept == 1.0 and found.precision.drop.value == 0.0 and found.retrievals == ()


def test_a_unit_can_be_clamped(image_run: Cache, subject: VisionSubject, folder: Path) -> None:
    images = ablation.labelled(folder, subject, 30)
    found = ablation.ablate(image_run, subject, [unit(0)], images, value=9.0, draws=0)
    assert found.accuracy.after == pytest.approx((np.array(images.classes) == 0).mean())
    assert found.classes[-1].name == "red" and found.classes[-1].found > 0.5


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
    assert found.accuracy.after == pytest.approx(float((wanted.argmax(1) == images.classes).mean()))
    assert found.classes[0].name == "blue"


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
