"""Qwen Scope: `layer12.sae.pt` in a folder whose name ends in `W32K-L0_50`; top-k, nothing subtracted.

Stored: W_enc (N, d), W_dec (d, N). How many units are active stands in the folder's name alone.
"""

from __future__ import annotations

import re
from pathlib import Path

from neurogloss.errors import UserError
from neurogloss.sources.dictionaries.activations import TopK
from neurogloss.sources.dictionaries.files import Weights, active_count, provenance
from neurogloss.sources.dictionaries.linear import LinearDictionary

FILE = re.compile(r"layer(\d+)\.sae\.pt")


def recognises(path: Path) -> bool:
    return FILE.fullmatch(path.name) is not None


def read(path: Path) -> LinearDictionary:
    """The dictionary in the file `path`. Raises UserError where the folder's name does not tell k."""
    match, stated = FILE.fullmatch(path.name), re.search(r"L0_(\d+)", path.resolve().parent.name)
    if match is None or stated is None:
        raise UserError(
            f"Expected {path} as layerN.sae.pt in a folder named as released (…-W32K-L0_50), which tells how "
            f"many units are active; found the folder {path.resolve().parent.name}. Give it that name."
        )
    weights = Weights.open(path)
    n, d = weights.take("b_enc", None).shape[0], weights.take("b_dec", None).shape[0]
    k = active_count(int(stated[1]), n, path)
    dictionary = LinearDictionary(
        name=f"layer{match[1]}",
        encoder=weights.take("W_enc", n, d),
        encoder_bias=weights.take("b_enc", n),
        activation=TopK(k),
        decoder=weights.take("W_dec", d, n).T,
        decoder_bias=weights.take("b_dec", d),
        hookpoint=f"layers.{match[1]}",
        provenance=provenance("qwen_scope", [path], k=k),
    )
    weights.finish()
    return dictionary
