"""SAELens folders: `cfg.json` and `sae_weights.safetensors`, of version 6 and before.

Stored: W_enc (d, N), W_dec (N, d_out). The encoder reads x, or x - b_dec where `apply_b_dec_to_input` says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurogloss.errors import UserError
from neurogloss.sources.dictionaries.activations import AbsTopK, Activation, Gated, JumpRelu, Relu, TopK
from neurogloss.sources.dictionaries.files import (
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
from neurogloss.sources.dictionaries.special import MatchingPursuit

if TYPE_CHECKING:
    import torch

SETTINGS, WEIGHTS = "cfg.json", "sae_weights.safetensors"
NORMS: Mapping[str, Norm] = {
    "none": "none",
    # The library leaves the input alone here, too: the average is folded into the weights when training ends.
    "expected_average_only_in": "none",
    "layer_norm": "layer_norm",
    "constant_norm_rescale": "unit_rms",
}
LINEAR = ("standard", "topk", "abstopk", "jumprelu", "gated")
TRANSCODERS = ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder")


def recognises(path: Path) -> bool:
    return has(path, SETTINGS, WEIGHTS)


def read(path: Path) -> LinearDictionary | MatchingPursuit:
    """The dictionary in the folder `path`.

    Raises:
        UserError: an architecture or a normalisation that is not known, settings and weights that contradict.
    """
    found = _current(read_json(path / SETTINGS))
    weights = Weights.open(path / WEIGHTS)
    architecture = found["architecture"]
    d, n = setting(found, "d_in", path / SETTINGS), setting(found, "d_sae", path / SETTINGS)
    if architecture == "matching_pursuit":
        return _matching_pursuit(path, found, weights, d, n)
    if architecture in (*LINEAR, *TRANSCODERS):
        return _linear(path, found, weights, d, n)
    raise UserError(
        f"Expected one of {', '.join((*LINEAR, *TRANSCODERS, 'matching_pursuit'))} as the architecture in "
        f"{path / SETTINGS}, found {architecture!r}. Save the inference form of the dictionary."
    )


def _linear(path: Path, found: Mapping[str, Any], weights: Weights, d: int, n: int) -> LinearDictionary:
    transcodes = found["architecture"] in TRANSCODERS
    d_out = setting(found, "d_out", path / SETTINGS) if transcodes else d
    encoder = weights.take("W_enc", d, n).T
    # Of versions before 6: what finetuning made of the codes' lengths.
    factor = weights.maybe("scaling_factor", n)
    bias, activation = _activation(path, found, weights, n)
    dictionary = MATRICES.read(
        weights,
        (n, d, d_out),
        name=name_of(path),
        encoder=encoder,
        encoder_bias=bias,
        activation=activation,
        centre=weights.take("b_dec", d) if found["apply_b_dec_to_input"] and not transcodes else None,
        norm=_norm(path, found),
        skip=weights.take("W_skip", d_out, d) if "skip" in found["architecture"] else None,
        **_listening(path, found),
    )
    if factor is not None:
        dictionary = replace(dictionary, decoder=dictionary.decoder * factor[:, None])
    # Codes are ranked and kept as if the decoder's rows had length 1.
    return unit_rows(dictionary) if found.get("rescale_acts_by_decoder_norm") else dictionary


def _activation(path: Path, found: Mapping[str, Any], weights: Weights, n: int) -> tuple[torch.Tensor, Activation]:
    architecture = found["architecture"]
    if architecture == "gated":
        gate, scale, bias = (weights.take(name, n) for name in ("b_gate", "r_mag", "b_mag"))
        return gate.new_zeros(n), Gated(gate, scale.exp(), bias)
    bias = weights.take("b_enc", n)
    if "jumprelu" in architecture:
        return bias, JumpRelu(weights.take("threshold", n))
    if architecture in ("topk", "abstopk"):
        k = active_count(found.get("k"), n, path / SETTINGS)
        return bias, TopK(k) if architecture == "topk" else AbsTopK(k)
    return bias, Relu()


def _matching_pursuit(path: Path, found: Mapping[str, Any], weights: Weights, d: int, n: int) -> MatchingPursuit:
    weights.ignore("W_enc", "b_enc")
    bias = weights.maybe("b_dec", d)
    if _norm(path, found) != "none":
        raise UserError(f"Expected no normalisation with matching pursuit in {path / SETTINGS}. Fold it in first.")
    decoder = weights.take("W_dec", n, d)
    weights.finish()
    return MatchingPursuit(
        name=name_of(path),
        decoder=decoder,
        centre=bias if found["apply_b_dec_to_input"] else None,
        residual_threshold=float(found.get("residual_threshold", 1e-2)),
        max_iterations=found.get("max_iterations") or d,
        stop_on_same_support=bool(found.get("stop_on_duplicate_support", True)),
        **_listening(path, found),
    )


def _norm(path: Path, found: Mapping[str, Any]) -> Norm:
    name = found["normalize_activations"]
    if name not in NORMS:
        raise UserError(
            f"Expected one of {', '.join(NORMS)} as normalize_activations in {path / SETTINGS}, found {name!r}. "
            "Fold the normalisation into the weights and save again."
        )
    return NORMS[name]


def _listening(path: Path, found: Mapping[str, Any]) -> dict[str, Any]:
    metadata = found["metadata"]
    return {
        "hookpoint": metadata.get("hf_hook_name") or metadata.get("hook_name"),
        "target": metadata.get("hf_hook_name_out") or metadata.get("hook_name_out"),
        "provenance": provenance(
            "sae_lens",
            [path / SETTINGS, path / WEIGHTS],
            architecture=found["architecture"],
            k=found.get("k") if "topk" in found["architecture"] else None,
            normalisation=found["normalize_activations"],
            model=metadata.get("model_name"),
            prepend_bos=metadata.get("prepend_bos"),
        ),
    }


def _current(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of any version by the names of version 6, which keeps what is of the subject under `metadata`."""
    found = {"architecture": "standard", "apply_b_dec_to_input": True, "normalize_activations": "none", **given}
    if "metadata" not in found:
        kwargs = found.get("activation_fn_kwargs") or {}
        if "topk" in (found.get("activation_fn_str"), found.get("activation_fn")) and "k" in kwargs:
            found |= {"architecture": "topk", "k": kwargs["k"]}
        name = found.get("hook_name") or found.get("hook_point")
        found["metadata"] = {**found, "hook_name": name, "prepend_bos": found.get("prepend_bos", True)}
    normalises = found["normalize_activations"]
    if not isinstance(normalises, str):
        found["normalize_activations"] = "expected_average_only_in" if normalises else "none"
    found["metadata"] = found["metadata"] or {}
    return found
