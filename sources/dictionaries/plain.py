"""A user's own matrices: one `.safetensors`, `.npz` or `.pt` file with named tensors.

W_enc (d, N)   W_dec (N, d_out)                    required
b_enc (N,)     b_dec (d_out,)                      0 where they are missing
threshold (N,) or one number                       JumpReLU
k, one number                                      top-k; with neither: ReLU
codebook, 1                                        with k: chosen units are 1, whatever their pre-activation
centre, 1                                          b_dec is subtracted from the input
W_skip (d_out, d)                                  a transcoder's skip connection

Or arbitrary directions as units: the rows of one (N, d) matrix, made of length 1. A unit's activation is the
vector's component along its row, on both sides of 0; it is never exactly zero. Random directions, probes, steering
vectors and the factors of a matrix factorisation are read so.
"""

from __future__ import annotations

from pathlib import Path

from neurogloss.errors import UserError
from neurogloss.sources.dictionaries.activations import Activation, Codebook, Identity, JumpRelu, Relu, TopK
from neurogloss.sources.dictionaries.files import Weights, active_count, name_of, names_in, provenance
from neurogloss.sources.dictionaries.linear import LinearDictionary


def recognises(path: Path) -> bool:
    return {"W_enc", "W_dec"} <= names_in(path)


def read(path: Path) -> LinearDictionary:
    """The dictionary in the file `path`. Raises UserError where its tensors contradict each other."""
    weights = Weights.open(path)
    d, n = weights.take("W_enc", None, None).shape
    decoder = weights.take("W_dec", n, None)
    d_out = decoder.shape[1]
    encoder_bias, decoder_bias = weights.maybe("b_enc", n), weights.maybe("b_dec", d_out)
    centred = bool(weights.number("centre"))
    if centred and d_out != d:
        raise UserError(f"Expected centre 0 in {path}: b_dec has width {d_out}, what is encoded {d}.")
    if decoder_bias is None:
        decoder_bias = decoder.new_zeros(d_out)
    k = weights.number("k")
    dictionary = LinearDictionary(
        name=name_of(path),
        encoder=weights.take("W_enc", d, n).T,
        encoder_bias=decoder.new_zeros(n) if encoder_bias is None else encoder_bias,
        activation=_activation(weights, n, k),
        decoder=decoder,
        decoder_bias=decoder_bias,
        centre=decoder_bias if centred else None,
        skip=weights.maybe("W_skip", d_out, d),
        provenance=provenance("plain", [path], k=None if k is None else int(k)),
    )
    weights.finish()
    return dictionary


def _activation(weights: Weights, n: int, k: float | None) -> Activation:
    codebook = bool(weights.number("codebook"))
    if "threshold" in weights and (k is not None or codebook):
        raise UserError(
            f"Expected a threshold or k in {weights.path}, found both. Remove the one that is not used."
        )
    if "threshold" in weights:
        single = weights.tensors["threshold"].numel() == 1
        return JumpRelu(
            weights.take("threshold", *weights.tensors["threshold"].shape if single else (n,)).reshape(-1)
        )
    if k is not None or codebook:
        active = active_count(k, n, weights.path)
        return Codebook(active) if codebook else TopK(active)
    return Relu()


def read_directions(path: Path) -> LinearDictionary:
    """The directions in the only tensor of `path` (`.npy`, `.npz`, `.safetensors` or `.pt`).

    Raises:
        UserError: several tensors, or a row of zeros.
    """
    weights = Weights.open(path)
    if len(weights.tensors) != 1:
        raise UserError(
            f"Expected one (N, d) matrix in {path}, found {len(weights.tensors)} tensors. Save it alone."
        )
    rows = weights.take(next(iter(weights.tensors)), None, None)
    lengths = rows.norm(dim=1, keepdim=True)
    if not lengths.all():
        raise UserError(
            f"Expected directions in {path}, found row {int(lengths[:, 0].argmin())} of zeros. Remove it."
        )
    unit = rows / lengths
    return LinearDictionary(
        name=name_of(path),
        encoder=unit,
        encoder_bias=rows.new_zeros(len(rows)),
        activation=Identity(),
        decoder=unit,
        decoder_bias=rows.new_zeros(rows.shape[1]),
        reconstructs=False,
        provenance=provenance("directions", [path]),
    )
