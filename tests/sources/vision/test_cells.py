from __future__ import annotations

import pytest
import torch

from neurogloss.sources.vision.cells import Cells


@pytest.mark.parametrize(
    ("shape", "patches", "wanted"),
    [
        ((2, 64, 7, 7), None, Cells(64, 7, 7, channels_first=True)),
        ((2, 7, 7, 64), None, Cells(64, 7, 7)),
        ((2, 7, 7, 7), None, Cells(7, 7, 7, channels_first=True)),
        ((2, 64, 1, 1), None, Cells(64, 1, 1, channels_first=True)),
        ((2, 3, 4, 6), None, Cells(3, 4, 6, channels_first=True)),
        ((2, 197, 192), (14, 14), Cells(192, 14, 14, prefix=1)),
        ((2, 201, 192), (14, 14), Cells(192, 14, 14, prefix=5)),
        ((2, 196, 192), (14, 14), Cells(192, 14, 14)),
        ((2, 49, 384), (14, 14), Cells(384, 7, 7)),
        ((2, 25, 8), (3, 8), Cells(8, 3, 8, prefix=1)),
        ((2, 50, 8), None, Cells(8, 7, 7, prefix=1)),
        ((2, 49, 8), None, Cells(8, 7, 7)),
        ((2, 10), None, Cells(10, 1, 1)),
        ((2, 51, 8), None, None),
        ((2, 15, 8), (4, 4), None),
        ((2, 3, 4, 5, 6), None, None),
    ],
)
def test_an_output_is_read_by_its_shape(
    shape: tuple[int, ...], patches: tuple[int, int] | None, wanted: Cells | None
) -> None:
    assert Cells.of(shape, patches) == wanted


def test_vectors_are_image_after_image_and_row_by_row() -> None:
    maps = torch.arange(2 * 3 * 2 * 4).reshape(2, 3, 2, 4)
    first = Cells.of(maps.shape, None)
    assert first is not None
    vectors = first.vectors(maps)
    assert vectors.shape == (16, 3)
    assert vectors[8 + 4 + 1].tolist() == maps[1, :, 1, 1].tolist()
    tokens = torch.cat([torch.full((2, 1, 3), -1), maps.flatten(2).movedim(1, 2)], 1)
    behind_cls = Cells.of(tokens.shape, (2, 4))
    assert behind_cls is not None
    assert torch.equal(behind_cls.vectors(tokens), vectors)


@pytest.mark.parametrize("shape", [(2, 5, 3, 4), (2, 4, 4, 5), (2, 17, 5), (2, 5)])
def test_flat_vectors_go_back_to_where_they_were(shape: tuple[int, ...]) -> None:
    value = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    cells = Cells.of(shape, (4, 4))
    assert cells is not None
    assert torch.equal(cells.unflat(cells.flat(value), shape), value)


def test_a_large_map_is_pooled_to_what_is_furthest_from_zero() -> None:
    maps = torch.zeros(1, 2, 56, 56)
    maps[0, 0, 3, 5], maps[0, 0, 2, 4], maps[0, 1, 55, 0] = 4.0, -3.0, -2.0
    cells = Cells.of(maps.shape, None)
    assert cells is not None and cells.grid == (28, 28) and cells.pooled
    vectors = cells.vectors(maps).reshape(28, 28, 2)
    assert vectors[1, 2].tolist() == [4.0, 0.0]
    assert vectors[27, 0].tolist() == [0.0, -2.0]
    assert int((vectors != 0).sum()) == 2
