"""A small network whose maps are known, and a folder of images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from neurogloss.folder import RunFolder
from neurogloss.settings import ImageSettings
from neurogloss.sources.cache import Cache
from neurogloss.sources.vision.images import collect_images
from neurogloss.sources.vision.preprocess import Preprocess
from neurogloss.sources.vision.subject import VisionSubject

SIDE = 16
HOOKPOINT = "convolution"
PLAIN = Preprocess((SIDE, SIDE), (0.0,) * 3, (1.0,) * 3)
COLOURS = ("red", "green", "blue")


def blocks(seed: int, colour: int | None = None) -> Any:
    """(SIDE, SIDE, 3) uint8: a grey ground, and a coloured block of 4 x 4 that starts at a multiple of 4."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(40, 60, (SIDE, SIDE, 3)).astype(np.uint8)
    row, column = (4 * rng.integers(0, SIDE // 4, 2)).tolist()
    shown = int(rng.integers(0, 3)) if colour is None else colour
    pixels[row : row + 4, column : column + 4] = 0
    pixels[row : row + 4, column : column + 4, shown] = int(rng.integers(150, 255))
    return pixels


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 images, 16 x 16, in a subfolder a colour."""
    path = tmp_path_factory.mktemp("images")
    for seed in range(80):
        colour = seed % 3
        (path / COLOURS[colour]).mkdir(exist_ok=True)
        Image.fromarray(blocks(seed, colour)).save(path / COLOURS[colour] / f"{seed:03}.png")
    return path


@pytest.fixture(scope="session")
def subject() -> VisionSubject:
    """A classifier by colour: a convolution gives the mean of each channel in cells of 4 x 4, less the others'."""
    import torch

    class Colours(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = torch.nn.Conv2d(3, 3, 4, 4, bias=False)
            self.convolution.weight.data[:] = -0.5 / 16
            for i in range(3):
                self.convolution.weight.data[i, i] = 1 / 16

        def forward(self, images: Any) -> Any:
            return self.convolution(images).clamp_min(0).amax((2, 3))

    return VisionSubject("colours", Colours(), PLAIN, classes=COLOURS)


@pytest.fixture(scope="session")
def image_settings(folder: Path) -> Callable[..., ImageSettings]:
    def make(**given: Any) -> ImageSettings:
        defaults: dict[str, Any] = {
            "subject": "colours",
            "hookpoints": (HOOKPOINT,),
            "pictures": str(folder),
            "top": 4,
            "uniform": 8,
            "active_quantile": 0.77,
            "calibration_contexts": 40,
            "shard_images": 20,
        }
        return ImageSettings(**{**defaults, **given})

    return make


@pytest.fixture(scope="session")
def image_run(
    image_settings: Callable[..., ImageSettings], subject: VisionSubject, tmp_path_factory: pytest.TempPathFactory
) -> Cache:
    """A finished cache, for reading only."""
    run = RunFolder(tmp_path_factory.mktemp("runs") / "images")
    collect_images(run, image_settings(), subject)
    return Cache(run.cache)
