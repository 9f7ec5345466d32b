"""Dictionaries that are not a stored linear map: neurons, attention heads, matching pursuit, random directions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from neurogloss.errors import UserError
from neurogloss.ids import derive_seed
from neurogloss.sources.dictionaries.activations import Codes, Identity, Movable
from neurogloss.sources.dictionaries.linear import LinearDictionary

if TYPE_CHECKING:
    import torch


class Coordinates(Movable):
    """Base of dictionaries that need no file. There is nothing to reconstruct."""

    sparse: ClassVar[bool] = False
    hookpoint: ClassVar[str | None] = None
    target: ClassVar[str | None] = None

    def decode(self, codes: Codes, vectors: torch.Tensor) -> None:
        """None."""


@dataclass(frozen=True)
class Neurons(Coordinates):
    """The coordinates of a hookpoint of the given width, both signs; never exactly zero."""

    width: int
    name: str = "neurons"
    signed: bool = True
    provenance: Mapping[str, Any] = field(default_factory=lambda: {"format": "neurons"})

    @property
    def n_units(self) -> int:
        return self.width

    def encode(self, vectors: torch.Tensor) -> Codes:
        """(T, width) as they are."""
        return Codes(vectors, None, self.width)

    def directions(self) -> torch.Tensor:
        """(width, width): the identity."""
        import torch

        return torch.eye(self.width)


@dataclass(frozen=True)
class Heads(Coordinates):
    """The heads of an attention layer, at the input of its output projection, which has the given width.

    Head h is a block of the coordinates. Its activation is the length of that block, as in norm-based analyses of
    attention (Kobayashi et al. 2020): not negative, and never exactly zero. A head writes another direction at
    every token, so it has no direction of its own.
    """

    width: int
    n_units: int
    name: str = "heads"
    signed: bool = False

    def __post_init__(self) -> None:
        if self.n_units < 1 or self.width % self.n_units:
            raise UserError(
                f"Expected a number of heads that divides the width {self.width}, found {self.n_units}. "
                "Listen at the input of the output projection: …self_attn.o_proj.input"
            )

    @property
    def provenance(self) -> Mapping[str, Any]:
        return {"format": "heads", "heads": self.n_units}

    def encode(self, vectors: torch.Tensor) -> Codes:
        """(T, width) to the (T, heads) lengths of the blocks."""
        return Codes(vectors.unflatten(1, (self.n_units, -1)).norm(dim=2), None, self.n_units)

    def directions(self) -> None:
        """None."""


@dataclass(frozen=True)
class MatchingPursuit(Movable):
    """N units for vectors of width d, tied, encoded by matching pursuit (Mallat and Zhang 1993).

    This is the MP-SAE of Costa et al. 2025:

    1. The residual is the centred vector.
    2. Choose the unit whose decoder row has the largest product with the residual. Add the product to its
       activation, and take product times row from the residual.
    3. Repeat until the residual is short enough, no new unit comes in, or the rounds are used up.
    """

    name: str
    decoder: torch.Tensor
    """(N, d)."""
    centre: torch.Tensor | None
    """(d,), subtracted before and added after."""
    residual_threshold: float
    """A residual shorter than this is left alone; 0: never."""
    max_iterations: int
    stop_on_same_support: bool
    hookpoint: str | None = None
    target: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    signed: bool = False
    sparse: bool = True

    @property
    def width(self) -> int:
        return int(self.decoder.shape[1])

    @property
    def n_units(self) -> int:
        return int(self.decoder.shape[0])

    def encode(self, vectors: torch.Tensor) -> Codes:
        """(T, d) vectors to (T, N) codes."""
        import torch

        residual = vectors.to(self.decoder.dtype)
        if self.centre is not None:
            residual = residual - self.centre
        values = residual.new_zeros(len(residual), self.n_units)
        going = torch.ones(len(residual), dtype=torch.bool, device=residual.device)
        for _ in range(self.max_iterations):
            units = (residual @ self.decoder.T).relu().argmax(1)
            rows = self.decoder[units]
            steps = (residual * rows).sum(1).relu() * going
            known = values.gather(1, units[:, None])[:, 0] != 0
            values.scatter_add_(1, units[:, None], steps[:, None])
            residual = residual - steps[:, None] * rows
            if self.stop_on_same_support:
                going = going & ~known & (steps != 0)
            if self.residual_threshold > 0:
                going = going & (residual.norm(dim=1) >= self.residual_threshold)
            if not going.any():
                break
        return Codes(values, None, self.n_units)

    def decode(self, codes: Codes, vectors: torch.Tensor) -> torch.Tensor:
        """(T, d)."""
        out = codes.dense() @ self.decoder
        return out if self.centre is None else out + self.centre

    def directions(self) -> torch.Tensor:
        """(N, d): rows of the decoder."""
        return self.decoder


@dataclass(frozen=True, kw_only=True)
class Randomised(LinearDictionary):
    """Random directions in place of another dictionary's, as often active: a baseline with nothing to explain.

    Random transformers are explained nearly as well as trained ones (Heap et al. 2025, arXiv:2501.17727); Paulo et
    al. 2024 (arXiv:2410.13928) take a random SAE.

    1. Draw each unit's encoder and decoder row from a normal distribution, and give it the length of the
       original's. One direction serves for both if they lie in one space, as in an autoencoder that was only
       initialised.
    2. Normalise and centre the vector as for the original. Leave the encoder biases out: they belong to the
       directions that they were trained with.
    3. At each token, keep as many units as are active of the original: those with the largest pre-activations
       (largest in magnitude, if the original is signed). So tokens are as dense as they were, whatever the
       activation function.
    """

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


def randomised(original: object, seed: int) -> Randomised:
    """The dictionary with random directions in place of its own; the same seed draws the same.

    Raises:
        UserError: the original has no encoder and decoder rows, or its units are never exactly zero.
    """
    if not isinstance(original, LinearDictionary) or isinstance(original, Randomised) or not original.sparse:
        name = getattr(original, "name", "this one")
        raise UserError(
            f"Expected a sparse dictionary with an encoder and a decoder to randomise, found {name}. "
            "Name an SAE or a transcoder, or save random rows and give them as directions:FILE."
        )
    encoder, decoder = original.encoder, original.decoder
    drawn = _like(encoder, seed, "encoder")
    same_space = original.target is None and encoder.shape == decoder.shape
    return Randomised(
        original=original,
        name=f"random-{seed}-{original.name}",
        encoder=_with_lengths(drawn, encoder),
        encoder_bias=original.encoder_bias.new_zeros(original.n_units),
        activation=Identity(),
        decoder=_with_lengths(drawn if same_space else _like(decoder, seed, "decoder"), decoder),
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
