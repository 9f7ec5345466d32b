"""EleutherAI sparsify folders: `cfg.json` and `sae.safetensors`, named after their hookpoint.

Stored: encoder.weight (N, d), W_dec (N, d). An autoencoder reads x - b_dec, a transcoder x.
"""

from __future__ import annotations

from pathlib import Path

from neurogloss.errors import UserError
from neurogloss.sources.dictionaries.activations import Activation, GroupMax, TopK
from neurogloss.sources.dictionaries.files import Weights, active_count, name_of, provenance, read_json, setting
from neurogloss.sources.dictionaries.linear import LinearDictionary

SETTINGS, WEIGHTS = "cfg.json", "sae.safetensors"


def recognises(path: Path) -> bool:
    return (path / SETTINGS).is_file() and (path / WEIGHTS).is_file()


def read(path: Path) -> LinearDictionary:
    """The dictionary in the folder `path`. Raises UserError where settings and weights contradict."""
    found, weights = read_json(path / SETTINGS), Weights.open(path / WEIGHTS)
    d = setting(found, "d_in", path / SETTINGS)
    n = found.get("num_latents") or d * setting(found, "expansion_factor", path / SETTINGS)
    k = active_count(found.get("k"), n, path / SETTINGS)
    if found.get("signed"):
        raise UserError(
            f"Expected an unsigned dictionary at {path}, found one of the older signed kind. Train it anew."
        )
    activation: Activation = GroupMax(k) if found.get("activation") == "groupmax" else TopK(k)
    transcodes = bool(found.get("transcode"))
    decoder_bias = weights.take("b_dec", d)
    hookpoint = path.resolve().name
    dictionary = LinearDictionary(
        name=name_of(path),
        encoder=weights.take("encoder.weight", n, d),
        encoder_bias=weights.take("encoder.bias", n),
        activation=activation,
        decoder=weights.take("W_dec", n, d),
        decoder_bias=decoder_bias,
        centre=None if transcodes else decoder_bias,
        skip=weights.take("W_skip", d, d) if found.get("skip_connection") else None,
        hookpoint=f"{hookpoint}.input" if transcodes else hookpoint,
        target=hookpoint if transcodes else None,
        provenance=provenance("sparsify", [path / SETTINGS, path / WEIGHTS], k=k),
    )
    weights.finish()
    return dictionary
