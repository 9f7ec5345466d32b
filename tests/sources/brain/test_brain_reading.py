"""Experiments out of files: what goes together is read alike from all formats, and what does not is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurogloss.errors import UserError
from neurogloss.ids import hash64
from neurogloss.sources.brain.experiment import read_experiment, read_rois
from neurogloss.sources.brain.reading import read_array, read_rows


def refused(settings: Any, *parts: str) -> None:
    with pytest.raises(UserError) as caught:
        read_experiment(settings)
    for part in parts:
        assert part in str(caught.value)


def test_repeats_are_averaged_and_stimuli_keep_their_order(files: Any) -> None:
    found = read_experiment(files.settings())
    assert [row.text for row in found.stimuli] == ["soup", "river", "law"]
    assert_array_equal(found.responses, [[2, 1], [2, 1], [4, 0]])
    assert found.repeats.tolist() == [2, 1, 1]
    assert found.stimuli[0].content == hash64("soup")


@pytest.mark.parametrize("kind", ["npz", "h5", "matlab", "zarr", "nii"])
def test_every_format_gives_what_npy_gives(kind: str, files: Any, tmp_path: Path) -> None:
    plain = read_experiment(files.settings())
    path, more, data = tmp_path / f"r.{kind}", {}, files.responses
    if kind == "npz":
        np.savez(path, betas=data, other=np.zeros(3))
        name = f"{path}:betas"
    elif kind == "h5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            file["subj/betas"] = data
        name = str(path)
    elif kind == "zarr":
        zarr = pytest.importorskip("zarr")
        zarr.save(str(path), data)
        name = str(path)
    else:
        nibabel, h5py = pytest.importorskip("nibabel"), pytest.importorskip("h5py")
        volume, mask = np.zeros((2, 3, 1, 4), np.float32), np.zeros((2, 3, 1), np.uint8)
        mask[0, 1, 0] = mask[1, 0, 0] = 1
        volume[0, 1, 0], volume[1, 0, 0] = data.T
        nibabel.save(nibabel.Nifti1Image(mask, np.eye(4)), str(tmp_path / "mask.nii"))
        if kind == "nii":
            nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), str(path))
        else:
            path = tmp_path / "r.hdf5"
            with h5py.File(path, "w") as file:
                file["betas"] = volume.T  # MATLAB's order of axes is the other way round
        name, more = str(path), {"mask": str(tmp_path / "mask.nii")}
    found = read_experiment(files.settings(responses=(name,), **more))
    assert_array_equal(found.responses, plain.responses)
    assert found.stimuli == plain.stimuli


def test_json_lines_and_several_files_one_after_another(files: Any, tmp_path: Path) -> None:
    settings = files.settings()
    np.save(tmp_path / "a.npy", files.responses[:1])
    np.save(tmp_path / "b.npy", files.responses[1:])
    table = tmp_path / "stimuli.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in files.rows), encoding="utf-8")
    parts = (str(tmp_path / "a.npy"), str(tmp_path / "b.npy"))
    found = read_experiment(files.settings(responses=parts, stimuli=str(table)))
    assert_array_equal(found.responses, read_experiment(settings).responses)


def test_stored_betas_are_percent_times_300(files: Any) -> None:
    files.responses = np.array([[300, -150], [0, 600], [30, 0], [600, 0]], np.int16)
    found = read_experiment(files.settings(scale="nsd"))
    assert_allclose(found.responses, [[1.5, -0.25], [0, 2], [0.1, 0]], rtol=1e-6)
    refused(files.settings(), "whole numbers (int16)", "--scale nsd")


def test_sessions_are_standardized_apart(files: Any) -> None:
    for row, session in zip(files.rows, "aabb", strict=True):
        row["session"] = session
    files.responses = np.array([[1, 5], [3, 5], [100, 0], [300, 2]], np.float32)
    found = read_experiment(files.settings(standardize="session"))
    # soup was shown once in each session: -1 and 1 by the first voxel, 0 and 1 by the second
    assert_allclose(found.responses, [[0, 0.5], [1, 0], [-1, -1]], atol=1e-6)


def test_axes_that_are_swapped_are_named(files: Any) -> None:
    files.responses = files.responses.T
    refused(files.settings(), "the axes are swapped", "(2, 4)")


def test_a_wrong_number_of_rows_is_named(files: Any) -> None:
    files.responses = np.zeros((5, 2), np.float32)
    refused(files.settings(), "(4), found 5 rows")


def test_unscaled_floats_are_named(files: Any) -> None:
    files.responses = files.responses * 5000
    refused(files.settings(), "betas as they are stored", "--scale nsd")


def test_files_of_other_voxels_are_named(files: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "b.npy", np.zeros((4, 3), np.float32))
    settings = files.settings()
    refused(
        files.settings(responses=(*settings.responses, str(tmp_path / "b.npy"))), "the same voxels", "b.npy: 3"
    )


def test_a_stimulus_in_both_splits_is_named(files: Any) -> None:
    for row, split in zip(files.rows, ("train", "test", "train", "test"), strict=True):
        row["split"] = split
    refused(files.settings(), "1 in train and test", "soup")


def test_a_split_is_for_all_or_none(files: Any) -> None:
    files.rows[1]["split"] = "test"
    refused(files.settings(), "found some without")


def test_voxels_that_were_not_measured_are_kept_apart(files: Any) -> None:
    files.responses = np.array([[1, np.nan, 7], [2, 1, 7], [4, 0, 7], [3, 2, 7]], np.float32)
    found = read_experiment(files.settings())
    assert found.flaws == {1: "not a number in 1 of 4 rows", 2: "the same response to everything"}
    assert_array_equal(found.responses[:, 1:], 0)
    assert_array_equal(found.responses[:, 0], [2, 2, 4])


def test_one_id_is_one_stimulus(files: Any) -> None:
    for row in files.rows:
        row["id"] = "7"
    refused(files.settings(), "one stimulus for the id '7'")


def test_a_mask_of_another_participant_is_named(files: Any, tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    for shape, name in (((2, 2, 1, 4), "r.nii"), ((2, 3, 1), "mask.nii")):
        nibabel.save(nibabel.Nifti1Image(np.ones(shape, np.float32), np.eye(4)), str(tmp_path / name))
    settings = files.settings(responses=(str(tmp_path / "r.nii"),), mask=str(tmp_path / "mask.nii"))
    refused(settings, "a mask of shape (2, 2, 1)", "(2, 3, 1)", "another participant")


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("r.npy", b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "never fetched"),
        ("r.npy", b"/annex/objects/SHA256E-s12--0.npy", "never fetched"),
        ("r.npy", b"not numpy", "does not read as its suffix says"),
        ("r.csv", b"1,2", "Expected responses as .npy"),
    ],
)
def test_files_that_hold_no_array_are_named(
    name: str, data: bytes, said: str, files: Any, tmp_path: Path, spoil: Callable[[Path, bytes], str]
) -> None:
    (tmp_path / "sub").mkdir()
    refused(files.settings(responses=(spoil(tmp_path / "sub" / name, data),)), said)


def test_a_link_into_the_annex_is_named(files: Any, tmp_path: Path) -> None:
    (tmp_path / "link.npy").symlink_to(tmp_path / ".git" / "annex" / "objects" / "gone.npy")
    refused(files.settings(responses=(str(tmp_path / "link.npy"),)), "git annex get")


def test_pickles_are_refused(files: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.array([{}], object), allow_pickle=True)
    refused(files.settings(responses=(str(tmp_path / "p.npy"),)), "Python objects are not read")


def test_several_arrays_want_a_name(files: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "r.npz", a=files.responses, b=files.responses)
    refused(files.settings(responses=(str(tmp_path / "r.npz"),)), "found a, b", "r.npz:NAME")


def test_images_are_known_by_their_bytes(files: Any, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"one")
    (tmp_path / "b.png").write_bytes(b"one")
    files.rows = [{"path": path, "text": "a cat"} for path in ("a.png", "b.png")]
    files.responses = np.array([[1, 2], [3, 4]], np.float32)
    found = read_experiment(files.settings())
    assert [row.path for row in found.stimuli] == ["a.png"]
    assert found.repeats.tolist() == [2] and found.pictures == str(tmp_path)
    files.rows[0]["path"] = "gone.png"
    refused(files.settings(), "row 1 of", "gone.png")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"caption": "soup"}], "a column `text` or `path`"),
        ([{"text": " "}], "found neither"),
        ([{"text": "soup", "split": "validation"}], "train or test"),
        ([{"text": "soup", "onset": "late"}], "seconds as the onset"),
    ],
)
def test_bad_rows_are_named(rows: list[dict[str, str]], said: str, files: Any) -> None:
    files.rows = rows
    refused(files.settings(), said)


def test_regions_by_indices_and_by_masks(tmp_path: Path) -> None:
    (tmp_path / "rois.json").write_text('{"EBA": [2, 0], "PPA": [true, false, true]}', encoding="utf-8")
    found = read_rois(str(tmp_path / "rois.json"), "", 3)
    assert {name: voxels.tolist() for name, voxels in found.items()} == {"EBA": [0, 2], "PPA": [0, 2]}
    for values in ("[3]", "[true]", "[0.5]", "[-1]"):
        (tmp_path / "rois.json").write_text(f'{{"EBA": {values}}}', encoding="utf-8")
        with pytest.raises(UserError, match="region 'EBA'"):
            read_rois(str(tmp_path / "rois.json"), "", 3)


def test_ceilings_are_ratios_or_percentages(files: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "nc.npy", [50.0, 0.0])
    files.given = {"ceiling": str(tmp_path / "nc.npy")}
    refused(files.settings(), "--ceiling-kind percent")
    found = read_experiment(files.settings(ceiling_kind="percent"))
    # 50 % of the variance of means over 2, 1 and 1 presentations: the mean of 1 / n is 5 / 6
    assert_allclose(found.ncsnr, [np.sqrt(5 / 6), 0])
    np.save(tmp_path / "nc.npy", [1.0, 0.5, 0.2])
    refused(files.settings(), "2 noise ceilings", "(3,)")


def test_words_between_scans(files: Any, tmp_path: Path) -> None:
    """Scan t answers to the words that began in [t - 8, t - 2); scans in silence are left out."""
    files.rows = [
        {"text": word, "onset": onset, "session": "story"}
        for word, onset in (("one", 0.0), ("two", 3.0), ("three", 7.0))
    ]
    np.save(tmp_path / "story.npy", np.arange(12, dtype=np.float32).reshape(6, 2))
    given = {"responses": (str(tmp_path / "story.npy"),), "tr": 2.0, "first_tr": 1}
    found = read_experiment(files.settings(**given))
    # scans at 2, 4, 6, 8, 10, 12 s; at 2 s the words before 0 s: none
    assert [row.text for row in found.stimuli] == ["one", "one two", "one two", "two three", "three"]
    assert [row.onset for row in found.stimuli] == [4, 6, 8, 10, 12]
    assert_array_equal(found.responses[:, 0], [2, 4, 6, 8, 10])
    files.rows[0]["onset"] = ""
    refused(files.settings(**given), "an onset for every word")
    files.rows[0] |= {"onset": 0.0, "session": "other"}
    refused(files.settings(**given), "for each session", "other, story")


def test_maps_of_a_surface_are_rows_of_vertices(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    maps = np.arange(12, dtype=np.float32).reshape(3, 4)
    nibabel.save(nibabel.MGHImage(maps.T[:, None, None], np.eye(4)), str(tmp_path / "lh.betas.mgh"))
    assert_array_equal(read_array(str(tmp_path / "lh.betas.mgh"), "responses"), maps)
    nibabel.save(nibabel.MGHImage(maps[0][:, None, None], np.eye(4)), str(tmp_path / "lh.ncsnr.mgz"))
    assert_array_equal(read_array(str(tmp_path / "lh.ncsnr.mgz"), "ceilings"), maps[0])
    nibabel.save(nibabel.MGHImage(np.zeros((4, 3, 2), np.float32), np.eye(4)), str(tmp_path / "brain.mgz"))
    with pytest.raises(UserError, match=r"a surface, .*, found a volume \(4, 3, 2\)"):
        read_array(str(tmp_path / "brain.mgz"), "responses")


@pytest.mark.parametrize("field", ["id", "text", "path", "session"])
def test_half_a_surrogate_pair_is_no_text(field: str, tmp_path: Path) -> None:
    path = tmp_path / "stimuli.jsonl"
    path.write_text(json.dumps({"id": 1, "text": "a text", field: "\ud800"}), encoding="utf-8")
    with pytest.raises(UserError, match="row 1.*surrogate"):
        read_rows(str(path))
