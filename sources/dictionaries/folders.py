"""Formats of a folder with settings beside the weights: sparsify, Llama Scope, Gemma Scope, circuit-tracer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from neurogloss.errors import UserError
from neurogloss.sources.dictionaries.activations import GroupMax, JumpRelu, Relu, TopK
from neurogloss.sources.dictionaries.files import (
    LINEAR,
    MATRICES,
    Layout,
    Weights,
    active_count,
    has,
    name_of,
    provenance,
    read_json,
    setting,
)
from neurogloss.sources.dictionaries.linear import LinearDictionary

SPARSIFY_FILES = ("cfg.json", "sae.safetensors")
SPARSIFY = Layout("encoder.weight", "encoder.bias", encoder_rows=True)
LLAMA_FILES = ("hyperparams.json", "checkpoints/final.safetensors")
R1_FILES = ("config.json", "sae_weights.safetensors")
GEMMA, GEMMA_2 = ("params.npz",), ("params.safetensors", "config.json")
CIRCUIT_LAYER = re.compile(r"(layer|W_enc)_(\d+)\.safetensors")
CIRCUIT_SETTINGS = "config.yaml"


def is_sparsify(path: Path) -> bool:
    return has(path, *SPARSIFY_FILES)


def read_sparsify(path: Path) -> LinearDictionary:
    """EleutherAI sparsify folders: `cfg.json` and `sae.safetensors`, named after their hookpoint.

    An autoencoder reads x - b_dec, a transcoder x.

    Raises:
        UserError: settings and weights contradict each other.
    """
    settings, file = (path / name for name in SPARSIFY_FILES)
    found, weights = read_json(settings), Weights.open(file)
    d = setting(found, "d_in", settings)
    n = found.get("num_latents") or d * setting(found, "expansion_factor", settings)
    k = active_count(found.get("k"), n, settings)
    if found.get("signed"):
        raise UserError(
            f"Expected an unsigned dictionary at {path}, found one of the older signed kind. Train it anew."
        )
    transcodes, hookpoint = bool(found.get("transcode")), path.resolve().name
    return SPARSIFY.read(
        weights,
        (n, d, d),
        name=name_of(path),
        activation=GroupMax(k) if found.get("activation") == "groupmax" else TopK(k),
        centre=None if transcodes else weights.take("b_dec", d),
        skip=weights.take("W_skip", d, d) if found.get("skip_connection") else None,
        hookpoint=f"{hookpoint}.input" if transcodes else hookpoint,
        target=hookpoint if transcodes else None,
        provenance=provenance("sparsify", [settings, file], k=k),
    )


def is_llama_scope(path: Path) -> bool:
    return has(path, LLAMA_FILES[0]) or has(path, *R1_FILES)


def read_llama_scope(path: Path) -> LinearDictionary:
    """Llama Scope: `hyperparams.json` and `checkpoints/final.safetensors`; R1-distill has its own names.

    The first was trained on vectors scaled to a mean length of sqrt(d). With s = sqrt(d) / the mean length in the
    settings, the encoder becomes s W, its threshold s theta, and the decoder and its bias are divided by s, as
    SAELens does when it reads them.

    Raises:
        UserError: settings and weights contradict each other.
    """
    import torch

    distilled = not has(path, LLAMA_FILES[0])
    files = [path / name for name in (R1_FILES if distilled else LLAMA_FILES)]
    settings, weights = read_json(files[0]), Weights.open(files[1])
    d = setting(settings, "d_model", files[0])
    n = len(weights.take("encoder.bias", settings.get("d_sae")))
    if distilled:
        scale, threshold = 1.0, weights.take("log_jumprelu_threshold", n).exp()
    else:
        norms = setting(settings, "dataset_average_activation_norm", files[0], dict)
        length = setting(norms, "in", files[0], float)
        if length <= 0:
            raise UserError(f"Expected a mean length above 0 in {files[0]}, found {length}. Download it again.")
        scale = d**0.5 / length
        threshold = torch.tensor([setting(settings, "jump_relu_threshold", files[0], float) * scale])
    source, target = settings.get("hook_point_in"), settings.get("hook_point_out")
    found = LINEAR.read(
        weights,
        (n, d, d),
        name=name_of(path),
        activation=JumpRelu(threshold),
        hookpoint=source,
        target=target if target != source else None,
        provenance=provenance("llama_scope", files, scale=scale),
    )
    return replace(
        found,
        encoder=found.encoder * scale,
        decoder=found.decoder / scale,
        decoder_bias=found.decoder_bias / scale,
    )


def is_gemma_scope(path: Path) -> bool:
    return has(path, GEMMA[0]) or has(path, GEMMA_2[0])


def read_gemma_scope(path: Path) -> LinearDictionary:
    """Gemma Scope 1 (`params.npz`) and 2 (`params.safetensors` and `config.json`): JumpReLU throughout.

    Nothing is subtracted from the input. The first has the names in capitals. The second has transcoders with an
    affine skip connection, stored (d, d_out).

    Raises:
        UserError: another architecture than jump_relu, a cross-layer transcoder, weights that do not fit.
    """
    second = has(path, GEMMA_2[0])
    files = [path / name for name in (GEMMA_2 if second else GEMMA)]
    settings: Mapping[str, Any] = read_json(files[1]) if second else {}
    if settings.get("architecture", "jump_relu") != "jump_relu":
        found = settings["architecture"]
        raise UserError(f"Expected architecture jump_relu in {files[1]}, found {found!r}. Give another folder.")
    opened = Weights.open(files[0])
    weights = Weights(files[0], {name.lower(): tensor for name, tensor in opened.tensors.items()}, {})
    if "w_dec" in weights and weights.tensors["w_dec"].ndim == 3:
        raise UserError(
            f"Expected one target layer in {files[0]}, found a cross-layer transcoder. Convert it to "
            "circuit-tracer's files, which are read layer by layer."
        )
    layout = MATRICES._replace(encoder="w_enc", decoder="w_dec")
    n, d_out = layout.sizes(weights)
    skip, factor = weights.maybe("affine_skip_connection", None, d_out), weights.maybe("scaling_factor", n)
    source, target = settings.get("hf_hook_point_in"), settings.get("hf_hook_point_out")
    dictionary = layout.read(
        weights,
        (n, None, d_out),
        name=name_of(path),
        activation=JumpRelu(weights.take("threshold", n)),
        skip=None if skip is None else skip.T,
        hookpoint=source,
        target=target if target != source else None,
        provenance=provenance(
            "gemma_scope_2" if second else "gemma_scope", files, model=settings.get("model_name")
        ),
    )
    return dictionary if factor is None else replace(dictionary, decoder=dictionary.decoder * factor[:, None])


def is_circuit_tracer(path: Path) -> bool:
    return CIRCUIT_LAYER.fullmatch(path.name) is not None or bool(_members(path))


def _members(path: Path) -> list[Path]:
    """The layers' files in a folder, in order."""
    found = path.iterdir() if path.is_dir() else ()
    numbered = [(int(match[2]), file) for file in found if (match := CIRCUIT_LAYER.fullmatch(file.name))]
    return [file for _, file in sorted(numbered)]


def read_circuit_tracer(path: Path) -> LinearDictionary:
    """One layer of circuit-tracer's transcoders: `layer_3.safetensors` of a set, `W_enc_3.safetensors` of a CLT.

    Stored: W_enc (N, d), W_dec (N, d), W_skip (d_out, d). A cross-layer transcoder's W_dec_i is (N, layers from
    i, d): layer i's units write to it and all layers after it. Its units are read one layer at a time. They do not
    reconstruct a layer by themselves, and their directions are those in the layer that they read.

    Raises:
        UserError: a whole folder, of which a layer has to be named; weights that contradict each other.
    """
    match = CIRCUIT_LAYER.fullmatch(path.name)
    if match is None:
        members = _members(path)
        raise UserError(
            f"Expected one layer of the transcoders in {path}, found a folder of {len(members)}. "
            f"Name the layer's file, for example {members[0]}"
        )
    layer, crossing = int(match[2]), match[1] == "W_enc"
    end = f"_{layer}" if crossing else ""
    layout = Layout(f"W_enc{end}", f"b_enc{end}", f"W_dec{end}", f"b_dec{end}", encoder_rows=True)
    weights = Weights.open(path)
    n, d = layout.sizes(weights)
    width = weights.take(layout.encoder, n, None).shape[1]
    threshold = weights.maybe(f"threshold{end}" if crossing else "activation_function.threshold", n)
    files, given = [path], dict[str, Any]()
    if crossing:
        files.append(path.with_name(f"W_dec{end}.safetensors"))
        # What the units write in their own layer.
        given["decoder"] = Weights.open(files[1]).take(layout.decoder, n, None, d)[:, 0].clone()
    settings = _yaml(path.parent / CIRCUIT_SETTINGS)
    return layout.read(
        weights,
        (n, width, d),
        name=f"{'clt' if crossing else 'transcoder'}_{layer}",
        activation=Relu() if threshold is None else JumpRelu(threshold),
        skip=weights.maybe("W_skip", d, width),
        reconstructs=not crossing,
        hookpoint=_hook(settings, "feature_input_hook", layer),
        target=_hook(settings, "feature_output_hook", layer),
        provenance=provenance(
            "circuit_tracer_clt" if crossing else "circuit_tracer", files, model=settings.get("model_name")
        ),
        **given,
    )


def _yaml(path: Path) -> dict[str, Any]:
    """The set's settings; empty if there are none, since the weights say all but where they listen."""
    import yaml  # type: ignore[import-untyped]

    if not path.is_file():
        return {}
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UserError(f"Expected YAML settings in {path}, found something else. Download it again.")
    return found


def _hook(settings: dict[str, Any], name: str, layer: int) -> str | None:
    return f"blocks.{layer}.{settings[name]}" if name in settings else None
