from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from neurogloss.errors import UserError
from neurogloss.ids import UnitId
from neurogloss.scorers.intervention import telling
from neurogloss.sources.cache import Cache
from neurogloss.sources.vision.pictures import open_picture
from neurogloss.sources.vision.preprocess import Preprocess
from neurogloss.sources.vision.steering import LiveClassifier
from neurogloss.sources.vision.subject import VisionSubject

RED = UnitId("colours", "convolution", "neurons", 0)
COLOURS = ("red", "green", "blue")


@pytest.fixture(scope="module")
def live(subject: VisionSubject, image_run: Cache) -> LiveClassifier:
    return LiveClassifier(subject, image_run.sites)


def paths(folder: Path, *colours: str) -> list[str]:
    return [str(path) for colour in colours for path in sorted((folder / colour).iterdir())[:4]]


def test_the_classes_that_a_unit_raises_are_its_output(image_run: Cache) -> None:
    # A logit is its own channel where that is largest: it grows by 1 with it, and with no other.
    for index, colour in enumerate(COLOURS):
        found = image_run.output_tokens(replace(RED, index=index))
        assert found is not None and found.promoted == ((colour, pytest.approx(1)),)
        assert [value for _, value in found.suppressed] == [0.0]
        other = image_run.output_tokens(replace(RED, index=index, sign=-1))
        assert other is not None and other.suppressed == ((colour, pytest.approx(-1)),)


def test_gradients_are_those_of_finite_differences(subject: VisionSubject, folder: Path) -> None:
    pixels = subject.preprocess([open_picture(Path(path)) for path in paths(folder, *COLOURS)])
    place = subject.hookpoint("convolution")
    found = subject.gradients(pixels, [place])[place]
    for channel in range(3):
        step = 1e-3 * torch.eye(3)[channel]
        moved = subject.logits(pixels, {place: lambda flat, step=step: flat + step}) - subject.logits(pixels)
        assert found[:, channel] == pytest.approx(moved.mean(0) / 1e-3, abs=1e-2)


def test_what_is_changed_in_place_behind_a_hookpoint_is_not_what_passes_it(folder: Path) -> None:
    layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 2), torch.nn.ReLU(inplace=True))
    subject = VisionSubject("two", layers, Preprocess((4, 4), (0.0,) * 3, (1.0,) * 3), classes=("a", "b"))
    with torch.no_grad():
        layers[1].weight[:] = 0
        layers[1].bias[:] = torch.tensor([1.0, -1.0])
    pixels = subject.preprocess([open_picture(Path(path)) for path in paths(folder, "red")])
    place = subject.hookpoint("1")
    assert subject.gradients(pixels, [place])[place].tolist() == [[1, 0], [0, 0]]


def test_a_raised_unit_has_its_class_named(live: LiveClassifier, folder: Path, subject: VisionSubject) -> None:
    shown, tuning = paths(folder, "green", "blue")[1:7], [paths(folder, "green")[0], paths(folder, "blue")[0]]
    found = live.steer(RED, shown, tuning)
    assert found.kl == pytest.approx(1, abs=0.1) and found.strength > 0
    assert [text.clean.split(", ")[0] for text in found.texts] == ["green"] * 3 + ["blue"] * 3
    assert {text.steered.split(", ")[0] for text in found.texts} == {"red"} and len(telling(found.texts)) == 6
    pixels = subject.preprocess([open_picture(Path(path)) for path in tuning])
    raised = torch.tensor([found.strength, 0, 0])
    clean, changed = (
        log_softmax(subject.logits(pixels, edits), 1)
        for edits in ({}, {subject.hookpoint("convolution"): lambda flat: flat + raised})
    )
    assert found.kl == pytest.approx(float((np.exp(clean) * (clean - changed)).sum(1).mean()), rel=1e-4)
    assert found == live.steer(RED, shown, tuning)
    assert live.steer(RED, shown, tuning, kl=0.1).strength < found.strength


def test_a_side_that_the_classifier_does_not_use_changes_nothing(live: LiveClassifier, folder: Path) -> None:
    found = live.steer(replace(RED, sign=-1), paths(folder, "green"), paths(folder, "blue"))
    assert found.kl < 1e-3 and found.strength == pytest.approx(1e4, rel=0.01)
    assert {text.steered.split(", ")[0] for text in found.texts} == {"green"}


def test_classes_without_names_are_refused(live: LiveClassifier, folder: Path, subject: VisionSubject) -> None:
    nameless = VisionSubject("colours", subject.model, subject.preprocess)
    with pytest.raises(UserError, match="names of the 3 classes of colours, found 0"):
        LiveClassifier(nameless, [*live._sites.values()]).steer(RED, paths(folder, "green"), paths(folder, "blue"))
