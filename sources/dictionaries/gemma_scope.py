"""Gemma Scope 1 (`params.npz`) and 2 (`params.safetensors` and `config.json`): JumpReLU throughout.

Stored: w_enc (d, N), w_dec (N, d_out), the names in capitals in the first; nothing is subtracted from the input.
The second has transcoders with an affine skip connection, stored (d, d_out).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neurogloss.errors import UserError
from neurogloss.sources.dictionaries.activations import JumpRelu
from neurogloss.sources.dictionaries.files import Weights, name_of, provenance, read_json
from neurogloss.sources.dictionaries.linear import LinearDictionary

FIRST, SECOND, SETTINGS = "params.npz", "params.safetensors", "config.json"


def recognises(path: Path) -> bool:
    return (path / FIRST).is_file() or (path / SECOND).is_file()


def read(path: Path) -> LinearDictionary:
    """The dictionary in the folder `path`.

    Raises:
        UserError: another architecture than jump_relu, a cross-layer transcoder, weights that do not fit.
    """
    second = (path / SECOND).is_file()
    file = path / (SECOND if second else FIRST)
    settings: Mapping[str, Any] = read_json(path / SETTINGS) if second else {}
    if settings.get("architecture", "jump_relu") != "jump_relu":
        found = settings["architecture"]
        raise UserError(
            f"Expected architecture jump_relu in {path / SETTINGS}, found {found!r}. Give another folder."
        )
    opened = Weights.open(file)
    weights = Weights(file, {name.lower(): tensor for name, tensor in opened.tensors.items()}, {})
    if "w_dec" in weights and weights.tensors["w_dec"].ndim == 3:
        raise UserError(
            f"Expected one target layer in {file}, found a cross-layer transcoder. Convert it to circuit-tracer's "
            "files, which are read layer by layer."
        )
    n, d_out = weights.take("b_enc", None).shape[0], weights.take("b_dec", None).shape[0]
    skip = weights.maybe("affine_skip_connection", None, d_out)
    source, target = settings.get("hf_hook_point_in"), settings.get("hf_hook_point_out")
    encoder = weights.take("w_enc", None, n).T
    decoder, factor = weights.take("w_dec", n, d_out), weights.maybe("scaling_factor", n)
    dictionary = LinearDictionary(
        name=name_of(path),
        encoder=encoder,
        encoder_bias=weights.take("b_enc", n),
        activation=JumpRelu(weights.take("threshold", n)),
        decoder=decoder if factor is None else decoder * factor[:, None],
        decoder_bias=weights.take("b_dec", d_out),
        skip=None if skip is None else skip.T,
        hookpoint=source,
        target=target if target != source else None,
        provenance=provenance(
            "gemma_scope_2" if second else "gemma_scope",
            [file, path / SETTINGS] if second else [file],
            model=settings.get("model_name"),
        ),
    )
    weights.finish()
    return dictionary
