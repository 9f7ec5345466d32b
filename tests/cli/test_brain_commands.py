"""Responses from the command line: collected, labelled by LaVCa, scored against what was measured, searched."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

import neurogloss as ng
from neurogloss.cli.demo_brain import draw, right
from neurogloss.engines.embedder import MiniLM
from neurogloss.sources.brain.simulate import Simulation
from neurogloss.sources.brain.voxels import Voxels

pytest.importorskip("himalaya")

PLACES = "river lake sea shore harbour boat island beach".split()
FOOD = "soup bread cheese rice salad pie stew cake".split()
OTHER = "the old man said that it was late and nobody would come before the end of summer".split()


@pytest.fixture(scope="session")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Voxel 0 answers to food, voxel 1 to water, voxel 2 to nothing; two repeats."""
    folder, rng = tmp_path_factory.mktemp("brain"), np.random.default_rng(0)

    def sentence(kind: Sequence[str]) -> str:
        return " ".join([*rng.choice(OTHER, 4), *rng.choice(kind, 2), *rng.choice(OTHER, 2)])

    texts = [sentence((FOOD, PLACES, OTHER)[i % 3]) for i in range(300)]
    signal = np.array([[i % 3 == 0, i % 3 == 1, False] for i in range(300)], np.float32) * 2
    rows = np.concatenate([signal + rng.standard_normal((300, 3)) for _ in range(2)]).astype(np.float32)
    np.save(folder / "responses.npy", rows)
    np.save(folder / "swapped.npy", rows.T)
    with open(folder / "stimuli.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "id"])
        writer.writerows((text, i) for _ in range(2) for i, text in enumerate(texts))
    return folder


def collect(invoke: Callable[..., Any], experiment: Path, run: Path, file: str = "responses.npy") -> Any:
    return invoke(
        "collect-responses", run, "--subject", "s1", "--stimuli", experiment / "stimuli.csv",
        "--responses", experiment / file, "--seed", 3,
    )  # fmt: skip


def test_from_files_to_labels_that_are_found(invoke: Callable[..., Any], experiment: Path, tmp_path: Path) -> None:
    ended = collect(invoke, experiment, tmp_path / "run")
    assert ended.code == 0, ended.err
    assert "300 stimuli, 3 voxels, 2 of them predicted above chance" in ended.out.replace("\n", " ")
    label = invoke(
        "label", tmp_path / "run", "--units", "0-2", "--explainer", "lavca", "--scorers", "voxel-prediction",
        "--json",
    )  # fmt: skip
    assert label.code in (0, 1), label.err
    shown = invoke("status", tmp_path / "run", "--labels", "--json")
    assert "not predicted above chance" in shown.out
    found = invoke("search", "food that people eat", "--run", tmp_path / "run", "--json")
    assert found.rows[0]["label"]["unit"] == "s1/measured/voxels/0"
    (score,) = found.rows[0]["label"]["scores"]
    assert score["score"]["value"] > score["floor"]["value"]
    # of a variance of 8 / 9, with noise of 1 / 2 in the mean of two presentations
    assert abs(score["metrics"]["ceiling"] - 0.8) < 0.1


def test_texts_that_are_written_for_an_explanation_drive_the_voxel(
    invoke: Callable[..., Any], experiment: Path, tmp_path: Path, write_script: Callable[..., str]
) -> None:
    """The right texts lie above those for the other voxel's explanation; a dry run counts what would be asked."""
    collect(invoke, experiment, tmp_path / "run")

    def texts(words: Sequence[str]) -> dict[str, list[str]]:
        return {"fitting": [f"there was {a} and {b}" for a, b in zip(words, words[1:], strict=False)]}

    script = write_script(
        tmp_path / "script.jsonl",
        {"match": '"eating food"', "reply": texts([*FOOD, *FOOD[:3]])},
        {"match": '"the water"', "reply": texts([*PLACES, *PLACES[:3]])},
        {"match": "soup|bread|cheese|rice|salad|pie|stew|cake", "reply": {"explanation": "eating food"}},
        {"match": ".", "reply": {"explanation": "the water"}},
    )
    arguments = ["label", tmp_path / "run", "--units", "0-1", "--llm", script, "--scorers", "voxel-writing"]
    arguments += ["--effort", "low"]
    (plan,) = invoke(*arguments, "--dry-run", "--json").rows
    assert plan["units"] == 2 and plan["usage"]["requests"] >= plan["units"] and plan["pictures"] == 0
    assert invoke(*arguments).code in (0, 1)
    said = {}
    for label in ng.open_run(tmp_path / "run").labels():
        if label.explanation and label.unit.sign > 0:
            (score,) = label.scores
            said[label.unit.index] = label.explanation.text
            assert score.metric == "sigma" and score.n_questions == 10
            assert score.score.value > 1 and score.excess.low > 0
    assert said == {0: "eating food", 1: "the water"}


def test_what_is_wrong_with_files_is_said_and_nothing_is_written(
    invoke: Callable[..., Any], experiment: Path, tmp_path: Path
) -> None:
    ended = collect(invoke, experiment, tmp_path / "run", "swapped.npy")
    assert ended.code == 2 and "the axes are swapped" in ended.err.replace("\n", " ")
    assert not (tmp_path / "run" / "cache" / "manifest.json").exists()


def test_voxel_prediction_needs_voxels(invoke: Callable[..., Any], run_copy: Path) -> None:
    ended = invoke("score", run_copy, "--scorers", "voxel-prediction")
    assert ended.code == 2 and "measured responses" in ended.err.replace("\n", " ")


def test_the_demo_counts_labels_that_name_what_was_planted(tmp_path: Path) -> None:
    tunings = (("law and courts",), ("law and courts", "sport and games"), (), ("food and cooking",))
    simulation = Simulation((), np.zeros((0, 4), np.float32), tunings, (0.4,) * 4)
    told = {
        (0, 1): "judges in a court",
        (1, 1): "a football match",
        (3, 1): "stars and planets",
        (3, -1): "cooking",
    }
    labels = [label(*side, text) for side, text in told.items()] + [label(2, 1, "")]
    found = right(simulation, labels, MiniLM())
    assert found == [(0.4, "nothing", 1, 0, 0), (0.4, "one thing", 2, 2, 1), (0.4, "two things", 1, 1, 1)]
    pytest.importorskip("matplotlib")
    voxels = SimpleNamespace(table={"r": np.array([0.5, 0.2, 0.0, 0.1])}, ceiling=lambda voxel: 0.6)
    said = draw(tmp_path / "voxels.png", cast(Voxels, voxels), simulation, found)
    assert "voxels.png" in said and (tmp_path / "voxels.png").read_bytes().startswith(b"\x89PNG")


def label(index: int, sign: int, text: str) -> ng.Label:
    unit = ng.UnitId("s1", "measured", "voxels", index, sign)
    if not text:
        return ng.Label(unit, "m", ng.State.TOO_LITTLE_EVIDENCE)
    return ng.Label(unit, "m", ng.State.EXPLAINED, explanation=ng.Explanation(unit, text, "m"))
