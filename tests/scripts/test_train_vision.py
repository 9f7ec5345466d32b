from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from neurogloss.sources.vision import shipped
from neurogloss.sources.vision.loading import load


@pytest.fixture
def train_vision(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "scripts"))
    yield importlib.import_module("train_vision")
    del sys.modules["train_vision"]


def test_what_is_trained_is_a_folder_that_loads(train_vision: ModuleType, tmp_path: Path) -> None:
    images = list(islice(shipped.digits(), 300))
    task = replace(train_vision.TASKS["digits-cnn"], images=lambda: images, epochs=6)
    accuracy = train_vision.train("digits-cnn", task, tmp_path / "digits")
    assert accuracy > 0.5  # of ten classes
    subject = load(str(tmp_path / "digits"), device="cpu")
    assert subject.classes[:3] == ("zero", "one", "two") and subject.preprocess == task.preprocess
    assert sum(file.stat().st_size for file in (tmp_path / "digits").iterdir()) < 200_000


def test_shipped_classifiers_tell_images_that_they_were_not_trained_on(train_vision: ModuleType) -> None:
    shapes = [shipped.shape(seed) for seed in range(40)]
    assert max(shape.seed for shape in shapes) < train_vision.FIRST_SEED
    pixels = train_vision.SHAPES([shipped.draw(shape) for shape in shapes])
    for name in ("shapes-cnn", "shapes-vit"):
        subject = load(name, device="cpu")
        found = [subject.classes[i] for i in subject.logits(pixels).argmax(1)]
        assert np.mean([a == shape.label for a, shape in zip(found, shapes, strict=True)]) > 0.85
