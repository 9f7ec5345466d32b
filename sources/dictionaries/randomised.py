"""A dictionary with nothing to explain: random directions in place of another's, active as often.

What labels and scores reach on it is a floor for those of the other: random transformers are explained nearly as
well as trained ones (Heap et al. 2025, arXiv:2501.17727); Paulo et al. 2024 (arXiv:2410.13928) take a random SAE.

1. Each unit's encoder and decoder row is drawn from a normal distribution and given the length of the original's.
   One direction serves for both where they lie in one space, as in an autoencoder that was only initialised.
2. The vector is normalised and centred as for the original, and the encoder biases are left out: they belong to
   the directions that they were trained with.
3. At each token as many units are active as of the original, those with the largest pre-activations (largest in
   magnitude, where the original is signed). So tokens are as dense as they were, whatever the activation function.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from neurogloss.errors import UserError
from neurogloss.ids import derive_seed
from neurogloss.sources.dictionaries.activations import Codes, Identity
from neurogloss.sources.dictionaries.linear import LinearDictionary, moved

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class Randomised(LinearDictionary):
    """Random rows, whose pre-activations are ranked. It reconstructs nothing."""

    original: LinearDictionary

    @property
    def signed(self) -> bool:
        return self.original.signed

    @property
    def sparse(self) -> bool:
        return True

    def encode(self, vectors: torch.Tensor) -> Codes:
        """(T, width) to the codes of as many units a vector as the original has there, or fewer: an activation is
        above 0 unless the original is signed.
        """
        import torch

        counts = (self.original.encode(vectors).values != 0).sum(1, keepdim=True)
        most = max(int(counts.max()), 1) if len(counts) else 1
        pre = super().encode(vectors).values
        units = (pre.abs() if self.signed else pre).topk(most, dim=1).indices
        active = torch.arange(most, device=counts.device) < counts
        found = pre.gather(1, units) * active
        return Codes(found if self.signed else found.relu(), units, self.n_units)

    def to(self, *args: Any, **kwargs: Any) -> Randomised:
        """The same dictionary with its tensors where and of the type that `torch.Tensor.to` would put them."""
        return replace(moved(self, *args, **kwargs), original=self.original.to(*args, **kwargs))


def randomised(original: object, seed: int) -> Randomised:
    """The dictionary with random directions in place of its own; the same seed draws the same.

    Raises:
        UserError: one that has no encoder and decoder rows, or is never exactly zero.
    """
    if not isinstance(original, LinearDictionary) or not original.sparse:
        name = getattr(original, "name", "this one")
        raise UserError(
            f"Expected a sparse dictionary with an encoder and a decoder to randomise, found {name}. "
            "Name an SAE or a transcoder, or save random rows and give them as directions:FILE."
        )
    encoder, decoder = original.encoder, original.decoder
    drawn = _like(encoder, seed, "encoder")
    same_space = original.target is None and encoder.shape == decoder.shape
    rows = _with_lengths(drawn if same_space else _like(decoder, seed, "decoder"), decoder)
    return Randomised(
        original=original,
        name=f"random-{seed}-{original.name}",
        encoder=_with_lengths(drawn, encoder),
        encoder_bias=original.encoder_bias.new_zeros(original.n_units),
        activation=Identity(),
        decoder=rows,
        decoder_bias=original.decoder_bias.new_zeros(original.decoder_bias.shape),
        centre=original.centre,
        norm=original.norm,
        reconstructs=False,
        hookpoint=original.hookpoint,
        target=original.target,
        provenance={**original.provenance, "randomised": seed},
    )


def _like(rows: torch.Tensor, seed: int, of: str) -> torch.Tensor:
    import torch

    generator = torch.Generator().manual_seed(derive_seed(seed, "randomised", of) % 2**63)
    return torch.randn(rows.shape, generator=generator).to(rows)


def _with_lengths(rows: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    return rows * (others.norm(dim=1, keepdim=True) / rows.norm(dim=1, keepdim=True))
