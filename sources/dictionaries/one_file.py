"""Formats of one file: OpenAI's, Goodfire's, Qwen Scope's, a user's own matrices, and bare directions."""

from __future__ import annotations

import re
from pathlib import Path

from neurogloss.errors import UserError
from neurogloss.sources.dictionaries.activations import Activation, Codebook, Identity, JumpRelu, Relu, TopK
from neurogloss.sources.dictionaries.files import (
    LINEAR,
    MATRICES,
    PICKLES,
    Weights,
    active_count,
    name_of,
    names_in,
    provenance,
)
from neurogloss.sources.dictionaries.linear import LinearDictionary

OPENAI = LINEAR._replace(encoder_bias="latent_bias", decoder_bias="pre_bias")
GOODFIRE = {
    "goodfire": LINEAR._replace(
        encoder="encoder_linear.weight",
        encoder_bias="encoder_linear.bias",
        decoder="decoder_linear.weight",
        decoder_bias="decoder_linear.bias",
    ),
    "deepseek_r1": LINEAR,
}
QWEN = MATRICES._replace(encoder_rows=True, decoder_rows=False)
QWEN_FILE = re.compile(r"layer(\d+)\.sae\.pt")


def is_openai(path: Path) -> bool:
    return {"pre_bias", "latent_bias"} <= names_in(path)


def read_openai(path: Path) -> LinearDictionary:
    """OpenAI's autoencoders for GPT-2 (Gao et al. 2024): one `.pt` file.

    With top-k, each vector is normalised by its own mean and standard deviation, which is undone at the end.
    pre_bias is subtracted and added in between.

    Raises:
        UserError: an activation function other than TopK and ReLU.
    """
    weights = Weights.open(path)
    n, d = OPENAI.sizes(weights)
    named = weights.values.get("activation", "ReLU")
    if named not in ("TopK", "ReLU"):
        raise UserError(f"Expected the activation TopK or ReLU in {path}, found {named!r}. Give another file.")
    top = named == "TopK"
    k = active_count(weights.number("activation_state_dict.k"), n, path) if top else None
    norm = "layer_norm" if top else "none"
    weights.ignore("stats_last_nonzero")
    return OPENAI.read(
        weights,
        (n, d, d),
        activation=Relu() if k is None else TopK(k),
        centre=weights.take("pre_bias", d),
        norm=norm,
        provenance=provenance("openai_topk", [path], k=k, normalisation=norm),
    )


def is_goodfire(path: Path) -> bool:
    return path.name.endswith(PICKLES) and _goodfire(path) is not None


def _goodfire(path: Path) -> str | None:
    """Which of GOODFIRE's layouts the file has exactly the tensors of."""
    names = names_in(path)
    return next((name for name, layout in GOODFIRE.items() if names == set(layout[:4])), None)


def read_goodfire(path: Path) -> LinearDictionary:
    """Goodfire's Llama autoencoders, and DeepSeek-R1's of that kind: one `.pt` file, ReLU, nothing subtracted."""
    weights, kind = Weights.open(path), _goodfire(path) or "deepseek_r1"
    n, d = GOODFIRE[kind].sizes(weights)
    return GOODFIRE[kind].read(weights, (n, d, d), activation=Relu(), provenance=provenance(kind, [path]))


def is_qwen_scope(path: Path) -> bool:
    return QWEN_FILE.fullmatch(path.name) is not None


def read_qwen_scope(path: Path) -> LinearDictionary:
    """Qwen Scope: `layer12.sae.pt` in a folder whose name ends in `W32K-L0_50`; top-k, nothing subtracted.

    Only the folder's name says how many units are active.

    Raises:
        UserError: the folder's name does not tell k.
    """
    match, stated = QWEN_FILE.fullmatch(path.name), re.search(r"L0_(\d+)", path.resolve().parent.name)
    if match is None or stated is None:
        raise UserError(
            f"Expected {path} as layerN.sae.pt in a folder named as released (…-W32K-L0_50), which tells how "
            f"many units are active; found the folder {path.resolve().parent.name}. Give it that name."
        )
    weights = Weights.open(path)
    n, d = QWEN.sizes(weights)
    k = active_count(int(stated[1]), n, path)
    return QWEN.read(
        weights,
        (n, d, d),
        name=f"layer{match[1]}",
        activation=TopK(k),
        hookpoint=f"layers.{match[1]}",
        provenance=provenance("qwen_scope", [path], k=k),
    )


def is_plain(path: Path) -> bool:
    return {"W_enc", "W_dec"} <= names_in(path)


def read_plain(path: Path) -> LinearDictionary:
    """A user's own matrices: one `.safetensors`, `.npz` or `.pt` file with named tensors.

        W_enc (d, N)   W_dec (N, d_out)                    required
        b_enc (N,)     b_dec (d_out,)                      0 if they are missing
        threshold (N,) or one number                       JumpReLU
        k, one number                                      top-k; with neither: ReLU
        codebook, 1                                        with k: chosen units are 1
        centre, 1                                          b_dec is subtracted from the input
        W_skip (d_out, d)                                  a transcoder's skip connection

    Raises:
        UserError: its tensors contradict each other.
    """
    weights = Weights.open(path)
    d, n = weights.take("W_enc", None, None).shape
    decoder = weights.take("W_dec", n, None)
    d_out = decoder.shape[1]
    encoder_bias, decoder_bias = weights.maybe("b_enc", n), weights.maybe("b_dec", d_out)
    centred = bool(weights.number("centre"))
    if centred and d_out != d:
        raise UserError(f"Expected centre 0 in {path}: b_dec has width {d_out}, what is encoded {d}.")
    decoder_bias = decoder.new_zeros(d_out) if decoder_bias is None else decoder_bias
    k = weights.number("k")
    return MATRICES.read(
        weights,
        (n, d, d_out),
        encoder_bias=decoder.new_zeros(n) if encoder_bias is None else encoder_bias,
        activation=_activation(weights, n, k),
        decoder_bias=decoder_bias,
        centre=decoder_bias if centred else None,
        skip=weights.maybe("W_skip", d_out, d),
        provenance=provenance("plain", [path], k=None if k is None else int(k)),
    )


def _activation(weights: Weights, n: int, k: float | None) -> Activation:
    codebook = bool(weights.number("codebook"))
    if "threshold" in weights and (k is not None or codebook):
        raise UserError(
            f"Expected a threshold or k in {weights.path}, found both. Remove the one that is not used."
        )
    if "threshold" in weights:
        shape = weights.tensors["threshold"].shape
        return JumpRelu(weights.take("threshold", *shape if shape.numel() == 1 else (n,)).reshape(-1))
    if k is not None or codebook:
        active = active_count(k, n, weights.path)
        return Codebook(active) if codebook else TopK(active)
    return Relu()


def read_directions(path: Path) -> LinearDictionary:
    """Arbitrary directions as units: the rows of the only matrix (N, d) of a file, made of length 1.

    A unit's activation is the vector's component along its row, on both sides of 0; it is never exactly zero.
    Use it for random directions, probes, steering vectors and the factors of a matrix factorisation.

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
