"""Dictionaries that are a linear map, an activation function and a linear map back.

1. Normalise the vector by its own statistics, if the dictionary was trained so.
2. Subtract the centre (the decoder's bias, for most autoencoders).
3. pre-activations = encoder x + encoder bias; the activation function turns them into codes.
4. Reconstruction = decoder^T codes + decoder bias, with step 1 undone, plus the skip connection's map of the
   vector if there is one.

A reader folds a scale that is the same for all vectors into the weights: it costs nothing here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from neurogloss.sources.dictionaries.activations import Activation, Codes, Movable

if TYPE_CHECKING:
    import torch

Norm = Literal["none", "layer_norm", "unit_rms"]
"""layer_norm: minus its mean, by its standard deviation (n - 1) + 1e-5. unit_rms: to length sqrt(width)."""

LAYER_NORM_EPSILON = 1e-5


@dataclass(frozen=True)
class LinearDictionary(Movable):
    """A dictionary of N units for vectors of width d that writes vectors of width d_out."""

    name: str
    encoder: torch.Tensor
    """(N, d)."""
    encoder_bias: torch.Tensor
    """(N,)."""
    activation: Activation
    decoder: torch.Tensor
    """(N, d_out)."""
    decoder_bias: torch.Tensor
    """(d_out,)."""
    centre: torch.Tensor | None = None
    """(d,), subtracted before encoding."""
    norm: Norm = "none"
    skip: torch.Tensor | None = None
    """(d_out, d)."""
    reconstructs: bool = True
    """False: its units alone do not make up the target (directions, one layer of a cross-layer transcoder)."""
    hookpoint: str | None = None
    target: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def width(self) -> int:
        return int(self.encoder.shape[1])

    @property
    def n_units(self) -> int:
        return int(self.encoder.shape[0])

    @property
    def signed(self) -> bool:
        return self.activation.signed

    @property
    def sparse(self) -> bool:
        return self.activation.sparse

    def encode(self, vectors: torch.Tensor) -> Codes:
        """(T, d) vectors to codes, in the weights' type."""
        import torch

        inputs = vectors.to(self.encoder.dtype)
        if self.norm != "none":
            mean, scale = self._statistics(inputs)
            inputs = (inputs - mean) / (scale + (LAYER_NORM_EPSILON if self.norm == "layer_norm" else 0.0))
        if self.centre is not None:
            inputs = inputs - self.centre
        return self.activation(torch.addmm(self.encoder_bias, inputs, self.encoder.T))

    def decode(self, codes: Codes, vectors: torch.Tensor) -> torch.Tensor | None:
        """(T, d_out), None where the dictionary does not reconstruct. Sparse codes are not made dense."""
        import torch

        if not self.reconstructs:
            return None
        inputs = vectors.to(self.decoder.dtype)
        if codes.units is None:
            out = codes.values @ self.decoder
        else:
            out = torch.nn.functional.embedding_bag(
                codes.units, self.decoder, mode="sum", per_sample_weights=codes.values
            )
        out = out + self.decoder_bias
        if self.norm != "none":
            mean, scale = self._statistics(inputs)
            out = out * scale + mean
        return out if self.skip is None else out + inputs @ self.skip.T

    def directions(self) -> torch.Tensor:
        """(N, d_out): rows of the decoder. Under a norm, times the scale of the vector that is steered."""
        return self.decoder

    def _statistics(self, inputs: torch.Tensor) -> tuple[torch.Tensor | float, torch.Tensor]:
        """What each vector is shifted and divided by: (T, 1) each."""
        if self.norm == "layer_norm":
            return inputs.mean(1, keepdim=True), inputs.std(1, keepdim=True)
        return 0.0, inputs.norm(dim=1, keepdim=True) / self.width**0.5
