"""Raw neurons: the identity as a dictionary. Its units are the hookpoint's own coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Neurons:
    """The coordinates of a hookpoint of the given width, both signs; never exactly zero."""

    n_units: int
    name: str = "neurons"
    signed: bool = True
    sparse: bool = False

    def encode(self, vectors: torch.Tensor) -> torch.Tensor:
        """(..., n_units) to the same."""
        return vectors

    def directions(self) -> torch.Tensor:
        """(n_units, n_units): the identity."""
        import torch

        return torch.eye(self.n_units)
