from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from neurogloss.errors import UserError
from neurogloss.folder import RunFolder
from neurogloss.ids import hash64
from neurogloss.protocols import Quiet
from neurogloss.settings import ImageSettings
from neurogloss.sources.cache import Cache
from neurogloss.sources.contexts import HALVES
from neurogloss.sources.corpus import context_id, half_of
from neurogloss.sources.evidence import evidence
from neurogloss.sources.vision.images import collect_images
from neurogloss.sources.vision.loading import subject_of
from neurogloss.sources.vision.masks import threshold
from neurogloss.sources.vision.pictures import open_picture
from neurogloss.sources.vision.subject import VisionSubject

MakeSettings = Callable[..., ImageSettings]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def plain(path: Path) -> Any:
    """(3, 16): the convolution of the fixture, done by hand."""
    pixels = np.asarray(open_picture(path), np.float32) / 255
    means = pixels.reshape(4, 4, 4, 4, 3).mean((1, 3))
    return (1.5 * means - 0.5 * means.sum(2, keepdims=True)).reshape(16, 3).T


def test_samples_are_those_of_a_plain_reading(image_run: Cache, folder: Path) -> None:
    maps, halves = dict[int, Any](), dict[int, str]()
    for path in folder.rglob("*.png"):
        document = hash64(path.read_bytes())
        digest = context_id(document, 0)
        maps[digest], halves[digest] = plain(path), half_of(document, 0)
    assert image_run.manifest["measure"] == "images" and image_run.sites[0].grid == (4, 4)
    for unit in image_run.units():
        threshold = image_run.statistics(unit).threshold
        for half in HALVES:
            assert image_run.hashes(half).tolist() == sorted(d for d in halves if halves[d] == half)
            peaks = {d: max(0.0, (unit.sign * maps[d][unit.index]).max()) for d in maps if halves[d] == half}
            assert all(abs(peak - threshold) > 1e-5 for peak in peaks.values())
            active = {d for d in peaks if peaks[d] > threshold}
            top = image_run.examples(unit, half, "top")
            assert [e.peak for e in top] == pytest.approx(
                sorted((peaks[d] for d in active), reverse=True)[:4], rel=1e-4
            )
            for example in top:
                wanted = np.maximum(unit.sign * maps[int(example.context.id, 16)][unit.index], 0)
                np.testing.assert_allclose(example.activations, wanted, atol=1e-3)
                assert example.grid == (4, 4)
                assert Path(example.context.picture).is_relative_to(folder)
                assert example.context.tokens == (Path(example.context.picture).parent.name,)
            uniform = image_run.examples(unit, half, "uniform")
            assert sorted(int(e.context.id, 16) for e in uniform) == sorted(active)[:8]


def test_evidence_is_of_images_and_no_image_is_in_both_halves(image_run: Cache) -> None:
    found = evidence(image_run, next(image_run.units()))
    explain = {e.context.picture for e in (*found.explain.top, *found.explain.uniform)}
    score = {e.context.picture for e in (*found.score.top, *found.score.uniform)}
    assert explain and score and not explain & score
    assert found.explain.negatives and all(context.picture for context in found.explain.negatives)


class Killed(Exception):
    pass


class Fragile(Quiet):
    """Kills the pass after so many of its batches."""

    def __init__(self, after: int) -> None:
        self.left, self.collecting = after, False

    def start(self, task: str, total: int | None, unit: str, done: int = 0) -> None:
        self.collecting = task == "collecting"

    def advance(self, n: int = 1) -> None:
        if self.collecting:
            self.left -= 1
            if self.left < 0:
                raise Killed


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_killed_pass_goes_on_and_ends_with_the_same_bytes(
    after: int, image_run: Cache, image_settings: MakeSettings, subject: VisionSubject, tmp_path: Path
) -> None:
    assert image_run.manifest["shards_done"] == 4
    run = RunFolder(tmp_path / "run")
    with pytest.raises(Killed):
        collect_images(run, image_settings(), subject, Fragile(after))
    collect_images(run, image_settings(), subject)
    assert contents(run.cache) == contents(image_run.path)
    assert collect_images(run, image_settings(), subject) == image_run.manifest


def test_images_that_changed_in_between_are_noticed(
    image_settings: MakeSettings, folder: Path, subject: VisionSubject, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "images")
    settings, run = image_settings(pictures=str(tmp_path / "images")), RunFolder(tmp_path / "run")
    with pytest.raises(Killed):
        collect_images(run, settings, subject, Fragile(1))
    first = min((path.relative_to(folder).as_posix() for path in folder.rglob("*.png")), key=hash64)
    (tmp_path / "images" / first).unlink()
    with pytest.raises(UserError, match="has changed since"):
        collect_images(run, settings, subject)


def test_other_settings_need_another_run(
    image_settings: MakeSettings, subject: VisionSubject, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    collect_images(run, image_settings(images=10), subject)
    with pytest.raises(UserError, match=r"other settings \(images=10\)"):
        collect_images(run, image_settings(images=11), subject)


def test_maps_of_two_sizes_in_one_run_are_what_each_gives_alone(
    image_settings: MakeSettings, subject: VisionSubject, tmp_path: Path
) -> None:
    import torch

    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 4, 4), torch.nn.MaxPool2d(2), torch.nn.Flatten())
    two = VisionSubject("two", layers, subject.preprocess)
    np.save(tmp_path / "axes.npy", np.eye(2, dtype=np.float32))
    directions = f"directions:{tmp_path / 'axes.npy'}"  # sparse codes are taken in by another way than neurons

    def collected(*places: tuple[str, str]) -> Cache:
        run = RunFolder(tmp_path / "-".join(place for place, _ in places))
        hookpoints, dictionaries = zip(*places, strict=True)
        collect_images(run, image_settings(hookpoints=hookpoints, dictionaries=dictionaries), two)
        return Cache(run.cache)

    places = (("0", "neurons"), ("1", directions), ("2", "neurons"))
    together = collected(*places)
    assert [site.grid for site in together.sites] == [(4, 4), (2, 2), (1, 1)]
    for place in places:
        alone = collected(place)
        assert alone.alive(2)
        for unit in alone.units():
            assert together.statistics(unit) == alone.statistics(unit)
            assert threshold(together, unit) == threshold(alone, unit)
            for half in HALVES:
                found = together.examples(unit, half, "top")
                assert [(e.context.id, e.activations) for e in found] == [
                    (e.context.id, e.activations) for e in alone.examples(unit, half, "top")
                ]


def test_a_dictionary_does_not_read_a_pooled_map(image_settings: MakeSettings, tmp_path: Path) -> None:
    import torch

    from neurogloss.sources.vision.preprocess import Preprocess

    large = VisionSubject("large", torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1)), Preprocess((32, 32)))
    np.save(tmp_path / "two.npy", np.eye(2, dtype=np.float32))
    given = {"hookpoints": ("0",), "dictionaries": (f"directions:{tmp_path / 'two.npy'}",)}
    with pytest.raises(UserError, match="at most 28 x 28"):
        collect_images(RunFolder(tmp_path / "run"), image_settings(**given), large)
    neurons = collect_images(RunFolder(tmp_path / "other"), image_settings(hookpoints=("0",), images=5), large)
    assert neurons["sites"][0]["grid"] == (28, 28)


def test_shipped_digits_are_collected_from_the_runs_own_folder(tmp_path: Path) -> None:
    settings = ImageSettings(
        subject="digits-cnn",
        pictures="digits",
        hookpoints=("resnet.encoder.stages.1",),
        images=40,
        calibration_contexts=16,
        device="cpu",
    )
    run = RunFolder(tmp_path / "run")
    manifest = collect_images(run, settings)
    assert manifest["counts"]["images"] == 40
    assert Path(manifest["pictures"]) == run.cache / "pictures"
    shutil.rmtree(run.cache / "sketches")
    with pytest.raises(UserError, match="missing or changed"):
        collect_images(run, settings)


def test_a_dictionary_of_vit_prisma_is_read_over_patches_where_it_says(folder: Path, tmp_path: Path) -> None:
    subject = subject_of(ImageSettings(subject="shapes-vit", hookpoints=("vit.layers.1",), device="cpu"))
    place = subject.hookpoint("blocks.1.hook_resid_post")
    width = subject.width(place)
    rows = torch.linalg.qr(torch.randn(width, width, generator=torch.Generator().manual_seed(0)))[0]
    # Both directions of an axis: nothing is lost.
    weights = {"W_enc": torch.cat([rows, -rows], 1), "W_dec": torch.cat([rows.T, -rows.T])}
    weights |= {"b_enc": torch.zeros(2 * width), "b_dec": torch.zeros(width)}
    (tmp_path / "sae").mkdir()
    torch.save(weights, tmp_path / "sae" / "weights.pt")
    said = {"d_in": width, "expansion_factor": 2, "hook_point_layer": 1, "layer_subtype": "hook_resid_post"}
    said |= {"activation_fn_str": "relu", "normalize_activations": "layer_norm", "use_patches_only": True}
    (tmp_path / "sae" / "config.json").write_text(json.dumps(said), encoding="utf-8")
    settings = ImageSettings(
        subject="shapes-vit", dictionaries=(str(tmp_path / "sae"),), pictures=str(folder), device="cpu"
    )
    run = RunFolder(tmp_path / "run")
    manifest = collect_images(run, settings, subject)
    (site,) = Cache(run.cache).sites
    assert (site.hookpoint, site.dictionary, site.units, site.grid) == ("vit.layers.1", "sae", 2 * width, (8, 8))
    (parity,) = manifest["parity"].values()
    assert parity["fvu"] < 1e-6 and parity["l0"] == pytest.approx(width)
