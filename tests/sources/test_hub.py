"""Subjects, dictionaries and data sets by the names that they have on the hub, through the hub's own clients."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from hub_server import COMMIT, hub
from safetensors.numpy import save_file

from neurogloss.errors import UserError
from neurogloss.sources.corpus import read_documents
from neurogloss.sources.dictionaries import fetched_dictionary, open_dictionary
from neurogloss.sources.subject import Subject


@pytest.fixture(scope="module")
def served(
    tiny_subject_folder: Path, texts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, list[str]]]:
    """A model, a repository of two dictionaries, one with its settings beside it, and a data set in Parquet."""
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    root = tmp_path_factory.mktemp("hub")
    shutil.copytree(tiny_subject_folder, root / "models" / "org" / "tiny-llama")
    rng = np.random.default_rng(1)
    for name in ("layer_0/first", "layer_0/second"):
        rows = rng.normal(size=(96, 32)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        folder = root / "models" / "org" / "saes" / name
        folder.mkdir(parents=True)
        arrays = {"W_enc": np.ascontiguousarray(rows.T), "W_dec": rows / 2, "k": np.array(6)}
        save_file(arrays, folder / "sae.safetensors")
        (folder / "notes.json").write_text("{}", encoding="utf-8")
    (root / "models" / "org" / "saes" / "README.md").write_text("Two.", encoding="utf-8")
    data = root / "datasets" / "org" / "texts" / "data"
    data.mkdir(parents=True)
    parquet.write_table(arrow.table({"text": texts}), data / "train-00000-of-00001.parquet")
    with hub(root) as found:
        yield found


def test_everything_by_its_name_on_the_hub(served: tuple[str, list[str]], tmp_path: Path) -> None:
    """By a command, as clients read their settings when they are imported."""
    command = [sys.executable, "-m", "neurogloss", *"collect run --corpus hub:org/texts --tokens 3000".split()]
    sae = f"hub:org/saes@{COMMIT}/layer_0/first/sae.safetensors"
    done = subprocess.run(
        [*command, "--subject", "org/tiny-llama", "--dictionary", sae, "--hookpoint", "model.layers.0"],
        env={**os.environ, "HF_ENDPOINT": served[0], "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "run" / "cache" / "manifest.json").read_text(encoding="utf-8"))
    assert [(site["dictionary"], site["spec"]) for site in manifest["sites"]] == [("sae", sae)]
    assert manifest["subject"]["name"] == "org/tiny-llama" and manifest["counts"]["tokens"] >= 3000


@pytest.fixture
def online(
    served: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[bool], None]:
    """Fetching from the hub, into a cache of its own, and what turns it on or off."""
    download = partial(huggingface_hub.snapshot_download, endpoint=served[0], cache_dir=tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)

    def turn(on: bool) -> None:
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", not on)

    turn(True)
    return turn


def test_only_what_is_meant_is_fetched_and_once(
    online: Callable[[bool], None], served: tuple[str, list[str]]
) -> None:
    served[1].clear()
    folder, name = fetched_dictionary("hub:org/saes/layer_0/second/")
    assert name == "second" and sorted(path.name for path in folder.iterdir()) == ["notes.json", "sae.safetensors"]
    assert {line.rpartition("/")[2] for line in served[1] if "first" in line} == set()
    file, name = fetched_dictionary("hub:org/saes/layer_0/first/sae.safetensors")
    assert name == "sae" and (file.parent / "notes.json").is_file()
    assert open_dictionary("hub:org/saes/layer_0/first/sae.safetensors", 32).name == "sae"
    assert open_dictionary("random:hub:org/saes/layer_0/first/sae.safetensors", 32).name == "random-0-sae"
    whole, name = fetched_dictionary("hub:org/saes")
    assert name == "saes" and [path.name for path in whole.iterdir() if path.is_file()] == ["README.md"]
    fetches = [line for line in served[1] if line.startswith("GET") and line.endswith("sae.safetensors")]
    assert len(fetches) == len(set(fetches)) == 2
    online(False)
    assert fetched_dictionary("hub:org/saes/layer_0/second")[0] == folder


def test_what_is_not_there_is_said(online: Callable[[bool], None]) -> None:
    with pytest.raises(UserError, match="Expected org/none on the hub or downloaded before, found neither"):
        open_dictionary("hub:org/none/layer_0", 32)
    with pytest.raises(UserError, match="Expected layer_1 in org/saes on the hub, found no such thing"):
        open_dictionary("hub:org/saes/layer_1", 32)
    with pytest.raises(UserError, match="org/none on the hub"):
        Subject.load("org/none")


def test_where_fetching_is_off_it_is_said_how_to_allow_it() -> None:
    with pytest.raises(
        UserError, match="the data set org/none on the hub.*Check configuration and split.*OFFLINE=0"
    ):
        list(read_documents("hub:org/none"))
    with pytest.raises(UserError, match="Fetching is off: set HF_HUB_OFFLINE=0"):
        open_dictionary("hub:org/none/layer_0", 32)


@pytest.mark.parametrize("spec", ["hub:", "hub:alone", "hub:a/b/../c", "hub:a/b/*", "hub:a b/c", "hub:a/b@/c"])
def test_another_form_is_refused(spec: str) -> None:
    with pytest.raises(UserError, match="hub:ORG/NAME/FOLDER"):
        fetched_dictionary(spec)
