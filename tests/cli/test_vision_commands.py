"""collect-images, ablate and the vision demo, on few images and the packaged classifiers."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

import neurogloss as ng
from neurogloss.cli import demo_vision
from neurogloss.sources.vision import exemplars, shipped

if TYPE_CHECKING:
    from conftest import Invoke

HOOKPOINT = "resnet.encoder.stages.2"
RULES = (
    {"match": "Stimuli:", "reply": '{"explanation": "a word that says something"}'},
    {"match": "exts:", "words": "explanation"},
)
LABEL = {"scorers": ("detection",), "min_active": 2, "questions": 8, "effort": "low"}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 digits in a subfolder a class."""
    folder = tmp_path_factory.mktemp("digits")
    for path, data, _ in islice(shipped.digits(), 120):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(data())
    return folder


@pytest.fixture(scope="module")
def image_run(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Collected, and labelled by a script."""
    from neurogloss.cli.app import run

    folder = tmp_path_factory.mktemp("runs") / "digits"
    arguments = [
        "--subject",
        "digits-cnn",
        "--hookpoint",
        HOOKPOINT,
        "--pictures",
        str(pictures),
        "--device",
        "cpu",
    ]
    assert run(["collect-images", str(folder), *arguments]) == 0
    return folder


@pytest.fixture
def labelled_run(image_run: Path, minilm: None, tmp_path: Path, write_script: Callable[..., str]) -> Path:
    ng.label(image_run, units="sample:3", llm=write_script(tmp_path / "script.jsonl", *RULES), **LABEL)
    return image_run


def test_collect_images_says_what_it_read(invoke: Invoke, image_run: Path, pictures: Path) -> None:
    again = invoke(
        *(
            "collect-images",
            image_run,
            "--subject",
            "digits-cnn",
            "--hookpoint",
            HOOKPOINT,
            "--pictures",
            pictures,
        ),
        *("--device", "cpu"),
    )
    assert again.code == 0, again.err
    assert again.out.startswith(f"120 images, 64 units in {image_run}. Next:  neurogloss label {image_run}")
    other = invoke("collect-images", image_run, "--hookpoint", HOOKPOINT)
    assert other.code == 2 and "other settings" in other.err
    wrong = invoke("collect-images", image_run.parent / "new", "--hookpoint", "resnet.encoder.stages.7")
    assert wrong.code == 2 and "resnet.encoder.stages.2" in " ".join(wrong.err.split())


def test_ablate_shows_accuracy_beside_random_units(invoke: Invoke, image_run: Path, pictures: Path) -> None:
    arguments = ["ablate", image_run, "--units", "0-3", "--images", 40, "--draws", 3]
    told = invoke(*arguments)
    assert told.code == 0, told.err
    assert "4 units, 40 images" in told.out and "4 random units, 3 draws" in told.out
    (found,) = invoke(*arguments, "--json", "--pictures", pictures).rows
    accuracy, precision = found["accuracy"], found["precision"]
    assert found["n_images"] == 40 and len(accuracy["random"]) == 3 and len(found["classes"]) == 10
    assert accuracy["before"] > 0.8 and f"accuracy {accuracy['before']:.3f} before" in told.out
    for each in (accuracy, precision):
        assert each["drop"]["value"] == pytest.approx(each["before"] - each["after"])
    assert f"alike {precision['before']:.3f} before" in told.out and 0 <= found["kept"] < 1
    assert all(f"{each['image']}: beside it {each['before'][0]}" in told.out for each in found["retrievals"])
    assert [unit.rpartition("/")[2] for unit in found["units"]] == ["0", "1", "2", "3"]


def test_ablate_takes_the_units_whose_labels_pass_a_filter(invoke: Invoke, labelled_run: Path) -> None:
    explained = {label.unit for label in ng.open_run(labelled_run).labels() if label.explanation}
    assert explained
    (found,) = invoke(
        *("ablate", labelled_run, "--where", 'explanation ~ "word"', "--images", 20, "--draws", 0, "--json")
    ).rows
    assert found["units"] == sorted(map(str, explained))
    assert found["accuracy"]["random"] == [] and found["accuracy"]["p_value"] is None


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [([], "neither or both"), (["--units", "0", "--where", "density < 1"], "neither or both")],
)
def test_ablate_needs_one_choice_of_units(
    arguments: list[str], expected: str, invoke: Invoke, image_run: Path
) -> None:
    ended = invoke("ablate", image_run, *arguments)
    assert ended.code == 2 and expected in ended.err


def test_ablate_is_for_runs_of_images(invoke: Invoke, small_run: Path) -> None:
    ended = invoke("ablate", small_run, "--units", "0")
    assert ended.code == 2 and "Expected a run of images" in ended.err


def test_what_needs_a_subject_that_reads_texts_is_refused_on_images(invoke: Invoke, labelled_run: Path) -> None:
    firing = invoke("search", "--by-activation", "seven", "--run", labelled_run)
    assert firing.code == 2 and "one over images" in " ".join(firing.err.split())


def test_a_generator_of_ones_own_draws_for_experiments(
    invoke: Invoke,
    image_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write_script: Callable[..., str],
) -> None:
    (tmp_path / "painters_of_commands.py").write_text(
        "from PIL import Image\n"
        "class Painter:\n"
        "    def draw(self, text, seed):\n"
        "        return Image.new('RGB', (8, 8), text)\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    drawn = {"name": "draw", "arguments": {"descriptions": ["white", "black"]}}
    script = write_script(tmp_path / "draws.jsonl", {"match": ".", "call": drawn, "times": 1}, *RULES)
    asked = ("--llm", script, "--scorers", "detection", "--min-active", 2, "--questions", 8)
    generator = ("--generator", "painters_of_commands:Painter")
    refused = invoke("label", image_run, "--units", "sample:1", *asked, *generator)
    assert refused.code == 2 and "--effort high" in " ".join(refused.err.split())
    done = invoke("label", image_run, "--units", "sample:1", *asked, *generator, "--effort", "high", "--json")
    assert done.code == 0, done.err
    (label,) = (label for label in ng.open_run(image_run).labels() if label.explanation)
    (made,) = (step for step in ng.open_run(image_run).trace(label) if step["facts"].get("experiments"))
    (experiment,) = made["facts"]["experiments"]
    assert "drawn" in str(experiment) and "white" in str(experiment) and "strength" in str(experiment)


def test_interventions_name_classes_and_images(
    invoke: Invoke, labelled_run: Path, tmp_path: Path, write_script: Callable[..., str]
) -> None:
    script = write_script(tmp_path / "pairs.jsonl", {"match": "Pairs:", "words": ["seven"]})
    ng.score(labelled_run, llm=script, scorers=("intervention",), units="sample:3", min_active=2)
    run, found = ng.open_run(labelled_run), []
    for label in run.labels():
        if label.explanation:
            (score,) = (score for score in label.scores if score.scorer == "intervention")
            assert score.metrics["kl"] == pytest.approx(1, abs=0.1) or score.metrics["strength"] > 5_000
            found += run.outcomes(label.explanation, "intervention")
    texts = [passage.text for outcome in found for passage in outcome.question.passages]
    said = {name for text in texts for name in re.split("[,;] ", text)}
    assert len(found) > 5 and said <= set(run.cache.manifest["subject"]["classes"])
    assert any("; " in text for text in texts), "digits that are like others are found beside them"
    shown = invoke("show", str(label.unit), "--run", labelled_run)
    assert shown.code == 0 and "promotes" in shown.out


def test_a_folder_of_exemplars_is_labelled_scored_and_shown(
    invoke: Invoke, image_run: Path, tmp_path: Path, write_script: Callable[..., str]
) -> None:
    cache, folder, run = ng.open_run(image_run).cache, tmp_path / "layer4", tmp_path / "run"
    exemplars.write(cache, cache.sites[0], folder, top=8)
    ids = {name for line in (folder / "ids.csv").read_text().splitlines() for name in line.split(",")}
    table = tmp_path / "captions.csv"
    table.write_text("path,caption\n" + "".join(f"{name}.png,a word of {name}\n" for name in sorted(ids)))
    read = invoke("collect-images", run, "--exemplars", folder, "--subject", "digits-cnn", "--captions", table)
    assert read.code == 0 and f"{len(ids)} images" in read.out and "Silent means here" in read.err
    script = write_script(tmp_path / "script.jsonl", *RULES)
    arguments = ["--llm", script, "--scorers", "detection,fuzzing", "--effort", "low", "--questions", 8]
    ended = invoke("label", run, "--units", "sample:3", "--min-active", 2, *arguments)
    assert ended.code == 0, ended.err
    (shown, *_) = labels = [label for label in ng.open_run(run).labels() if label.explanation]
    assert len(labels) == 3 and all(label.scores for label in labels)
    assert shown.unit.subject == "digits-cnn" and shown.unit.hookpoint == "layer4"
    told = invoke("show", str(shown.unit), "--run", run)
    assert told.code == 0, told.err
    assert "fuzzing" in told.out and "explained from" in told.out and "cells of 7 x" in told.out
    refused = invoke("label", run, "--units", "0", "--llm", script, "--scorers", "intervention")
    assert refused.code == 2 and "model with named classes" in " ".join(refused.err.split())
    both = invoke("collect-images", tmp_path / "other", "--exemplars", folder, "--pictures", folder)
    assert both.code == 2 and "Expected --exemplars without --pictures" in both.err


def test_a_contact_sheet_has_a_row_a_unit_and_outlines_the_mask(labelled_run: Path, tmp_path: Path) -> None:
    run = ng.open_run(labelled_run)
    labels = [label for label in run.labels() if label.explanation][:2]
    demo_vision.contact_sheet(run, labels, tmp_path / "sheet.png")
    pixels = np.asarray(Image.open(tmp_path / "sheet.png"))
    side, gap, head = demo_vision.SIDE, demo_vision.GAP, demo_vision.HEAD
    assert pixels.shape == (
        gap + len(labels) * (head + side + gap),
        gap + demo_vision.COLUMNS * (side + gap),
        3,
    )
    masked = pixels[gap + head : gap + head + side, 2 * gap + side : 2 * (gap + side)]
    assert (masked == demo_vision.OUTLINE).all(2).any()


def test_the_vision_demo_collects_labels_searches_and_draws(
    invoke: Invoke,
    minilm: None,
    tmp_path: Path,
    write_script: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(shipped.SETS, "shapes", lambda: shipped.shapes(80))
    script = write_script(tmp_path / "script.jsonl", *RULES)
    monkeypatch.setattr(ng, "label", partial(ng.label, llm=script, min_active=2, questions=8, effort="low"))
    ended = invoke("demo", "--vision", "--run", tmp_path / "run", "--units", "sample:3")
    assert ended.code == 0, ended.err
    assert "Channels drawn at random" in ended.out and demo_vision.VisionDemo.query in ended.out
    assert Image.open(tmp_path / "run" / demo_vision.SHEET).width > 1_000
    assert f"neurogloss ablate {tmp_path / 'run'}" in ended.out
