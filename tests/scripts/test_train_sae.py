from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterator
from importlib import resources
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from neurogloss.ids import hash64
from neurogloss.sources.corpus import Document, read_documents
from neurogloss.sources.dictionaries import open_dictionary
from neurogloss.sources.subject import Subject

SHIPPED = Path(str(resources.files("neurogloss.sources"))) / "data" / "sae"
SEEDS = ("seed-0", "seed-1")


@pytest.fixture
def train_sae(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "scripts"))
    yield importlib.import_module("train_sae")
    del sys.modules["train_sae"]


def weights(name: str) -> dict[str, Any]:
    from safetensors.numpy import load_file

    found: dict[str, Any] = load_file(SHIPPED / name / "sae_weights.safetensors")
    return found


def config(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SHIPPED / name / "cfg.json").read_text(encoding="utf-8"))
    return found


def on_card(label: str) -> tuple[float, float]:
    """The numbers of the two seeds in one row of the card's table."""
    row = re.search(rf"^\| {label} \| (\S+) \| (\S+) \|$", (SHIPPED / "card.md").read_text("utf-8"), re.MULTILINE)
    assert row, label
    return float(row[1]), float(row[2])


@pytest.mark.parametrize("name", SEEDS)
def test_what_is_shipped_is_what_its_configuration_says(name: str) -> None:
    found, settings = weights(name), config(name)
    d, n = settings["d_in"], settings["d_sae"]
    shapes = {key: value.shape for key, value in found.items()}
    assert shapes == {"W_enc": (d, n), "W_dec": (n, d), "b_enc": (n,), "b_dec": (d,)}
    assert (d, n, settings["k"], settings["architecture"]) == (576, 4_608, 32, "topk")
    assert settings["apply_b_dec_to_input"] and not settings["rescale_acts_by_decoder_norm"]
    assert settings["normalize_activations"] == "none"
    assert settings["metadata"]["hf_hook_name"] == "model.layers.14" and settings["metadata"]["prepend_bos"]
    assert {str(value.dtype) for value in found.values()} == {settings["dtype"]} == {"float16"}
    assert all(np.isfinite(value).all() for value in found.values())
    lengths = np.linalg.norm(found["W_dec"].astype(np.float32), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-3)


def test_the_two_seeds_have_learnt_what_the_card_says_in_common() -> None:
    a, b = (weights(name)["W_dec"].astype(np.float32) for name in SEEDS)
    cosines = (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (b / np.linalg.norm(b, axis=1, keepdims=True)).T
    text = " ".join((SHIPPED / "card.md").read_text("utf-8").split())
    found = re.search(r"(\S+) from seed 0 to 1, (\S+) from 1 to 0; of random directions, (\S+)\.", text)
    assert found
    forth, back, random = (float(number) for number in found.groups())
    assert cosines.max(1).mean() == pytest.approx(forth, abs=2e-3)
    assert cosines.max(0).mean() == pytest.approx(back, abs=2e-3)
    assert random < 0.25 < min(forth, back)


def test_no_more_is_shipped_than_a_package_should_carry() -> None:
    assert sum(file.stat().st_size for file in SHIPPED.rglob("*") if file.is_file()) < 25 * 2**20


@pytest.mark.model
def test_the_card_tells_the_truth_on_documents_held_out(train_sae: ModuleType) -> None:
    import torch

    documents = list(islice(filter(train_sae.is_held_out, read_documents("demo")), 16))
    vectors = np.concatenate(list(train_sae.activations(Subject.load("smollm2-135m-instruct"), documents)))
    variance = np.square(vectors - vectors.mean(0)).sum()
    for name, fvu, l0 in zip(SEEDS, on_card("FVU in float16, as shipped"), on_card("L0"), strict=True):
        found, k = {key: value.astype(np.float32) for key, value in weights(name).items()}, config(name)["k"]
        codes = np.maximum((vectors - found["b_dec"]) @ found["W_enc"] + found["b_enc"], 0)
        codes[codes < np.partition(codes, -k, axis=1)[:, [-k]]] = 0
        error = np.square(vectors - codes @ found["W_dec"] - found["b_dec"]).sum()
        assert error / variance == pytest.approx(fvu, rel=0.05)
        assert (codes > 0).sum(1).mean() == pytest.approx(l0, abs=0.05)
        dictionary, whole = open_dictionary(str(SHIPPED / name), vectors.shape[1]), torch.from_numpy(vectors)
        rest = whole - dictionary.decode(dictionary.encode(whole), whole)
        assert float(rest.square().sum()) == pytest.approx(error, rel=1e-3), "as the package reads it"


def test_about_one_document_in_twenty_is_held_out(train_sae: ModuleType) -> None:
    documents = [Document(text, hash64(text)) for text in map(str, range(4_000))]
    assert 150 < sum(map(train_sae.is_held_out, documents)) < 250


def test_each_token_is_cached_once_and_no_padding(
    train_sae: ModuleType, tiny_subject_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_sae, "HOOKPOINT", "model.layers.1")
    monkeypatch.setattr(train_sae, "ROWS", 2)
    subject = Subject.load(str(tiny_subject_folder))
    texts = ["The river rose in the night.", "Salt.", "The cook stirred the soup and added salt."]
    found = list(train_sae.activations(subject, [Document(text, hash64(text)) for text in texts]))
    assert len(found) == 2, "two documents a pass"
    hookpoint = subject.hookpoint("model.layers.1")
    alone = [subject.vectors([subject.tokenize(text).ids], [hookpoint])[hookpoint][0].numpy() for text in texts]
    expected = np.concatenate(sorted(alone, key=len))
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=1e-4, atol=1e-4)


def test_measures_of_a_dictionary_worked_by_hand(train_sae: ModuleType) -> None:
    import torch

    # Two of three latents read one coordinate each; the third never fires, and the second reads half.
    vectors = torch.tensor([[3.0, 0.0], [0.0, 4.0], [3.0, 4.0], [0.0, 0.0]], dtype=torch.float16)
    encoder = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 0.0]])
    measures = train_sae.measure(vectors, lambda x: x @ encoder, lambda codes: codes[:, :2])
    # Squared error 2² + 2²; squared distance from the mean (1.5, 2) is 4 × (1.5² + 2²).
    assert measures.fvu == pytest.approx(8 / 25)
    assert measures.l0 == 1.0
    assert measures.fires.tolist() == [True, True, False]


def test_half_precision_is_refused_where_it_does_not_hold_a_weight(train_sae: ModuleType, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    (tmp_path / "cfg.json").write_text('{"dtype": "float32", "metadata": {"sae_lens_version": "6"}}', "utf-8")
    save_file({"W_dec": torch.ones(2, 2), "b_dec": torch.tensor([7e4, 0])}, tmp_path / "sae_weights.safetensors")
    with pytest.raises(ValueError, match=r"65,504 .* b_dec"):
        train_sae.halve(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
