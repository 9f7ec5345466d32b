"""circuit-tracer's transcoders, a layer at a time: `layer_3.safetensors` of a set, `W_enc_3.safetensors` of a CLT.

Stored: W_enc (N, d), W_dec (N, d), W_skip (d_out, d). A cross-layer transcoder's W_dec_i is (N, layers from i, d):
layer i's units write to it and all layers after it. Its units are read here one layer at a time. They do not
reconstruct a layer by themselves, and their directions are those in the layer that they read.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurogloss.errors import UserError
from neurogloss.sources.dictionaries.activations import Activation, JumpRelu, Relu
from neurogloss.sources.dictionaries.files import Weights, provenance
from neurogloss.sources.dictionaries.linear import LinearDictionary

if TYPE_CHECKING:
    import torch

LAYER = re.compile(r"(layer|W_enc)_(\d+)\.safetensors")
SETTINGS = "config.yaml"


def recognises(path: Path) -> bool:
    return LAYER.fullmatch(path.name) is not None or bool(members(path))


def members(path: Path) -> list[Path]:
    """The layers' files in a folder, in order."""
    found = path.iterdir() if path.is_dir() else ()
    numbered = [(int(match[2]), file) for file in found if (match := LAYER.fullmatch(file.name))]
    return [file for _, file in sorted(numbered)]


def read(path: Path) -> LinearDictionary:
    """The dictionary of one layer, from its file.

    Raises:
        UserError: a whole folder, where a layer has to be named; weights that contradict each other.
    """
    match = LAYER.fullmatch(path.name)
    if match is None:
        raise UserError(
            f"Expected one layer of the transcoders in {path}, found a folder of {len(members(path))}. "
            f"Name the layer's file, for example {members(path)[0]}"
        )
    layer, crossing = int(match[2]), match[1] == "W_enc"
    end = f"_{layer}" if crossing else ""
    weights = Weights.open(path)
    n, d = weights.take(f"b_enc{end}", None).shape[0], weights.take(f"b_dec{end}", None).shape[0]
    encoder = weights.take(f"W_enc{end}", n, None)
    threshold = weights.maybe(f"threshold{end}" if crossing else "activation_function.threshold", n)
    activation: Activation = Relu() if threshold is None else JumpRelu(threshold)
    decoder, others = _crossing_decoder(path, layer, n, d) if crossing else (weights.take("W_dec", n, d), [])
    settings = _settings(path.parent)
    dictionary = LinearDictionary(
        name=f"{'clt' if crossing else 'transcoder'}_{layer}",
        encoder=encoder,
        encoder_bias=weights.take(f"b_enc{end}", n),
        activation=activation,
        decoder=decoder,
        decoder_bias=weights.take(f"b_dec{end}", d),
        skip=weights.maybe("W_skip", d, encoder.shape[1]),
        reconstructs=not crossing,
        hookpoint=_hook(settings, "feature_input_hook", layer),
        target=_hook(settings, "feature_output_hook", layer),
        provenance=provenance(
            "circuit_tracer_clt" if crossing else "circuit_tracer",
            [path, *others],
            model=settings.get("model_name"),
        ),
    )
    weights.finish()
    return dictionary


def _crossing_decoder(path: Path, layer: int, n: int, d: int) -> tuple[torch.Tensor, list[Path]]:
    """(n, d): what the units write in their own layer."""
    file = path.with_name(f"W_dec_{layer}.safetensors")
    weights = Weights.open(file)
    return weights.take(f"W_dec_{layer}", n, None, d)[:, 0].clone(), [file]


def _settings(folder: Path) -> dict[str, Any]:
    """The set's settings; empty where there are none, since the weights say all but where they listen."""
    import yaml  # type: ignore[import-untyped]

    if not (folder / SETTINGS).is_file():
        return {}
    try:
        found = yaml.safe_load((folder / SETTINGS).read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UserError(f"Expected YAML settings in {folder / SETTINGS}, found something else. Download it again.")
    return found


def _hook(settings: dict[str, Any], name: str, layer: int) -> str | None:
    return f"blocks.{layer}.{settings[name]}" if name in settings else None
