"""Activation functions, matching pursuit, heads and directions, worked by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from neurogloss.errors import UserError
from neurogloss.sources import source
from neurogloss.sources.dictionaries import Dictionary, directions_of, open_dictionary
from neurogloss.sources.dictionaries.activations import (
    AbsTopK,
    Activation,
    Codebook,
    Codes,
    Gated,
    GroupMax,
    Identity,
    JumpRelu,
    Relu,
    TopK,
)
from neurogloss.sources.dictionaries.linear import LinearDictionary
from neurogloss.sources.dictionaries.special import Heads, MatchingPursuit, Neurons
from neurogloss.sources.subject import Subject

PRE = torch.tensor([[1.0, -3.0, 2.0, 0.5], [-1.0, -2.0, -4.0, 0.25]])
GATED = Gated(torch.tensor([0.0, 4.0, -2.0, 0.0]), torch.full((4,), 2.0), torch.tensor([0.0, 7.0, 0.0, -2.0]))


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        (Identity(), PRE.tolist()),
        (Relu(), [[1, 0, 2, 0.5], [0, 0, 0, 0.25]]),
        (JumpRelu(torch.tensor([1.0])), [[0, 0, 2, 0], [0, 0, 0, 0]]),
        (JumpRelu(torch.tensor([-5.0, -5.0, 2.0, 0.0])), [[1, 0, 0, 0.5], [0, 0, 0, 0.25]]),
        (TopK(2), [[1, 0, 2, 0], [0, 0, 0, 0.25]]),
        (AbsTopK(2), [[0, -3, 2, 0], [0, -2, -4, 0]]),
        (Codebook(2), [[1, 0, 1, 0], [1, 0, 0, 1]]),
        (GroupMax(2), [[1, 0, 2, 0], [0, 0, 0, 0.25]]),
        (GATED, [[2, 1, 0, 0], [0, 3, 0, 0]]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_activations(activation: Activation, expected: list[list[float]]) -> None:
    before = PRE.clone()
    codes = activation(PRE)
    assert codes.dense().tolist() == expected
    assert torch.equal(PRE, before)
    assert activation.signed == bool((codes.dense() < 0).any())


@pytest.mark.parametrize("activation", [TopK(2), AbsTopK(2), Codebook(2), GroupMax(2)])
def test_codes_of_a_fixed_number_stay_sparse(activation: Activation) -> None:
    codes = activation(PRE)
    assert codes.units is not None and codes.values.shape == codes.units.shape == (2, 2)


def small(activation: Activation) -> LinearDictionary:
    generator = torch.Generator().manual_seed(0)
    encoder, decoder = torch.randn(8, 3, generator=generator), torch.randn(8, 2, generator=generator)
    return LinearDictionary("small", encoder, torch.zeros(8), activation, decoder, torch.ones(2))


def test_sparse_codes_decode_as_dense_ones_do() -> None:
    made, x = small(TopK(3)), torch.randn(20, 3, generator=torch.Generator().manual_seed(1))
    codes = made.encode(x)
    sparse, dense = made.decode(codes, x), made.decode(Codes(codes.dense(), None, 8), x)
    assert sparse is not None and dense is not None
    torch.testing.assert_close(sparse, dense)


def test_layer_norm_codes_do_not_change_with_scale_and_shift() -> None:
    generator = torch.Generator().manual_seed(2)
    x, matrix = torch.randn(5, 3, generator=generator), torch.randn(8, 3, generator=generator)
    made = LinearDictionary("normed", matrix, torch.zeros(8), Relu(), matrix, torch.zeros(3), norm="layer_norm")
    codes, moved = made.encode(x), made.encode(7 * x + 3)
    torch.testing.assert_close(codes.values, moved.values, rtol=1e-3, atol=1e-3)
    out, expected = made.decode(codes, 7 * x + 3), made.decode(codes, x)
    assert out is not None and expected is not None
    torch.testing.assert_close(out, 7 * expected + 3, rtol=1e-3, atol=1e-3)


def test_all_tensors_change_their_type() -> None:
    moved = small(GATED).to(torch.float64)
    assert moved.encoder.dtype == moved.decoder_bias.dtype == torch.float64
    assert isinstance(moved.activation, Gated) and moved.activation.gate_bias.dtype == torch.float64
    assert moved.name == "small"


def test_every_dictionary_is_put_where_the_subject_is(
    monkeypatch: pytest.MonkeyPatch, tiny_subject: Subject
) -> None:
    pursuit = MatchingPursuit("mp", torch.eye(3), torch.zeros(3), 0.0, 1, False)
    made: list[Dictionary] = [small(GATED), pursuit, Neurons(3), Heads(3, 1)]
    for dictionary in made:
        monkeypatch.setattr(source, "open_dictionary", lambda *_, found=dictionary: found)
        monkeypatch.setattr(Subject, "width", lambda *_: 3)
        monkeypatch.setattr(Subject, "device", torch.device("meta"))
        found = source.open_listener(tiny_subject, "model.layers.0", "any").dictionary
        tensors = [value for value in vars(found).values() if isinstance(value, torch.Tensor)]
        assert all(tensor.is_meta for tensor in tensors)
        assert bool(tensors) == isinstance(found, LinearDictionary | MatchingPursuit)
        assert (found.name, found.n_units, found.width) == (dictionary.name, dictionary.n_units, 3)
    assert pursuit.encode(torch.ones(1, 3)).values.device.type == "cpu"  # what was given is as it was


def test_matching_pursuit() -> None:
    # (4, 3) over (1, 0), (0, 1), (0.6, 0.8): products 4, 3, 4.8. The third takes 4.8 and leaves (1.12, -0.84);
    # the first then takes 1.12 and leaves (0, -0.84), shorter than 0.9.
    made = MatchingPursuit(
        "mp",
        decoder=torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]),
        centre=torch.tensor([1.0, 1.0]),
        residual_threshold=0.9,
        max_iterations=10,
        stop_on_same_support=True,
    )
    x = torch.tensor([[5.0, 4.0], [1.0, 1.0]])
    codes = made.encode(x)
    torch.testing.assert_close(codes.dense(), torch.tensor([[1.12, 0, 4.8], [0, 0, 0]]))
    torch.testing.assert_close(made.decode(codes, x), torch.tensor([[5.0, 4.84], [1.0, 1.0]]))


def test_heads_are_the_lengths_of_their_blocks() -> None:
    heads = open_dictionary("heads:2", 4)
    assert heads.encode(torch.tensor([[3.0, 4.0, 0.0, -2.0]])).dense().tolist() == [[5, 2]]
    assert (heads.signed, heads.sparse, heads.n_units) == (False, False, 2)
    for wrong, message in (("heads:3", "divides the width 4"), ("heads:two", "heads:NUMBER")):
        with pytest.raises(UserError, match=message):
            open_dictionary(wrong, 4)
    with pytest.raises(UserError, match="one direction each"):
        directions_of(heads)
    with pytest.raises(UserError, match="--hookpoint"):
        open_dictionary("heads:2", None)


def test_directions_are_components_along_unit_rows(tmp_path: Path) -> None:
    np.save(tmp_path / "probes.npy", np.array([[0.0, 5.0], [3.0, 4.0]], dtype=np.float32))
    found = open_dictionary(f"directions:{tmp_path / 'probes.npy'}", 2)
    codes = found.encode(torch.tensor([[1.0, -2.0]]))
    torch.testing.assert_close(codes.dense(), torch.tensor([[-2.0, -1.0]]))
    assert (found.name, found.signed, found.sparse) == ("probes", True, False)
    assert found.decode(codes, torch.zeros(1, 2)) is None
    np.save(tmp_path / "zero.npy", np.zeros((2, 2), dtype=np.float32))
    with pytest.raises(UserError, match="row 0 of zeros"):
        open_dictionary(f"directions:{tmp_path / 'zero.npy'}", 2)
    np.savez(tmp_path / "two.npz", a=np.ones((1, 2)), b=np.ones((1, 2)))
    with pytest.raises(UserError, match="found 2 tensors"):
        open_dictionary(f"directions:{tmp_path / 'two.npz'}", 2)
