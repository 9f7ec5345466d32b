"""`collect` and `doctor` with a dictionary out of a file, and runs that are merged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import save_file

import neurogloss as ng

if TYPE_CHECKING:
    from conftest import Invoke


@pytest.fixture(scope="module")
def sae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A top-k autoencoder for vectors of width 32."""
    rows = np.random.default_rng(3).normal(size=(64, 32)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    path = tmp_path_factory.mktemp("sae") / "mine.safetensors"
    save_file({"W_enc": np.ascontiguousarray(rows.T), "W_dec": rows / 2, "k": np.array(4)}, path)
    return path


def corpus(folder: Path, word: str) -> Path:
    folder.mkdir()
    for i in range(24):
        text = " ".join(f"{word} {i} and {word} {i + j} by the river." for j in range(40))
        (folder / f"{i}.txt").write_text(text, encoding="utf-8")
    return folder


def test_doctor_holds_a_dictionary_against_a_subject(
    invoke: Invoke, tiny_subject_folder: Path, sae: Path, tmp_path: Path
) -> None:
    given = ["doctor", sae, "--subject", tiny_subject_folder, "--corpus", corpus(tmp_path / "texts", "salt")]
    shown = invoke(*given, "--hookpoint", "blocks.0.hook_resid_post")
    assert shown.code == 0 and "It fits." in shown.out
    (row,) = invoke(*given, "--hookpoint", "model.layers.0", "--json").rows
    assert row["reason"] == "" and row["parity"]["l0"] == 4 and 0 < row["parity"]["fvu"] < 1.1
    assert row["site"]["hookpoint"] == "model.layers.0"
    refused = invoke(*given, "--hookpoint", "model.layers.0.mlp.down_proj.input")
    assert refused.code == 2 and "Expected a dictionary for vectors of width 48" in refused.err
    assert invoke(*given).code == 2


def test_doctor_says_why_a_dictionary_does_not_fit(
    invoke: Invoke, tiny_subject_folder: Path, tmp_path: Path
) -> None:
    rows = np.eye(32, dtype=np.float32)
    path = tmp_path / "wrong.safetensors"
    save_file({"W_enc": rows, "W_dec": -5 * rows, "k": np.array(4)}, path)
    given = ["--subject", tiny_subject_folder, "--corpus", corpus(tmp_path / "texts", "salt")]
    shown = invoke("doctor", path, *given, "--hookpoint", "model.layers.0")
    assert shown.code == 1
    assert "Expected wrong to reconstruct" in shown.out


def test_runs_are_merged(invoke: Invoke, tiny_subject_folder: Path, sae: Path, tmp_path: Path) -> None:
    given = ["--subject", tiny_subject_folder, "--dictionary", sae, "--hookpoint", "model.layers.0"]
    runs = [tmp_path / word for word in ("salt", "stone")]
    for run in runs:
        texts = corpus(tmp_path / f"{run.name}-texts", run.name)
        assert invoke("collect", run, *given, "--corpus", texts).code == 0
    both = ["--merge", runs[0], "--merge", runs[1]]
    (manifest,) = invoke("collect", tmp_path / "both", *both, "--json").rows
    assert manifest["counts"]["documents"] == 48
    merged, parts = ng.open_run(tmp_path / "both").cache, [ng.open_run(run).cache for run in runs]
    for unit in merged.alive(1):
        assert merged.statistics(unit).n_active == sum(part.statistics(unit).n_active for part in parts)
    mixed = invoke("collect", tmp_path / "third", *both, "--tokens", 5)
    assert mixed.code == 2 and "--merge alone, found tokens" in mixed.err
    assert not (tmp_path / "third").exists()
