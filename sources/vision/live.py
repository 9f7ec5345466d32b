"""Units of a vision model on images of one's own: parts of real ones cut out, painted over, or put into others.

Which part of an image a unit responds to, and whether it needs what is around it, is found out in this way without
a model that draws new images; where there is one, its images are read like the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from neurogloss.ids import UnitId
from neurogloss.sources.cache import Site
from neurogloss.sources.source import Listener, open_listener
from neurogloss.sources.vision.pictures import open_picture
from neurogloss.sources.vision.subject import VisionSubject

if TYPE_CHECKING:
    from PIL.Image import Image

DICTIONARIES = 4
"""Dictionaries kept in memory."""
WHOLE = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of an image by itself, or in the place that it has there inside of another image."""

    picture: str
    """Path of the image that it is of."""
    box: tuple[float, float, float, float] = WHOLE
    """Left, top, right and bottom, as shares of width and height."""
    into: str | None = None
    """Path of the other image; None: by itself, over all of the subject's input."""
    painted_over: bool = False
    """The image without the part instead, the mean colour of the image in its place."""


def made(cut: Cut) -> Image:
    """The image that the cut is, RGB. Raises UserError where an image does not decode."""
    from PIL import Image as Pillow
    from PIL import ImageStat

    image: Image = open_picture(Path(cut.picture))
    if cut.painted_over:
        mean = tuple(round(value) for value in ImageStat.Stat(image).mean)
        image.paste(mean, _pixels(cut.box, image))
        return image
    part = image.crop(_pixels(cut.box, image))
    if cut.into is None:
        return part
    ground: Image = open_picture(Path(cut.into))
    place = _pixels(cut.box, ground)
    size = (place[2] - place[0], place[3] - place[1])
    ground.paste(part.resize(size, Pillow.Resampling.BILINEAR), place[:2])
    return ground


def _pixels(box: Sequence[float], image: Image) -> tuple[int, int, int, int]:
    """At least one pixel."""
    left, top = (min(int(share * side), side - 1) for share, side in zip(box[:2], image.size, strict=True))
    right, bottom = (round(share * side) for share, side in zip(box[2:], image.size, strict=True))
    return left, top, max(right, left + 1), max(bottom, top + 1)


class ImageReader:
    """Reads the activations of units on any image."""

    def __init__(self, subject: VisionSubject, sites: Sequence[Site]) -> None:
        self._subject = subject
        self._sites = {(site.hookpoint, site.dictionary): site for site in sites}
        self._open = lru_cache(DICTIONARIES)(self._open_site)

    def peaks(self, unit: UnitId, pictures: Sequence[Cut | Image]) -> list[float]:
        """The unit's largest activation on each, along its sign, at least 0. Images are RGB.

        Raises:
            UserError: an image does not decode.
        """
        import torch

        listener = self._open(self._sites[unit.hookpoint, unit.dictionary])
        images = self._subject.preprocess([made(each) if isinstance(each, Cut) else each for each in pictures])
        vectors = self._subject.vectors(images, [listener.hookpoint])[listener.hookpoint]
        with torch.inference_mode():
            values = listener.dictionary.encode(vectors).dense()[:, unit.index].float().cpu() * unit.sign
        found: list[float] = values.reshape(len(pictures), -1).clamp_min(0).amax(1).tolist()
        return found

    def _open_site(self, site: Site) -> Listener:
        return open_listener(self._subject, site.hookpoint, site.spec)
