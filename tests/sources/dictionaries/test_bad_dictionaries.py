"""Files that are not what they claim: each is refused by name, with what was expected and what to do."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from neurogloss.errors import UserError
from neurogloss.sources.dictionaries import open_dictionary

D, N = 3, 6
SETTINGS: dict[str, Any] = {"architecture": "topk", "d_in": D, "d_sae": N, "k": 2, "metadata": {}}


def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"W_enc": (D, N), "W_dec": (N, D), "b_enc": (N,), "b_dec": (D,)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def write(folder: Path, settings: dict[str, Any] | None = None, **changes: torch.Tensor | None) -> Path:
    """A SAELens folder, right but for the changes; None leaves a tensor out."""
    (folder / "cfg.json").write_text(json.dumps(SETTINGS | (settings or {})), encoding="utf-8")
    found = {name: value for name, value in (tensors() | changes).items() if value is not None}
    save_file(found, folder / "sae_weights.safetensors")
    return folder


def message(path: Path | str) -> str:
    with pytest.raises(UserError) as caught:
        open_dictionary(str(path), None)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_folder_is_right_but_for_the_changes(tmp_path: Path) -> None:
    assert open_dictionary(str(write(tmp_path)), D).n_units == N


@pytest.mark.parametrize(
    ("settings", "changes", "expected"),
    [
        ({}, {"W_dec": torch.zeros(D, N)}, "W_dec of shape (6, 3)"),
        ({}, {"W_dec": torch.zeros(D, N)}, "It is transposed."),
        ({"d_sae": 7}, {}, "W_enc of shape (3, 7)"),
        ({"d_sae": 7}, {}, "settings and weights belong together"),
        ({"k": 7}, {}, "from 1 to 6"),
        ({"k": None}, {}, "from 1 to 6"),
        ({"d_in": "3"}, {}, "Expected d_in (int)"),
        ({"architecture": "temporal"}, {}, "found 'temporal'"),
        ({"normalize_activations": "covariance_whitening"}, {}, "found 'covariance_whitening'"),
        ({"architecture": "jumprelu"}, {}, "Expected a tensor threshold"),
        ({}, {"b_enc": None}, "Expected a tensor b_enc"),
        ({}, {"W_skip": torch.zeros(D, D)}, "Expected no further tensors"),
        ({}, {"W_enc": torch.full((D, N), torch.nan)}, "Expected finite numbers as W_enc"),
        ({}, {"b_dec": torch.tensor([0, torch.inf, 0])}, "Expected finite numbers as b_dec"),
        ({}, {"W_enc": torch.zeros(D, N, dtype=torch.int8)}, "found torch.int8"),
    ],
)
def test_settings_and_weights_that_do_not_fit(
    settings: dict[str, Any], changes: dict[str, torch.Tensor | None], expected: str, tmp_path: Path
) -> None:
    assert expected in message(write(tmp_path, settings, **changes))


def truncate(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-20])
    return path


def named(folder: Path, suffix: str) -> Path:
    """The right matrices as a plain file."""
    path = folder / f"mine{suffix}"
    if suffix == ".safetensors":
        save_file(tensors(), path)
    elif suffix == ".npz":
        np.savez(path, **{name: value.numpy() for name, value in tensors().items()})  # type: ignore[arg-type]
    else:
        torch.save(tensors(), path)
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".pt"])
def test_a_truncated_file_is_named(suffix: str, tmp_path: Path) -> None:
    path = named(tmp_path, suffix)
    assert open_dictionary(str(path), D).n_units == N
    found = message(truncate(path))
    assert str(path) in found and "again" in found


class Surprise:
    """Runs when it is unpickled by anything that lets it."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return Path.touch, (Path("ran"),)  # type: ignore[return-value]


def test_a_pickle_with_code_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(tensors() | {"extra": Surprise()}, tmp_path / "mine.pt")
    assert "pickle of plain tensors" in message(tmp_path / "mine.pt")
    np.savez(tmp_path / "mine.npz", W_enc=np.array([Surprise()]), W_dec=np.zeros((N, D)))
    assert "mine.npz" in message(tmp_path / "mine.npz")
    assert not (tmp_path / "ran").exists()


def test_broken_settings(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "cfg.json").write_text("{", encoding="utf-8")
    assert "Expected JSON" in message(tmp_path)
    (tmp_path / "cfg.json").write_text("[1]", encoding="utf-8")
    assert "found a list" in message(tmp_path)


def test_a_batch_top_k_dictionary_without_a_threshold(tmp_path: Path) -> None:
    trainer = {"dict_class": "BatchTopKSAE", "activation_dim": D, "dict_size": N, "k": 2}
    (tmp_path / "config.json").write_text(json.dumps({"trainer": trainer}), encoding="utf-8")
    state = {"encoder.weight": torch.ones(N, D), "encoder.bias": torch.ones(N), "decoder.weight": torch.ones(D, N)}
    state |= {"b_dec": torch.ones(D), "k": torch.tensor(2), "threshold": torch.tensor(-1.0)}
    torch.save(state, tmp_path / "ae.pt")
    assert "threshold of 0 or more" in message(tmp_path)
    torch.save(state | {"threshold": torch.tensor(0.0), "k": torch.tensor(3)}, tmp_path / "ae.pt")
    assert "Expected k = 2" in message(tmp_path)


def test_what_is_no_dictionary_lists_those_inside(tmp_path: Path) -> None:
    for layer in ("layers.3", "layers.4"):
        (tmp_path / layer).mkdir()
        write(tmp_path / layer)
    assert f"Name one of those in it: {tmp_path / 'layers.3'}, {tmp_path / 'layers.4'}" in message(tmp_path)
    assert "files of no known format" in message(Path(__file__))
    assert "hub:ORG/NAME/FOLDER" in message("no/such/folder")


def test_a_set_of_transcoders_asks_for_a_layer(tmp_path: Path) -> None:
    for layer in (10, 2):
        save_file({"W_enc": torch.zeros(1)}, tmp_path / f"layer_{layer}.safetensors")
    assert f"for example {tmp_path / 'layer_2.safetensors'}" in message(tmp_path)


def test_a_cross_layer_decoder_that_is_missing(tmp_path: Path) -> None:
    found = {"W_enc_0": torch.ones(N, D), "b_enc_0": torch.ones(N), "b_dec_0": torch.ones(D)}
    save_file(found, tmp_path / "W_enc_0.safetensors")
    assert "W_dec_0.safetensors, found nothing" in message(tmp_path / "W_enc_0.safetensors")


def test_qwen_scope_needs_its_folders_name(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "layer3.sae.pt")
    assert "how many units are active" in message(tmp_path / "layer3.sae.pt")


def test_a_dictionary_of_another_width(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="for vectors of width 4, found .* for 3"):
        open_dictionary(str(write(tmp_path)), 4)


def test_an_archive_that_unpacks_to_the_whole_memory_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("W_enc.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array_header_1_0(
                file, {"descr": "<f4", "fortran_order": False, "shape": (2**27, 1)}
            )
            for _ in range(8):
                file.write(bytes(2**26))
    assert "it unpacks to 536,871" in message(path)


def test_a_header_that_claims_terabytes_is_refused(tmp_path: Path) -> None:
    with open(tmp_path / "giant.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (2**40, 4)})
        file.write(bytes(64))
    assert "a whole .npy file" in message(f"directions:{tmp_path / 'giant.npy'}")
    header = json.dumps({"W_enc": {"dtype": "F32", "shape": [2**40, 4], "data_offsets": [0, 2**44]}}).encode()
    (tmp_path / "giant.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(64))
    assert "giant.safetensors" in message(tmp_path / "giant.safetensors")


def prisma(folder: Path, **given: Any) -> Path:
    """A ViT-Prisma folder, right but for these settings."""
    settings = {"d_in": D, "expansion_factor": N // D, "hook_point_layer": 9, "layer_subtype": "hook_resid_post"}
    settings |= {"activation_fn_str": "relu", "normalize_activations": "layer_norm"}
    (folder / "config.json").write_text(json.dumps(settings | given), encoding="utf-8")
    torch.save(tensors(), folder / "weights.pt")
    return folder


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"cls_token_only": True}, "False as cls_token_only"),
        ({"activation_fn_str": "tanh-relu"}, "'relu' or 'topk' as activation_fn_str"),
        ({"activation_fn_str": "topk", "activation_fn_kwargs": {}}, "from 1 to 6"),
        ({"normalize_activations": "expected_average_only_in"}, "found 'expected_average_only_in'"),
        ({"hook_point_head_index": 3}, "None as hook_point_head_index"),
        ({"architecture": "gated"}, "Expected a tensor b_gate"),
        ({"architecture": "gated", "activation_fn_str": "topk"}, "of a gated dictionary"),
        ({"hook_point_layer": [1, 2]}, "Expected hook_point_layer (int)"),
        ({"expansion_factor": 3}, "b_enc of shape (9,)"),
    ],
)
def test_settings_of_prisma_that_are_not_read(given: dict[str, Any], expected: str, tmp_path: Path) -> None:
    assert open_dictionary(str(prisma(tmp_path)), D).n_units == N
    assert expected in message(prisma(tmp_path, **given))


def test_a_checkpoint_of_prisma_is_one_file_without_objects(tmp_path: Path) -> None:
    folder = prisma(tmp_path)
    (folder / "n_images_1.pt").write_bytes((folder / "weights.pt").read_bytes())
    assert "found n_images_1.pt, weights.pt. Name one of several" in message(folder)
    assert open_dictionary(str(folder / "n_images_1.pt"), D).n_units == N
    torch.save({"cfg": Path("a"), "state_dict": tensors()}, folder / "n_images_1.pt")
    assert "one with code or other objects" in message(folder / "n_images_1.pt")
    for file in folder.glob("*.pt"):
        file.unlink()
    (folder / "sae.pkl.gz").touch()
    assert "found config.json, sae.pkl.gz" in message(folder)
