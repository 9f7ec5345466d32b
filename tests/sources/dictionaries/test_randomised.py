"""Random directions in place of a dictionary's own: as long, as often active, the same for the same seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from neurogloss.errors import UserError
from neurogloss.sources.calibration import check, parity
from neurogloss.sources.dictionaries import open_dictionary
from neurogloss.sources.dictionaries.activations import AbsTopK, Activation, Identity, JumpRelu, Relu, TopK
from neurogloss.sources.dictionaries.linear import LinearDictionary
from neurogloss.sources.dictionaries.special import randomised

UNITS, WIDTH = 256, 24


def original(activation: Activation, d_out: int = WIDTH) -> LinearDictionary:
    """Rows of different lengths, about an origin that is not 0."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.linspace(0.5, 2, UNITS)[:, None]
    encoder = torch.randn(UNITS, WIDTH, generator=generator) * lengths
    decoder = torch.randn(UNITS, d_out, generator=generator) / lengths
    centre = torch.full((WIDTH,), 3.0)
    return LinearDictionary(
        "sae", encoder, torch.full((UNITS,), -2.0), activation, decoder, torch.ones(d_out), centre
    )


def vectors(n: int = 200) -> torch.Tensor:
    return 3 + torch.randn(n, WIDTH, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("activation", [TopK(8), AbsTopK(8), Relu(), JumpRelu(torch.tensor([5.0]))])
def test_each_token_has_as_many_active_units_as_before(activation: Activation) -> None:
    before, x = original(activation), vectors()
    after = randomised(before, 0)
    counts = [(made.encode(x).dense() != 0).sum(1) for made in (before, after)]
    # Never more; fewer where fewer than that lie above 0.
    assert (counts[1] <= counts[0]).all()
    assert counts[1].double().mean() >= 0.97 * counts[0].double().mean()
    assert (after.signed, after.sparse) == (before.signed, True)
    assert after.signed == bool((after.encode(x).dense() < 0).any())


def test_the_active_units_are_those_with_the_largest_products() -> None:
    made, x = randomised(original(TopK(8)), 0), vectors(5)
    products = (x - 3) @ made.encoder.T
    expected = torch.zeros_like(products).scatter_(1, products.topk(8).indices, products.topk(8).values)
    torch.testing.assert_close(made.encode(x).dense(), expected)


def test_lengths_stay_and_directions_do_not() -> None:
    before = original(TopK(8))
    after = randomised(before, 0)
    for own, drawn in ((before.encoder, after.encoder), (before.decoder, after.decoder)):
        torch.testing.assert_close(own.norm(dim=1), drawn.norm(dim=1))
        assert torch.cosine_similarity(own, drawn).abs().mean() < 0.25
    torch.testing.assert_close(torch.cosine_similarity(after.encoder, after.decoder), torch.ones(UNITS))
    # A transcoder writes into another space.
    assert randomised(original(TopK(8), d_out=7), 0).directions().shape == (UNITS, 7)
    elsewhere = randomised(replace(before, target="model.layers.1.mlp"), 0)
    assert torch.cosine_similarity(elsewhere.encoder, elsewhere.decoder).abs().mean() < 0.25


def test_the_seed_decides_and_is_recorded() -> None:
    one, again, other = (randomised(original(TopK(8)), seed) for seed in (1, 1, 2))
    assert torch.equal(one.directions(), again.directions())
    assert not torch.equal(one.directions(), other.directions())
    assert (one.name, one.provenance["randomised"]) == ("random-1-sae", 1)


def test_it_is_not_refused_for_what_it_cannot_do() -> None:
    made = randomised(original(TopK(8)), 0)
    measured = parity(made, vectors())
    check(measured, made)
    assert measured.fvu is None and measured.l0 == pytest.approx(8, rel=0.03)


def test_the_name_of_a_dictionary_opens_it() -> None:
    plain, drawn = open_dictionary("sae-0", 576), open_dictionary("random-3:sae-0", 576)
    assert (drawn.name, drawn.n_units, drawn.hookpoint) == ("random-3-sae-0", plain.n_units, plain.hookpoint)
    assert open_dictionary("random:sae-0", None).name == "random-0-sae-0"
    moved = drawn.to(torch.float64)
    directions = moved.directions()
    assert directions is not None and directions.dtype == torch.float64


def test_what_has_no_rows_of_its_own_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="found neurons"):
        open_dictionary("random:neurons", 24)
    with pytest.raises(UserError, match="found sae"):
        randomised(original(Identity()), 0)
    with pytest.raises(UserError, match="found '/nowhere'"):
        open_dictionary("random:/nowhere", 24)
