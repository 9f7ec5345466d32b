"""Middles of receptive fields: found by a probe, held against the arithmetic of strides and padding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import AvgPool2d, BatchNorm2d, Conv2d, MaxPool2d, ReLU, Sequential

from neurogloss.ids import UnitId
from neurogloss.records import Context, Example
from neurogloss.sources.cache import Cache
from neurogloss.sources.vision import geometry, masks
from neurogloss.sources.vision.geometry import Axis
from neurogloss.sources.vision.preprocess import Preprocess
from neurogloss.sources.vision.subject import VisionSubject


def subject(model: Any, size: tuple[int, int]) -> VisionSubject:
    return VisionSubject("any", Sequential(model), Preprocess(size, (0.0,) * 3, (1.0,) * 3))


def probed(model: Any, size: tuple[int, int]) -> geometry.Geometry:
    found = subject(model, size)
    return geometry.probe(found, found.hookpoint("0"))


def middle(layers: list[tuple[int, int, int]]) -> tuple[float, float]:
    """Of the first cell, and from one to the next, in pixels: kernel, stride and padding of each layer."""
    start, jump = 0.5, 1.0
    for kernel, stride, padding in layers:
        start += ((kernel - 1) / 2 - padding) * jump
        jump *= stride
    return start, jump


VALID = [(5, 2, 0), (3, 1, 0), (2, 2, 0)]
PADDED = [(7, 2, 3), (3, 2, 1), (3, 1, 1)]


@pytest.mark.parametrize(
    ("layers", "pools"), [(VALID, MaxPool2d), (PADDED, AvgPool2d), ([(4, 4, 0)], None), ([(3, 1, 1)], None)]
)
def test_it_is_what_strides_and_padding_say(layers: list[tuple[int, int, int]], pools: Any) -> None:
    modules: list[Any] = []
    for i, (kernel, stride, padding) in enumerate(layers):
        last = pools is not None and i == len(layers) - 1
        modules += [
            pools(kernel, stride, padding) if last else Conv2d(4 if i else 3, 4, kernel, stride, padding),
            *([] if last else [BatchNorm2d(4), ReLU()]),
        ]
    size = (48, 64)
    start, jump = middle(layers)
    found = probed(Sequential(*modules), size)
    for axis, side in zip(found, size, strict=True):
        # Maps of more than 28 positions are pooled, which the middle of the map does not move with.
        assert axis.first * side == pytest.approx(start + _pooled_shift(side, layers, jump), abs=0.01)
        assert axis.step * side == pytest.approx(
            jump * _positions(side, layers) / min(_positions(side, layers), 28)
        )


def _positions(side: int, layers: list[tuple[int, int, int]]) -> int:
    for kernel, stride, padding in layers:
        side = (side + 2 * padding - kernel) // stride + 1
    return side


def _pooled_shift(side: int, layers: list[tuple[int, int, int]], jump: float) -> float:
    positions = _positions(side, layers)
    return jump * (positions / min(positions, 28) - 1) / 2


def test_fields_that_are_larger_than_the_image_have_their_middles() -> None:
    layers = [(7, 2, 3), (9, 2, 4), (9, 1, 4), (9, 1, 4)]
    channels = (3, 2, 2, 2)
    start, jump = middle(layers)
    found = probed(
        Sequential(*(Conv2d(n, 2, *layer) for n, layer in zip(channels, layers, strict=True))), (32, 32)
    )
    assert found == (Axis(pytest.approx(start / 32), pytest.approx(jump / 32)),) * 2  # type: ignore[arg-type]


class Attends(torch.nn.Module):
    """Every position sees all of the image."""

    def forward(self, images: Any) -> Any:
        pooled = torch.nn.functional.avg_pool2d(images, 4)
        return pooled * images.mean((2, 3), keepdim=True)


class OneSize(torch.nn.Module):
    """Reads images of 16 x 16 alone."""

    def forward(self, images: Any) -> Any:
        return torch.nn.functional.avg_pool2d(images + torch.zeros(16, 16), 4)


@pytest.mark.parametrize("model", [Attends(), OneSize()])
def test_where_edges_are_not_seen_cells_are_even(model: Any) -> None:
    assert probed(model, (16, 16)) == (Axis.even(4), Axis.even(4))


def test_an_edge_that_is_no_straight_line_is_none() -> None:
    at = (np.arange(16) + 0.5) / 16
    # Windows, as of an attention within blocks: pairs of positions see the same eight lines.
    windows = np.zeros((16, 4), bool)
    windows[:8, :2] = windows[8:, 2:] = True
    assert geometry.middles(windows, at) is None
    staircase = np.zeros((16, 6), bool)
    for position, start in enumerate((1, 1, 1, 9, 9, 9)):
        staircase[start : start + 6, position] = True
    assert geometry.middles(staircase, at) is None


def test_a_mask_is_drawn_where_the_cells_look() -> None:
    values = np.zeros((3, 3), np.float32)
    values[1, 1] = 1.0
    example = Example(Context("0" * 16, ("a caption",), "picture.png"), tuple(values.ravel().tolist()), (3, 3))
    # A map that lies in the upper half of the image: middles at 0.1, 0.25, 0.4.
    found = masks.mask(example, 0.5, (40, 40), (Axis(0.1, 0.15), Axis.even(3)))
    rows, columns = np.nonzero(found)
    assert rows.mean() + 0.5 == pytest.approx(10) and columns.mean() + 0.5 == pytest.approx(20)
    assert (rows.min(), rows.max()) == (7, 12)


def test_a_run_keeps_where_its_cells_look(image_run: Cache, tmp_path: Path) -> None:
    unit = UnitId("colours", "convolution", "neurons", 0)
    found = masks.geometry(image_run, unit)
    assert found is not None
    for axis in found:
        assert (axis.first, axis.step) == (pytest.approx(0.125), pytest.approx(0.25))
    assert geometry.read(tmp_path) == {}
