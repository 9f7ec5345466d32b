"""Noise ceilings: the formula by hand, and what was put in comes out."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from neurogloss.sources.brain.experiment import average, explainable, ncsnr, ncsnr_of


def test_by_hand() -> None:
    """Repeats 1, 2 and 8, 12: squared deviations of 0.5 and 8 with two degrees of freedom, means 1.5 and 10."""
    responses = np.array([[1], [8], [2], [12]], np.float32)
    noise = (0.5 + 8) / 2
    signal = (10 - 1.5) ** 2 / 2 - noise / 2
    assert_allclose(ncsnr(responses, np.array([0, 1, 0, 1])), [np.sqrt(signal / noise)], rtol=1e-6)


def test_a_known_ratio_is_found() -> None:
    rng = np.random.default_rng(0)
    ratios = np.array([0.0, 0.5, 2.0])
    which = np.repeat(np.arange(4000), 3)
    signal = rng.standard_normal((4000, 3)) * ratios
    found = ncsnr((signal[which] + rng.standard_normal((12000, 3))).astype(np.float32), which)
    assert_allclose(found, ratios, atol=0.12)


def test_unknown_without_repeats() -> None:
    assert np.isnan(ncsnr(np.ones((3, 2), np.float32), np.arange(3))).all()


def test_ceiling_of_unequal_repeats() -> None:
    # n of 1 and 3: the mean of 1 / n is 2 / 3
    assert_allclose(explainable(np.array([1.0, 0.0, np.inf]), np.array([1, 3])), [1 / (1 + 2 / 3), 0, 1])


@settings(max_examples=20, deadline=None)
@given(st.floats(0.0, 0.95), st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_ratio_and_share_are_inverses(share: float, repeats: list[int]) -> None:
    n = np.array(repeats)
    assert_allclose(explainable(ncsnr_of(np.array([share]), n), n), [share], atol=1e-9)


def test_average() -> None:
    means, repeats = average(np.array([[1, 2], [3, 4], [5, 6]], np.float32), np.array([0, 1, 0]))
    assert means.tolist() == [[3, 4], [3, 4]] and repeats.tolist() == [2, 1]
