"""What a delphi run leaves: explanations, scores and the activation cache."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from neurogloss.errors import UserError
from neurogloss.store.exchange import delphi, delphi_cache


def outcome(activating: bool, prediction: bool | None) -> dict[str, Any]:
    return {"str_tokens": ["a"], "activating": activating, "prediction": prediction, "probability": None}


@pytest.fixture
def results(tmp_path: Path) -> Callable[..., Path]:
    def write(**files: Any) -> Path:
        for name, value in files.items():
            path = tmp_path / "results" / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(value), encoding="utf-8")
        return tmp_path / "results"

    return write


def test_explanations_with_their_scores(results: Callable[..., Path]) -> None:
    # Of 2 active examples 1 is found, of 4 silent ones 3; one more was not answered.
    outcomes = [outcome(True, True), outcome(True, False), *[outcome(False, False)] * 3, outcome(False, True)]
    path = results(
        **{
            "run_config.json": {"explainer_model": "some/model"},
            "explanations__layers.1_latent7.txt": "days of the week",
            "explanations__layers.10_latent7.txt": "Explanation could not be parsed.",
            "scores__fuzz__layers.1_latent7.txt": [*outcomes, outcome(True, None)],
            "scores__surprisal__layers.1_latent7.txt": [{"text": "a", "explanation": [0.5]}],
            "scores__fuzz__layers.10_latent7.txt": outcomes,
        }
    )
    reading = delphi.read(path)
    (row,) = reading.found
    assert (row.text, row.unit, row.place, row.index, row.method) == (
        *("days of the week", None, "layers.1", 7, "some/model"),
    )
    assert row.source["scores"] == {
        "fuzz": {"answered": 6, "unanswered": 1, "balanced_accuracy": (1 / 2 + 3 / 4) / 2},
        "surprisal": {"outcomes": 1},
    }
    assert reading.without_text == 1
    assert len(reading.files) == 5


def test_no_examples_of_a_kind_is_no_accuracy(results: Callable[..., Path]) -> None:
    path = results(**{"explanations__h_latent0.txt": "x", "scores__fuzz__h_latent0.txt": [outcome(True, True)]})
    (row,) = delphi.read(path).found
    assert row.source["scores"]["fuzz"]["balanced_accuracy"] is None


def test_hookpoints_with_slashes(results: Callable[..., Path]) -> None:
    path = results(
        **{
            "explanations__layer_12/width_16k_latent3.txt": "x",
            "scores__fuzz__layer_12--width_16k_latent3.txt": [],
        }
    )
    (row,) = delphi.read(path).found
    assert (row.place, row.index) == ("layer_12/width_16k", 3)
    assert "fuzz" in row.source["scores"]


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"explanations__h_latent0.txt": ["x"]}, "Expected a JSON string in"),
        ({"explanations__notes.txt": "x"}, "Expected HOOKPOINT_latentINDEX.txt"),
        ({"run_config.json": {}}, "Expected explanations/HOOKPOINT_latentINDEX.txt in"),
    ],
)
def test_what_is_no_result_is_named(files: dict[str, Any], found: str, results: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match=found):
        delphi.read(results(**files))


# --- the cache ------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Latents 10 to 12 on 4 rows of 7 tokens. Latent 11 fires at (0, 1), (0, 2), (2, 5) and (3, 6)."""
    locations = np.array([[0, 1, 1], [0, 1, 0], [0, 2, 1], [2, 5, 1], [3, 6, 1]], np.uint16)
    activations = np.array([1.0, 9.0, 2.0, 0.5, 4.0], np.float16)
    tokens = np.arange(28, dtype=np.int64).reshape(4, 7)
    folder = tmp_path / "latents" / "layers.1"
    folder.mkdir(parents=True)
    arrays = {"locations": locations, "activations": activations, "tokens": tokens}
    save_file(arrays, folder / "10_12.safetensors")
    return folder


def test_windows_of_one_latent(cache: Path) -> None:
    found = delphi_cache.read(cache, 11, "t{}".format, window=3)
    # Two windows a row; position 6 is beyond them. Windows 0 and 5 are active, as many silent ones are drawn.
    assert found.texts[:2] == (("t0", "t1", "t2"), ("t17", "t18", "t19"))
    assert found.activations[:2] == ((0.0, 1.0, 2.0), (0.0, 0.0, 0.5))
    assert found.activations[2:] == ((0.0,) * 3,) * 2
    assert not set(found.texts[2:]) & set(found.texts[:2])
    assert len(delphi_cache.read(cache, 11, str, window=3, silent=99).texts) == 8
    assert delphi_cache.read(cache, 12, str, window=3, silent=1).activations == ((0.0,) * 3,)


def test_a_cache_that_has_not_the_latent(cache: Path) -> None:
    with pytest.raises(UserError, match="found 10 to 12"):
        delphi_cache.read(cache, 13, str)
    with pytest.raises(UserError, match="a window of 1 to 7 tokens, found 8"):
        delphi_cache.read(cache, 11, str, window=8)
    (cache / "10_12.safetensors").write_bytes(b"short")
    with pytest.raises(UserError, match="Expected locations, activations and tokens"):
        delphi_cache.read(cache, 11, str)


def test_a_cache_that_overflowed(cache: Path) -> None:
    arrays = {
        "locations": np.array([[0, 0, 0]], np.uint16),
        "activations": np.array([np.inf], np.float16),
        "tokens": np.zeros((1, 7), np.int64),
    }
    save_file(arrays, cache / "10_12.safetensors")
    with pytest.raises(UserError, match="beyond float16"):
        delphi_cache.read(cache, 10, str, window=3)
