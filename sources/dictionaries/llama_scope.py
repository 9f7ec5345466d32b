"""Llama Scope: `hyperparams.json` and `checkpoints/final.safetensors`; the R1-distill release has its own names.

Stored as of nn.Linear: encoder.weight (N, d), decoder.weight (d, N). The first was trained on vectors scaled to a
mean length of sqrt(d): with s = sqrt(d) / the mean length in the settings, the encoder becomes s W, its threshold
s theta, and the decoder and its bias are divided by s, as SAELens does when it reads them.
"""

from __future__ import annotations

from pathlib import Path

from neurogloss.errors import UserError
from neurogloss.sources.dictionaries.activations import JumpRelu
from neurogloss.sources.dictionaries.files import Weights, name_of, provenance, read_json, setting
from neurogloss.sources.dictionaries.linear import LinearDictionary

SETTINGS, WEIGHTS = "hyperparams.json", "checkpoints/final.safetensors"
R1_SETTINGS, R1_WEIGHTS = "config.json", "sae_weights.safetensors"


def recognises(path: Path) -> bool:
    return (path / SETTINGS).is_file() or ((path / R1_SETTINGS).is_file() and (path / R1_WEIGHTS).is_file())


def read(path: Path) -> LinearDictionary:
    """The dictionary in the folder `path`. Raises UserError where settings and weights contradict."""
    import torch

    distilled = not (path / SETTINGS).is_file()
    files = [path / (R1_SETTINGS if distilled else SETTINGS), path / (R1_WEIGHTS if distilled else WEIGHTS)]
    settings, weights = read_json(files[0]), Weights.open(files[1])
    d = setting(settings, "d_model", files[0])
    n = weights.take("encoder.bias", settings.get("d_sae")).shape[0]
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
    dictionary = LinearDictionary(
        name=name_of(path),
        encoder=weights.take("encoder.weight", n, d) * scale,
        encoder_bias=weights.take("encoder.bias", n),
        activation=JumpRelu(threshold),
        decoder=weights.take("decoder.weight", d, n).T / scale,
        decoder_bias=weights.take("decoder.bias", d) / scale,
        hookpoint=source,
        target=target if target != source else None,
        provenance=provenance("llama_scope", files, scale=scale),
    )
    weights.finish()
    return dictionary
