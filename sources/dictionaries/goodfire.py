"""Goodfire's Llama autoencoders, and DeepSeek-R1's of that kind: one `.pt` file, ReLU, nothing subtracted.

Stored as of nn.Linear: encoder_linear.weight (N, d), decoder_linear.weight (d, N); or encoder and decoder.
"""

from __future__ import annotations

from pathlib import Path

from neurogloss.sources.dictionaries.activations import Relu
from neurogloss.sources.dictionaries.files import PICKLES, Weights, name_of, names_in, provenance
from neurogloss.sources.dictionaries.linear import LinearDictionary

ENDS = ("_linear", "")


def recognises(path: Path) -> bool:
    return path.name.endswith(PICKLES) and _end(names_in(path)) is not None


def _end(names: frozenset[str]) -> str | None:
    """What stands after `encoder` and `decoder` in the names."""
    for end in ENDS:
        if names == {f"{side}{end}.{part}" for side in ("encoder", "decoder") for part in ("weight", "bias")}:
            return end
    return None


def read(path: Path) -> LinearDictionary:
    """The dictionary in the file `path`. Raises UserError where its weights contradict each other."""
    weights, end = Weights.open(path), _end(names_in(path)) or ""
    encoder_bias, decoder_bias = (weights.take(f"{side}{end}.bias", None) for side in ("encoder", "decoder"))
    n, d = len(encoder_bias), len(decoder_bias)
    return LinearDictionary(
        name=name_of(path),
        encoder=weights.take(f"encoder{end}.weight", n, d),
        encoder_bias=encoder_bias,
        activation=Relu(),
        decoder=weights.take(f"decoder{end}.weight", d, n).T,
        decoder_bias=decoder_bias,
        provenance=provenance("goodfire" if end else "deepseek_r1", [path]),
    )
