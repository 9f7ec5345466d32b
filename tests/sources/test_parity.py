"""The gate: dictionaries that fit their vectors pass, and each way of not fitting is refused with its cure."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from neurogloss.errors import UserError
from neurogloss.sources.calibration import check, parity
from neurogloss.sources.dictionaries.activations import JumpRelu, Relu, TopK
from neurogloss.sources.dictionaries.linear import LinearDictionary
from neurogloss.sources.dictionaries.special import Neurons

EYE = torch.eye(4)


def positive(seed: int = 0, rows: int = 200) -> torch.Tensor:
    return torch.rand(rows, 4, generator=torch.Generator().manual_seed(seed))


def identity(**changes: object) -> LinearDictionary:
    """8 units, the two sides of each coordinate: it reconstructs whatever it reads."""
    both = torch.cat([EYE, -EYE])
    made = LinearDictionary("pairs", both, torch.zeros(8), Relu(), both, torch.zeros(4), hookpoint="layers.3")
    return replace(made, **changes)  # type: ignore[arg-type]


def test_hand_worked() -> None:
    # Two vectors, 2 and 4 on one axis: mean 3, spread 1 + 1. The decoder halves them: errors 1 and 4.
    found = parity(
        LinearDictionary("half", EYE, torch.zeros(4), Relu(), EYE / 2, torch.zeros(4)),
        torch.tensor([[2.0, 0, 0, 0], [4.0, 0, 0, 0]]),
    )
    assert found.fvu == pytest.approx(2.5)
    assert found.fvu_scaled == pytest.approx(0)
    assert (found.l0, found.dead, found.n_vectors) == (1, 0.75, 2)
    assert (found.input_norm, found.longest) == (2, 2)


def test_what_reconstructs_passes() -> None:
    found = parity(identity(), torch.randn(100, 4, generator=torch.Generator().manual_seed(1)))
    assert found.fvu == pytest.approx(0, abs=1e-12)
    assert found.dead == 0
    check(found, identity())


def test_a_transcoder_is_held_against_its_target() -> None:
    x = positive()
    made = identity(decoder=2 * identity().decoder, target="layers.3.mlp")
    assert parity(made, x, 2 * x).fvu == pytest.approx(0, abs=1e-12)
    with pytest.raises(UserError, match="With another shift and scale"):
        check(parity(made, 3 + 5 * x), made)


def test_sparse_and_dense_codes_are_counted_alike() -> None:
    x = positive()
    sparse, dense = identity(activation=TopK(4)), identity()
    assert parity(sparse, x) == parity(dense, x)
    assert parity(sparse, x).dead == 0.5


def test_neurons_have_nothing_to_reconstruct() -> None:
    found = parity(Neurons(4), positive())
    assert (found.fvu, found.l0, found.dead) == (None, None, None)
    check(found, Neurons(4))


def test_each_misfit_names_its_cure() -> None:
    x = positive()
    turned = identity(decoder=identity().decoder.roll(1, dims=1))
    square = LinearDictionary("square", EYE, torch.zeros(4), Relu(), -EYE.roll(1, 1), torch.zeros(4))
    silent = identity(activation=JumpRelu(torch.tensor([9.0])))
    few = identity(activation=TopK(1), provenance={"k": 5})
    outlier = torch.cat([x, 1000 * torch.eye(4)[:1]])
    for made, vectors, message in (
        (turned, x, "read at layers.3,"),
        (square, x, "stored transposed"),
        (silent, x, "found none on 200 vectors"),
        (few, x, "Expected about 5 active units of pairs a vector"),
        (turned, outlier, "leave out BOS"),
    ):
        with pytest.raises(UserError, match=message):
            check(parity(made, vectors), made)


@pytest.mark.parametrize("vectors", [torch.ones(1, 4), torch.full((3, 4), torch.nan)])
def test_vectors_that_measure_nothing(vectors: torch.Tensor) -> None:
    with pytest.raises(UserError, match="two or more vectors of finite numbers"):
        parity(identity(), vectors)


def test_targets_without_variance_are_no_success() -> None:
    made = identity()
    with pytest.raises(UserError, match="FVU inf"):
        check(parity(made, torch.ones(5, 4)), made)
