"""Parts of real images, and what a unit of known colours makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neurogloss.errors import UserError
from neurogloss.ids import UnitId
from neurogloss.sources.cache import Cache
from neurogloss.sources.vision.steering import Cut, ImageReader, made
from neurogloss.sources.vision.subject import VisionSubject

SIDE = 16
LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)


@pytest.fixture
def halves(tmp_path: Path) -> str:
    """Red on the left, black on the right."""
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[:, : SIDE // 2, 0] = 255
    Image.fromarray(pixels).save(tmp_path / "halves.png")
    return str(tmp_path / "halves.png")


@pytest.fixture
def green(tmp_path: Path) -> str:
    Image.new("RGB", (2 * SIDE, 2 * SIDE), (0, 255, 0)).save(tmp_path / "green.png")
    return str(tmp_path / "green.png")


def test_a_part_is_cut_out_painted_over_or_put_into_another(halves: str, green: str) -> None:
    assert np.asarray(made(Cut(halves))).tolist() == np.asarray(Image.open(halves)).tolist()
    part = np.asarray(made(Cut(halves, LEFT)))
    assert part.shape == (SIDE, SIDE // 2, 3) and (part == (255, 0, 0)).all()
    painted = np.asarray(made(Cut(halves, LEFT, painted_over=True)))
    assert (painted[:, : SIDE // 2] == (128, 0, 0)).all() and (painted[:, SIDE // 2 :] == 0).all()
    both = np.asarray(made(Cut(halves, LEFT, into=green)))
    assert both.shape == (2 * SIDE, 2 * SIDE, 3), "of the size of the other"
    assert (both[:, :SIDE] == (255, 0, 0)).all() and (both[:, SIDE:] == (0, 255, 0)).all()


@pytest.mark.parametrize("box", [(0.99, 0.99, 1.0, 1.0), (0.5, 0.5, 0.5001, 0.5001)])
def test_the_smallest_part_is_a_pixel(halves: str, box: tuple[float, float, float, float]) -> None:
    assert made(Cut(halves, box)).size == (1, 1)


def test_peaks_by_hand(subject: VisionSubject, image_run: Cache, halves: str, green: str) -> None:
    """A cell of one colour gives its unit 1, the others' units -0.5, and black nothing."""
    reader = ImageReader(subject, image_run.sites)
    cuts = [Cut(halves), Cut(halves, LEFT), Cut(halves, RIGHT), Cut(halves, RIGHT, green), Cut(green)]

    def peaks(index: int, sign: int = 1) -> list[float]:
        (site,) = image_run.sites
        return reader.peaks(UnitId("colours", site.hookpoint, site.dictionary, index, sign), cuts)

    assert peaks(0) == pytest.approx([1, 1, 0, 0, 0])
    assert peaks(1) == pytest.approx([0, 0, 0, 1, 1])
    assert peaks(0, -1) == pytest.approx([0, 0, 0, 0.5, 0.5])
    (site,) = image_run.sites
    unit = UnitId("colours", site.hookpoint, site.dictionary, 0)
    assert reader.peaks(unit, [made(cut) for cut in cuts]) == reader.peaks(unit, cuts)


def test_an_image_that_is_gone_is_named(subject: VisionSubject, image_run: Cache, tmp_path: Path) -> None:
    (site,) = image_run.sites
    unit = UnitId("colours", site.hookpoint, site.dictionary, 0)
    with pytest.raises(UserError, match="gone.png"):
        ImageReader(subject, image_run.sites).peaks(unit, [Cut(str(tmp_path / "gone.png"))])
