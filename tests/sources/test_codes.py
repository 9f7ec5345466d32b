"""The two-level search for the k largest, against torch's own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neurogloss.sources.dictionaries.activations import BLOCK, Codes, top_k


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 40), st.booleans())
def test_the_k_largest_are_found(seed: int, rows: int, blocks: int, ties: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    k = 1 + seed % min(8, blocks)
    values = torch.randn(rows, blocks * BLOCK, generator=generator)
    if ties:
        values = values.round().relu()
    found, columns = top_k(values, k)
    assert torch.equal(found.sort(1).values, values.topk(k).values.sort(1).values)
    assert torch.equal(values.gather(1, columns), found)
    assert all(len(set(row)) == k for row in columns.tolist())


@pytest.mark.parametrize("columns", [BLOCK * 8 + 1, 5])
def test_widths_that_make_no_blocks(columns: int) -> None:
    values = torch.arange(2.0 * columns).view(2, columns)
    found, where = top_k(values, 2)
    assert sorted(where[0].tolist()) == [columns - 2, columns - 1]
    assert sorted(found[1].tolist()) == [2 * columns - 2, 2 * columns - 1]


def test_dense_puts_each_value_in_its_units_column() -> None:
    codes = Codes(torch.tensor([[2.0, -1.0], [0.0, 3.0]]), torch.tensor([[3, 0], [1, 2]]), 4)
    assert codes.dense().tolist() == [[-1, 0, 0, 2], [0, 0, 3, 0]]
    assert Codes(codes.dense(), None, 4).dense() is not None
