"""Words and features at the times of scans."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from neurogloss.sources.brain.matrix import delayed, lanczos, windows
from neurogloss.sources.brain.simulate import hemodynamic


def test_a_window_takes_what_began_in_it() -> None:
    assert windows([0, 1.9, 2.0, 6.0], list("abcd"), np.array([2.0, 4.0, 8.0, 10.0])) == [
        "",
        "a b",
        "a b c",
        "c d",
    ]


def test_a_slow_feature_passes_the_filter() -> None:
    """Samples four times as dense as scans: a sine far below the cutoff comes out as it is, four times as high."""
    dense, times = np.arange(0, 100, 0.5), np.arange(20, 80, 2.0)
    found = lanczos(np.sin(dense / 8)[:, None].astype(np.float32), dense, times)
    assert_allclose(found[:, 0] / 4, np.sin(times / 8), atol=0.02)


def test_a_fast_feature_does_not() -> None:
    dense, times = np.arange(0, 100, 0.25), np.arange(20, 80, 2.0)
    found = lanczos(np.sin(dense * 2 * np.pi)[:, None].astype(np.float32), dense, times)
    assert np.abs(found).max() / 8 < 0.02


def test_delays_look_back() -> None:
    assert_array_equal(delayed(np.array([[1], [2], [3]], np.float32), (1, 2)), [[0, 0], [1, 0], [2, 1]])


def test_the_hemodynamic_response_peaks_after_five_seconds_and_undershoots() -> None:
    response = hemodynamic(0.5)
    assert response.argmax() * 0.5 == 5.0 and response[30:].min() < 0
    assert_allclose(response.sum(), 1)
