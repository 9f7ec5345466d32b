"""OpenAI's autoencoders for GPT-2 (Gao et al. 2024): one `.pt` file.

Stored as of nn.Linear: encoder.weight (N, d), decoder.weight (d, N). With top-k, each vector is normalised by its
own mean and standard deviation, which is undone at the end. pre_bias is subtracted and added in between.
"""

from __future__ import annotations

from pathlib import Path

from neurogloss.errors import UserError
from neurogloss.sources.dictionaries.activations import Activation, Relu, TopK
from neurogloss.sources.dictionaries.files import Weights, active_count, name_of, names_in, provenance
from neurogloss.sources.dictionaries.linear import LinearDictionary


def recognises(path: Path) -> bool:
    return {"pre_bias", "latent_bias"} <= names_in(path)


def read(path: Path) -> LinearDictionary:
    """The dictionary in the file `path`. Raises UserError for an activation function other than TopK and ReLU."""
    weights = Weights.open(path)
    d, n = weights.take("pre_bias", None).shape[0], weights.take("latent_bias", None).shape[0]
    named = weights.values.get("activation", "ReLU")
    if named not in ("TopK", "ReLU"):
        raise UserError(f"Expected the activation TopK or ReLU in {path}, found {named!r}. Give another file.")
    top = named == "TopK"
    k = active_count(weights.number("activation_state_dict.k"), n, path) if top else None
    activation: Activation = Relu() if k is None else TopK(k)
    centre = weights.take("pre_bias", d)
    dictionary = LinearDictionary(
        name=name_of(path),
        encoder=weights.take("encoder.weight", n, d),
        encoder_bias=weights.take("latent_bias", n),
        activation=activation,
        decoder=weights.take("decoder.weight", d, n).T,
        decoder_bias=centre,
        centre=centre,
        norm="layer_norm" if top else "none",
        provenance=provenance("openai_topk", [path], k=k, normalisation="layer_norm" if top else "none"),
    )
    weights.ignore("stats_last_nonzero")
    weights.finish()
    return dictionary
