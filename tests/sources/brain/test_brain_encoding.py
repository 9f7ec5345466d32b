"""Encoding models: what is there is found, what is not is not, and nothing is fitted on what it is tested on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurogloss.errors import UserError
from neurogloss.protocols import Float32
from neurogloss.sources.brain.encoding import Encoding, adjusted, fit, predict

pytest.importorskip("himalaya")

TRAIN = np.arange(300) % 3 > 0


def data(widths: Sequence[int], seed: int = 0) -> tuple[list[Float32], Float32, Float32]:
    """Feature spaces, responses of four voxels, and the weights of the first two, which read the first space."""
    rng = np.random.default_rng(seed)
    spaces = [rng.standard_normal((len(TRAIN), width)).astype(np.float32) + 1 for width in widths]
    weights = rng.standard_normal((widths[0], 2)).astype(np.float32)
    signal = spaces[0] @ weights
    noise = rng.standard_normal((len(TRAIN), 4)).astype(np.float32)
    return spaces, np.concatenate([signal + 5 + 0.1 * noise[:, :2], noise[:, 2:]], 1), weights


def predicted(found: Encoding, features: Float32) -> Float32:
    return predict(features, found.weights, found.intercept, found.mean)


def test_weights_are_recovered_in_the_features_own_space() -> None:
    spaces, responses, weights = data([8])
    found = fit(spaces, responses, TRAIN, seed=0)
    assert_allclose(found.weights[:, :2], weights, atol=0.05)
    assert (found.r[:2] > 0.99).all() and (found.q[:2] < 1e-6).all() and (found.q[2:] > 0.05).all()
    assert_allclose(predicted(found, spaces[0])[:, :2], responses[:, :2], atol=0.6)


def test_more_features_than_stimuli() -> None:
    spaces, responses, _ = data([400])
    found = fit(spaces, responses, TRAIN, seed=0)
    expected = np.corrcoef(predicted(found, spaces[0])[~TRAIN, 0], responses[~TRAIN, 0])[0, 1]
    assert_allclose(found.r[0], expected, rtol=1e-4)
    assert found.weights.shape == (400, 4)


def test_a_useless_space_does_not_hurt() -> None:
    spaces, responses, weights = data([8, 200])
    found = fit(spaces, responses, TRAIN, seed=0)
    assert_allclose(found.weights[:8, :2], weights, atol=0.3)
    assert found.stability is not None and np.abs(found.stability[:2]).max() < 0.3, "the second space says nothing"
    assert np.abs(found.weights[8:, :2]).mean() < 0.05 * np.abs(weights).mean()


def test_two_spaces_that_say_the_same_are_stable() -> None:
    spaces, responses, _ = data([8])
    twice = [spaces[0], spaces[0] @ np.random.default_rng(2).standard_normal((8, 9)).astype(np.float32)]
    found = fit(twice, responses, TRAIN, seed=0)
    assert found.stability is not None and (found.stability[:2] > 0.99).all()
    assert fit(spaces, responses, TRAIN, seed=0).stability is None


def test_held_out_responses_decide_nothing_of_the_weights() -> None:
    spaces, responses, _ = data([8])
    other = responses.copy()
    other[~TRAIN] += np.random.default_rng(1).standard_normal((100, 4)).astype(np.float32)
    assert_array_equal(fit(spaces, responses, TRAIN, 0).weights, fit(spaces, other, TRAIN, 0).weights)


def test_blocks_are_permuted_where_neighbours_are_alike() -> None:
    """Two slow random walks correlate by chance; taken one by one, the scans would say that one predicts the
    other.
    """
    rng = np.random.default_rng(4)
    train = np.arange(600) < 400
    walks = np.cumsum(rng.standard_normal((600, 31)), 0).astype(np.float32)
    fitted = [fit([walks[:, :1]], walks[:, 1:], train, 0, continuous=each) for each in (False, True)]
    naive, blocks = ((each.p < 0.001).mean() for each in fitted)
    assert naive > 0.2 and blocks < naive / 2


def test_rates_of_false_discovery_by_hand() -> None:
    # Benjamini and Hochberg: p times n over rank, cumulative minimum from the largest
    assert_allclose(adjusted(np.array([0.04, np.nan, 0.01, 0.03, 0.5])), [0.16 / 3, np.nan, 0.04, 0.16 / 3, 0.5])


def test_too_few_stimuli_are_refused() -> None:
    spaces, responses, _ = data([8])
    with pytest.raises(UserError, match="found 295 and 5"):
        fit(spaces, responses, np.arange(300) < 295, 0)


def test_features_that_are_not_finite_are_refused() -> None:
    spaces, responses, _ = data([8])
    spaces[0][3, 2] = np.nan
    with pytest.raises(UserError, match="finite numbers as features"):
        fit(spaces, responses, TRAIN, 0)
