"""From a picture to what a vision model reads.

The whole picture is resized to the model's input, its sides not kept in proportion, and nothing is cropped: so the
cells of a layer cover the picture evenly, and a mask can be drawn on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurogloss.errors import UserError
from neurogloss.foreign import read_json
from neurogloss.protocols import Float32

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BILINEAR = 2


@dataclass(frozen=True, slots=True)
class Preprocess:
    """What is done to a picture, the same for every one."""

    size: tuple[int, int] = (224, 224)
    """Height and width of the model's input."""
    mean: tuple[float, ...] = IMAGENET_MEAN
    """Taken off each channel, which is in [0, 1] before. One number: the picture becomes grey."""
    std: tuple[float, ...] = IMAGENET_STD
    """What each channel is divided by then."""
    resample: int = BILINEAR
    """Pillow's number of the filter: 0 nearest, 1 Lanczos, 2 bilinear, 3 bicubic."""

    @classmethod
    def of_folder(cls, folder: Path) -> Preprocess:
        """As `preprocessor_config.json` says, else `config.json`. Raises UserError where they do not say."""
        given, config = _json(folder / "preprocessor_config.json"), _json(folder / "config.json")
        vision = config.get("vision_config", config)
        side = vision.get("image_size")
        size = (given.get("crop_size") if given.get("do_center_crop") else None) or given.get("size") or side
        channels = int(vision.get("num_channels", 3))
        try:
            normalised = given.get("do_normalize", bool(given))
            mean = tuple(map(float, given.get("image_mean") or ())) if normalised else (0.0,) * channels
            std = tuple(map(float, given.get("image_std") or ())) if normalised else (1.0,) * channels
            resample = int(given.get("resample", BILINEAR))
            return cls(_size(size), mean or (0.5,) * channels, std or (0.5,) * channels, resample)
        except (KeyError, TypeError, ValueError):
            raise UserError(
                f"Expected the size of images in preprocessor_config.json or config.json of {folder}, found "
                f"{size!r}. Save the model's image processor beside it."
            ) from None

    @property
    def facts(self) -> Mapping[str, Any]:
        """JSON for the manifest."""
        return {**asdict(self), "crop": "none: the whole picture, resized"}

    def __call__(self, images: Sequence[Image]) -> Float32:
        """(N, channels, height, width)."""
        mode, (height, width) = "L" if len(self.mean) == 1 else "RGB", self.size
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        out = np.empty((len(images), len(self.mean), height, width), np.float32)
        for row, image in zip(out, images, strict=True):
            resized = image.convert(mode).resize((width, height), self.resample)
            pixels = np.asarray(resized, np.float32).reshape(height, width, -1) / 255
            row[:] = ((pixels - mean) / std).transpose(2, 0, 1)
        return out


def _size(found: Any) -> tuple[int, int]:
    if isinstance(found, Mapping):
        side = found.get("shortest_edge")
        return (int(side), int(side)) if side else (int(found["height"]), int(found["width"]))
    if isinstance(found, list | tuple):
        return int(found[0]), int(found[1])
    return int(found), int(found)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = read_json(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UserError(f"Expected JSON in {path}, found something else: {error}. Save the model again.") from None
    return found if isinstance(found, dict) else {}
