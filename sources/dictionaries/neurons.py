"""Raw neurons: the identity as a dictionary. Its units are the hookpoint's own coordinates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from neurogloss.sources.codes import Codes

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
