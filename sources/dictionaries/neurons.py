"""Units that need no file: neurons, the coordinates of a hookpoint, and attention heads.

At the input of an attention's output projection, head h is a block of the coordinates. A head's activation is the
length of its block, as in norm-based analyses of attention (Kobayashi et al. 2020); it is not negative, and never
exactly zero. A head writes another direction at every token: it has none of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from neurogloss.errors import UserError
from neurogloss.sources.dictionaries.activations import Codes

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Neurons:
    """The coordinates of a hookpoint of the given width, both signs; never exactly zero."""

    width: int
    name: str = "neurons"
    signed: bool = True
    sparse: bool = False
    hookpoint: str | None = None
    target: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=lambda: {"format": "neurons"})

    @property
    def n_units(self) -> int:
        return self.width

    def encode(self, vectors: torch.Tensor) -> Codes:
        """(T, width) as they are."""
        return Codes(vectors, None, self.width)

    def decode(self, codes: Codes, vectors: torch.Tensor) -> None:
        """Nothing to reconstruct."""

    def directions(self) -> torch.Tensor:
        """(width, width): the identity."""
        import torch

        return torch.eye(self.width)

    def to(self, *args: Any, **kwargs: Any) -> Neurons:
        """The same: it has no tensors."""
        return self


@dataclass(frozen=True)
class Heads:
    """The heads of an attention whose concatenated outputs have the given width."""

    width: int
    n_units: int
    name: str = "heads"
    signed: bool = False
    sparse: bool = False
    hookpoint: str | None = None
    target: str | None = None

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

    def decode(self, codes: Codes, vectors: torch.Tensor) -> None:
        """Nothing to reconstruct."""

    def directions(self) -> None:
        """A head's direction differs from token to token."""

    def to(self, *args: Any, **kwargs: Any) -> Heads:
        """The same: it has no tensors."""
        return self
