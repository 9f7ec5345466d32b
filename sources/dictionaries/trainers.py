"""Folders of two training libraries: dictionary_learning and ViT-Prisma."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from neurogloss.errors import UserError
from neurogloss.sources.dictionaries.activations import Activation, Gated, JumpRelu, Relu, TopK
from neurogloss.sources.dictionaries.files import (
    LINEAR,
    MATRICES,
    Weights,
    active_count,
    has,
    name_of,
    provenance,
    read_json,
    setting,
    unit_rows,
)
from neurogloss.sources.dictionaries.linear import LinearDictionary, Norm

SETTINGS, WEIGHTS, SUFFIX = "config.json", "ae.pt", ".pt"
NORMS: Mapping[str | None, Norm] = {
    None: "none",
    "none": "none",
    "layer_norm": "layer_norm",
    "constant_norm_rescale": "unit_rms",
}
KNOWN = {
    "architecture": ("standard", "gated"),
    "activation_fn_str": ("relu", "topk"),
    "normalize_activations": tuple(NORMS),
    "hook_point_head_index": (None,),
    "cls_token_only": (False,),
}
"""Values of ViT-Prisma's settings that are read. Units of the CLS token alone say nothing of a place in the image.
"""
OLDER = {"architecture": "standard", "hook_point_head_index": None, "cls_token_only": False}
"""What ViT-Prisma's settings mean if they do not say it."""


def is_dictionary_learning(path: Path) -> bool:
    return has(path, SETTINGS, WEIGHTS)


def read_dictionary_learning(path: Path) -> LinearDictionary:
    """dictionary_learning folders (`trainer_0`, …): `config.json` and `ae.pt`.

    Stored as of nn.Linear, or as W_enc (d, N) and W_dec (N, d). Every class but AutoEncoderNew and
    JumpReluAutoEncoder subtracts the decoder's bias before encoding.

    Raises:
        UserError: a class that is not known, settings and weights that contradict each other.
    """
    settings = path / SETTINGS
    trainer = setting(read_json(settings), "trainer", settings, dict)
    kind = trainer.get("dict_class")
    if kind not in CLASSES:
        raise UserError(
            f"Expected one of {', '.join(CLASSES)} as dict_class in {settings}, found {kind!r}. "
            "Save the matrices under plain names to use them."
        )
    d, n = (setting(trainer, name, settings) for name in ("activation_dim", "dict_size"))
    weights = Weights.open(path / WEIGHTS)
    stated, found = trainer.get("k"), weights.number("k")
    weights.ignore("threshold", "group_sizes")
    facts = {"architecture": kind, "k": stated, "model": trainer.get("lm_name")}
    # The library names modules freely; only a residual stream's name says which module is meant.
    layer, name = trainer.get("layer"), str(trainer.get("submodule_name", ""))
    dictionary = replace(
        CLASSES[kind](weights, d, n),
        name=name_of(path),
        hookpoint=f"layers.{layer}" if isinstance(layer, int) and name.startswith("resid_post") else None,
        provenance=provenance("dictionary_learning", [settings, weights.path], **facts),
    )
    if stated is not None and found is not None and stated != found:
        raise UserError(
            f"Expected k = {stated}, as {settings} says, found {found:.0f} in {weights.path}. "
            "Give settings and weights of one training."
        )
    return dictionary


def _linear(weights: Weights, d: int, n: int, activation: Activation, bias: str) -> LinearDictionary:
    """One of nn.Linear layers that centres by `bias`."""
    encoder_bias, centre = weights.maybe("encoder.bias", n), weights.take(bias, d)
    return LINEAR.read(
        weights,
        (n, d, d),
        encoder_bias=centre.new_zeros(n) if encoder_bias is None else encoder_bias,
        activation=activation,
        decoder_bias=centre,
        centre=centre,
    )


def _gated(weights: Weights, d: int, n: int) -> LinearDictionary:
    gate, scale, bias = (weights.take(name, n) for name in ("gate_bias", "r_mag", "mag_bias"))
    return _linear(weights, d, n, Gated(gate, scale.exp(), bias), "decoder_bias")


def _matryoshka(weights: Weights, d: int, n: int) -> LinearDictionary:
    centre = weights.take("b_dec", d)
    return MATRICES.read(weights, (n, d, d), activation=_threshold(weights), centre=centre)


def _threshold(weights: Weights) -> JumpRelu:
    threshold = weights.take("threshold").reshape(1)
    if threshold < 0:
        raise UserError(
            f"Expected a threshold of 0 or more in {weights.path}, found {float(threshold):g}: its training ended "
            "before one was set, and a batch-top-k dictionary has no codes of its own without it. Train it longer."
        )
    return JumpRelu(threshold)


CLASSES: Mapping[str, Callable[[Weights, int, int], LinearDictionary]] = {
    # The library makes the decoder's rows of length 1 when it reads one.
    "AutoEncoder": lambda weights, d, n: unit_rows(_linear(weights, d, n, Relu(), "bias")),
    "AutoEncoderNew": lambda weights, d, n: replace(_linear(weights, d, n, Relu(), "decoder.bias"), centre=None),
    "GatedAutoEncoder": _gated,
    "AutoEncoderTopK": lambda weights, d, n: _linear(
        weights, d, n, TopK(active_count(weights.number("k"), n, weights.path)), "b_dec"
    ),
    "BatchTopKSAE": lambda weights, d, n: _linear(weights, d, n, _threshold(weights), "b_dec"),
    "MatryoshkaBatchTopKSAE": _matryoshka,
    "JumpReluAutoEncoder": lambda weights, d, n: MATRICES.read(
        weights, (n, d, d), activation=JumpRelu(weights.take("threshold", n))
    ),
}
"""By dict_class."""


def is_prisma(path: Path) -> bool:
    settings = _folder(path) / SETTINGS
    try:
        return settings.is_file() and {"hook_point_layer", "layer_subtype"} <= set(read_json(settings))
    except UserError:
        return False


def read_prisma(path: Path) -> LinearDictionary:
    """ViT-Prisma folders, for vision transformers: `config.json` and one `.pt` file with a state dict.

    The vector is normalised first, then b_dec is subtracted. A transcoder adds its own b_dec_out to its output,
    and its skip connection is the identity plus W_skip.

    Raises:
        UserError: several files of weights, settings that are not known, settings and weights that contradict.
    """
    settings = _folder(path) / SETTINGS
    found = OLDER | read_json(settings)
    for name, values in KNOWN.items():
        if found.get(name) not in values:
            raise UserError(
                f"Expected {' or '.join(map(repr, values))} as {name} in {settings}, found {found.get(name)!r}. "
                "Use a dictionary of another kind."
            )
    weights = Weights.open(_weights(path))
    d = setting(found, "d_in", settings)
    n = d * setting(found, "expansion_factor", settings)
    transcodes = bool(found.get("is_transcoder"))
    d_out = setting(found, "d_out", settings) if transcodes else d
    norm, skip = NORMS[found["normalize_activations"]], weights.maybe("W_skip", d_out, d)
    if skip is not None and norm != "none":
        raise UserError(
            f"Expected no normalisation beside the skip connection of {weights.path}, found {norm} in {settings}. "
            "Use a dictionary of another kind."
        )
    bias, activation = _activation(found, weights, n, settings)
    target = (
        f"blocks.{_layer(found, 'out_hook_point_layer', settings)}.{found['layer_out_subtype']}"
        if transcodes
        else None
    )
    return MATRICES.read(
        weights,
        (n, d, d_out),
        name=name_of(path),
        encoder_bias=bias,
        activation=activation,
        decoder_bias=weights.take("b_dec_out" if transcodes else "b_dec", d_out),
        centre=weights.take("b_dec", d),
        norm=norm,
        skip=None if skip is None else skip + skip.new_ones(d).diag(),
        hookpoint=f"blocks.{_layer(found, 'hook_point_layer', settings)}.{found['layer_subtype']}",
        target=target,
        provenance=provenance(
            "prisma",
            [settings, weights.path],
            architecture=found["architecture"],
            k=activation.k if isinstance(activation, TopK) else None,
            normalisation=found["normalize_activations"],
            model=found.get("model_name"),
            patches_only=found.get("use_patches_only"),
        ),
    )


def _folder(path: Path) -> Path:
    return path.parent if path.name.endswith(SUFFIX) else path


def _weights(path: Path) -> Path:
    """The file of weights: the one that was named, or the only one of the folder."""
    if path.name.endswith(SUFFIX):
        return path
    files = sorted(path.glob(f"*{SUFFIX}"))
    if len(files) != 1:
        listed = ", ".join(file.name for file in files) or ", ".join(sorted(file.name for file in path.iterdir()))
        raise UserError(
            f"Expected one {SUFFIX} file of weights in {path}, found {listed}. Name one of several; "
            "other pickles are not read: save their state dict alone."
        )
    return files[0]


def _activation(found: Mapping[str, Any], weights: Weights, n: int, path: Path) -> tuple[Any, Activation]:
    """The bias before it, and the activation function."""
    bias, name = weights.take("b_enc", n), found["activation_fn_str"]
    if found["architecture"] == "gated":
        if name != "relu":
            raise UserError(
                f"Expected 'relu' as activation_fn_str of a gated dictionary in {path}, found {name!r}."
            )
        gate, scale, magnitude = (weights.take(name, n) for name in ("b_gate", "r_mag", "b_mag"))
        return gate.new_zeros(n), Gated(gate, scale.exp(), magnitude)
    if name == "topk":
        return bias, TopK(active_count((found.get("activation_fn_kwargs") or {}).get("k"), n, path))
    return bias, Relu()


def _layer(found: Mapping[str, Any], name: str, path: Path) -> int:
    """Its number, which older settings have in a list."""
    stated = found.get(name)
    alone = stated[0] if isinstance(stated, list) and len(stated) == 1 else stated
    return int(setting({name: alone}, name, path))
