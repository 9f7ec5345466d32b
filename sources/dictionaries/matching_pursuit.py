"""Matching pursuit (Mallat and Zhang 1993) as the encoder of a dictionary: MP-SAE, Costa et al. 2025.

1. The residual is the centred vector.
2. The unit whose decoder row has the largest product with the residual is chosen; the product is added to its
   activation, and product times row is taken from the residual.
3. That is repeated until the residual is short enough, no new unit comes in, or the rounds are used up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from neurogloss.sources.dictionaries.activations import Codes
from neurogloss.sources.dictionaries.linear import moved

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class MatchingPursuit:
    """A dictionary of N units for vectors of width d, tied: it has a decoder only."""

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

    def to(self, *args: Any, **kwargs: Any) -> MatchingPursuit:
        """The same dictionary with its tensors where and of the type that `torch.Tensor.to` would put them."""
        return moved(self, *args, **kwargs)
