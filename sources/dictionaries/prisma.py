"""ViT-Prisma folders, dictionaries of vision transformers: `config.json` and one `.pt` file with a state dict.

Stored: W_enc (d, N), W_dec (N, d_out). What is read is normalised first; then b_dec is subtracted. A transcoder
adds its own b_dec_out to what it writes, and its skip connection is the identity plus W_skip.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurogloss.errors import UserError
from neurogloss.sources.dictionaries.activations import Activation, Gated, Relu, TopK
from neurogloss.sources.dictionaries.files import Weights, active_count, name_of, provenance, read_json, setting
from neurogloss.sources.dictionaries.linear import LinearDictionary, Norm

if TYPE_CHECKING:
    import torch

SETTINGS, SUFFIX = "config.json", ".pt"
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
"""What is read of each setting. Units of the CLS token alone say nothing of a place in the image."""

OLDER = {"architecture": "standard", "hook_point_head_index": None, "cls_token_only": False}
"""What settings mean that do not say it."""


def recognises(path: Path) -> bool:
    settings = _folder(path) / SETTINGS
    try:
        return settings.is_file() and {"hook_point_layer", "layer_subtype"} <= set(read_json(settings))
    except UserError:
        return False


def read(path: Path) -> LinearDictionary:
    """The dictionary in the folder `path`, or in one of the files of weights in it.

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
    file = _weights(path)
    weights = Weights.open(file)
    d = setting(found, "d_in", settings)
    n = d * setting(found, "expansion_factor", settings)
    transcodes = bool(found.get("is_transcoder"))
    d_out = setting(found, "d_out", settings) if transcodes else d
    norm, skip = NORMS[found["normalize_activations"]], weights.maybe("W_skip", d_out, d)
    if skip is not None and norm != "none":
        raise UserError(
            f"Expected no normalisation beside the skip connection of {file}, found {norm} in {settings}. "
            "Use a dictionary of another kind."
        )
    encoder_bias, activation = _activation(found, weights, n, settings)
    centre = weights.take("b_dec", d)
    dictionary = LinearDictionary(
        name=name_of(path),
        encoder=weights.take("W_enc", d, n).T,
        encoder_bias=encoder_bias,
        activation=activation,
        decoder=weights.take("W_dec", n, d_out),
        decoder_bias=weights.take("b_dec_out", d_out) if transcodes else centre,
        centre=centre,
        norm=norm,
        skip=None if skip is None else skip + skip.new_ones(d).diag(),
        hookpoint=f"blocks.{_layer(found, 'hook_point_layer', settings)}.{found['layer_subtype']}",
        target=f"blocks.{_layer(found, 'out_hook_point_layer', settings)}.{found['layer_out_subtype']}"
        if transcodes
        else None,
        provenance=provenance(
            "prisma",
            [settings, file],
            architecture=found["architecture"],
            k=activation.k if isinstance(activation, TopK) else None,
            normalisation=found["normalize_activations"],
            model=found.get("model_name"),
            patches_only=found.get("use_patches_only"),
        ),
    )
    weights.finish()
    return dictionary


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


def _activation(found: Mapping[str, Any], weights: Weights, n: int, path: Path) -> tuple[torch.Tensor, Activation]:
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
