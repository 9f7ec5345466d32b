"""dictionary_learning folders (`trainer_0`, …): `config.json` and `ae.pt`.

Stored as of nn.Linear, encoder.weight (N, d) and decoder.weight (d, N), or as W_enc (d, N) and W_dec (N, d). Every
class but AutoEncoderNew and JumpReluAutoEncoder subtracts the decoder's bias before encoding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import neurogloss.sources.dictionaries.activations as act
from neurogloss.errors import UserError
from neurogloss.sources.dictionaries.files import Weights, active_count, name_of, provenance, read_json, setting
from neurogloss.sources.dictionaries.linear import LinearDictionary

SETTINGS, WEIGHTS = "config.json", "ae.pt"


def recognises(path: Path) -> bool:
    return (path / SETTINGS).is_file() and (path / WEIGHTS).is_file()


def read(path: Path) -> LinearDictionary:
    """The dictionary in the folder `path`.

    Raises:
        UserError: a class that is not known, settings and weights that contradict.
    """
    trainer = setting(read_json(path / SETTINGS), "trainer", path / SETTINGS, dict)
    kind = trainer.get("dict_class")
    if kind not in READERS:
        raise UserError(
            f"Expected one of {', '.join(READERS)} as dict_class in {path / SETTINGS}, found {kind!r}. "
            "Save the matrices under plain names to use them."
        )
    d, n = (setting(trainer, name, path / SETTINGS) for name in ("activation_dim", "dict_size"))
    weights = Weights.open(path / WEIGHTS)
    dictionary = replace(
        READERS[kind](weights, d, n),
        name=name_of(path),
        hookpoint=_hookpoint(trainer),
        provenance=provenance(
            "dictionary_learning",
            [path / SETTINGS, path / WEIGHTS],
            architecture=kind,
            k=trainer.get("k"),
            model=trainer.get("lm_name"),
        ),
    )
    stated, found = trainer.get("k"), weights.number("k")
    if stated is not None and found is not None and stated != found:
        raise UserError(
            f"Expected k = {stated}, as {path / SETTINGS} says, found {found:.0f} in {path / WEIGHTS}. "
            "Give settings and weights of one training."
        )
    weights.ignore("threshold", "group_sizes")
    weights.finish()
    return dictionary


def _linear(weights: Weights, d: int, n: int, activation: act.Activation, bias: str) -> LinearDictionary:
    """One of nn.Linear layers that centres by `bias`."""
    encoder = weights.take("encoder.weight", n, d)
    encoder_bias = weights.maybe("encoder.bias", n)
    centre = weights.take(bias, d)
    return LinearDictionary(
        name="",
        encoder=encoder,
        encoder_bias=encoder.new_zeros(n) if encoder_bias is None else encoder_bias,
        activation=activation,
        decoder=weights.take("decoder.weight", d, n).T,
        decoder_bias=centre,
        centre=centre,
    )


def _standard(weights: Weights, d: int, n: int) -> LinearDictionary:
    """With the decoder's rows made of length 1, as the library does when it reads one."""
    found = _linear(weights, d, n, act.Relu(), "bias")
    lengths = found.decoder.norm(dim=1)
    return replace(
        found,
        encoder=found.encoder * lengths[:, None],
        encoder_bias=found.encoder_bias * lengths,
        decoder=found.decoder / lengths[:, None],
    )


def _new(weights: Weights, d: int, n: int) -> LinearDictionary:
    return replace(_linear(weights, d, n, act.Relu(), "decoder.bias"), centre=None)


def _gated(weights: Weights, d: int, n: int) -> LinearDictionary:
    gate, scale, bias = (weights.take(name, n) for name in ("gate_bias", "r_mag", "mag_bias"))
    return _linear(weights, d, n, act.Gated(gate, scale.exp(), bias), "decoder_bias")


def _top_k(weights: Weights, d: int, n: int) -> LinearDictionary:
    return _linear(weights, d, n, act.TopK(active_count(weights.number("k"), n, weights.path)), "b_dec")


def _batch_top_k(weights: Weights, d: int, n: int) -> LinearDictionary:
    return _linear(weights, d, n, act.JumpRelu(_threshold(weights)), "b_dec")


def _matryoshka(weights: Weights, d: int, n: int) -> LinearDictionary:
    found = _matrices(weights, d, n, act.JumpRelu(_threshold(weights)))
    return replace(found, centre=found.decoder_bias)


def _jump_relu(weights: Weights, d: int, n: int) -> LinearDictionary:
    return _matrices(weights, d, n, act.JumpRelu(weights.take("threshold", n)))


def _matrices(weights: Weights, d: int, n: int, activation: act.Activation) -> LinearDictionary:
    return LinearDictionary(
        name="",
        encoder=weights.take("W_enc", d, n).T,
        encoder_bias=weights.take("b_enc", n),
        activation=activation,
        decoder=weights.take("W_dec", n, d),
        decoder_bias=weights.take("b_dec", d),
    )


def _threshold(weights: Weights) -> Any:
    threshold = weights.take("threshold").reshape(1)
    if threshold < 0:
        raise UserError(
            f"Expected a threshold of 0 or more in {weights.path}, found {float(threshold):g}: its training ended "
            "before one was set, and a batch-top-k dictionary has no codes of its own without it. Train it longer."
        )
    return threshold


def _hookpoint(trainer: Mapping[str, Any]) -> str | None:
    """The library names modules freely; only a residual stream's name says which module is meant."""
    layer, name = trainer.get("layer"), str(trainer.get("submodule_name", ""))
    return f"layers.{layer}" if isinstance(layer, int) and name.startswith("resid_post") else None


READERS: Mapping[str, Callable[[Weights, int, int], LinearDictionary]] = {
    "AutoEncoder": _standard,
    "AutoEncoderNew": _new,
    "GatedAutoEncoder": _gated,
    "AutoEncoderTopK": _top_k,
    "BatchTopKSAE": _batch_top_k,
    "MatryoshkaBatchTopKSAE": _matryoshka,
    "JumpReluAutoEncoder": _jump_relu,
}
