from __future__ import annotations

import numpy as np
import pytest
import torch

from neurogloss.sources.dictionaries.activations import Codes
from neurogloss.sources.vision.masks import Histogram


def taken(values: torch.Tensor, signed: bool, parts: int = 1) -> Histogram:
    histogram = Histogram.empty(values.shape[1], signed)
    for part in values.chunk(parts):
        histogram.take(Codes(part, None, values.shape[1]))
    return histogram


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 300.0])
def test_a_quantile_is_numpys_within_the_width_of_a_bin(share: float, scale: float) -> None:
    values = torch.randn(20_000, 3, generator=torch.Generator().manual_seed(0)) * scale
    values[:, 1] = values[:, 1].abs()
    found = taken(values, signed=True).quantile(share)
    both = np.concatenate([values.numpy(), -values.numpy()], 1)
    wanted = np.maximum(np.quantile(both, share, axis=0), 0)
    assert found[4] == 0  # a side that is never above 0
    assert found == pytest.approx(wanted, rel=0.045, abs=0.03 * scale if share == 0.5 else 0)


def test_order_and_division_change_nothing() -> None:
    values = torch.randn(1_000, 4, generator=torch.Generator().manual_seed(1))
    whole, parts = taken(values, True), taken(values.flip(0), True, 7)
    assert np.array_equal(whole.counts, parts.counts) and whole.cells == parts.cells


def test_sparse_codes_count_as_their_dense_form() -> None:
    generator = torch.Generator().manual_seed(2)
    dense = torch.randn(400, 6, generator=generator).clamp_min(0)
    values, units = dense.topk(6)
    sparse = Histogram.empty(6, False)
    sparse.take(Codes(values, units, 6))
    plain = taken(dense, False)
    assert np.array_equal(sparse.counts, plain.counts)
    # 0.9 of a unit that is silent in 95 % of its cells is 0.
    dense[20:] = 0
    assert taken(dense, False).quantile(0.95).max() == 0
