"""What turns pre-activations into codes: one frozen dataclass for each activation function.

Each is called with (T, N) pre-activations and gives `Codes`. Nothing here changes what it is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from neurogloss.sources.codes import Codes, top_k

if TYPE_CHECKING:
    import torch


class Activation(Protocol):
    """From pre-activations to activations."""

    signed: ClassVar[bool]
    """Whether activations can be negative."""
    sparse: ClassVar[bool]
    """Whether inactive means exactly zero."""

    def __call__(self, pre: torch.Tensor) -> Codes: ...


@dataclass(frozen=True)
class Identity:
    """Pre-activations as they are."""

    signed: ClassVar[bool] = True
    sparse: ClassVar[bool] = False

    def __call__(self, pre: torch.Tensor) -> Codes:
        return Codes(pre, None, pre.shape[1])


@dataclass(frozen=True)
class Relu:
    """What is above 0 (Cunningham et al. 2023, Bricken et al. 2023)."""

    signed: ClassVar[bool] = False
    sparse: ClassVar[bool] = True

    def __call__(self, pre: torch.Tensor) -> Codes:
        return Codes(pre.relu(), None, pre.shape[1])


@dataclass(frozen=True)
class JumpRelu:
    """What is above a threshold, not lowered by it (Rajamanoharan et al. 2024); batch-top-k at inference."""

    threshold: torch.Tensor
    """(N,) or (1,); below 0 it acts as 0."""
    signed: ClassVar[bool] = False
    sparse: ClassVar[bool] = True

    def __call__(self, pre: torch.Tensor) -> Codes:
        return Codes(_above(pre, self.threshold.clamp(min=0)).mul_(pre), None, pre.shape[1])


@dataclass(frozen=True)
class TopK:
    """The k largest of each vector that are above 0 (Gao et al. 2024)."""

    k: int
    signed: ClassVar[bool] = False
    sparse: ClassVar[bool] = True

    def __call__(self, pre: torch.Tensor) -> Codes:
        values, units = top_k(pre, self.k)
        return Codes(values.relu(), units, pre.shape[1])


@dataclass(frozen=True)
class AbsTopK:
    """The k of each vector that are largest in magnitude, with their sign."""

    k: int
    signed: ClassVar[bool] = True
    sparse: ClassVar[bool] = True

    def __call__(self, pre: torch.Tensor) -> Codes:
        _, units = top_k(pre.abs(), self.k)
        return Codes(pre.gather(1, units), units, pre.shape[1])


@dataclass(frozen=True)
class Codebook:
    """1 for each of the k units with the largest pre-activations, whatever their sign (Tamkin et al. 2023)."""

    k: int
    signed: ClassVar[bool] = False
    sparse: ClassVar[bool] = True

    def __call__(self, pre: torch.Tensor) -> Codes:
        values, units = top_k(pre, self.k)
        return Codes(values.new_ones(values.shape), units, pre.shape[1])


@dataclass(frozen=True)
class GroupMax:
    """The largest of each of k equal runs of units, where it is above 0."""

    k: int
    signed: ClassVar[bool] = False
    sparse: ClassVar[bool] = True

    def __call__(self, pre: torch.Tensor) -> Codes:
        import torch

        found = pre.unflatten(1, (self.k, -1)).max(2)
        offsets = torch.arange(self.k, device=pre.device) * (pre.shape[1] // self.k)
        return Codes(found.values.relu(), found.indices + offsets, pre.shape[1])


@dataclass(frozen=True)
class Gated:
    """One product, two readings: whether a unit is active, and how strongly (Rajamanoharan et al. 2024)."""

    gate_bias: torch.Tensor
    """(N,)."""
    magnitude_scale: torch.Tensor
    """(N,): the exponential of r_mag."""
    magnitude_bias: torch.Tensor
    """(N,)."""
    signed: ClassVar[bool] = False
    sparse: ClassVar[bool] = True

    def __call__(self, pre: torch.Tensor) -> Codes:
        magnitude = (pre * self.magnitude_scale).add_(self.magnitude_bias).relu_()
        return Codes(magnitude.mul_(_above(pre + self.gate_bias, 0.0)), None, pre.shape[1])


def _above(pre: torch.Tensor, threshold: torch.Tensor | float) -> torch.Tensor:
    """1 where `pre` is above the threshold, else 0, in its own type: products with booleans take twice as long."""
    import torch

    limit = torch.as_tensor(threshold, dtype=pre.dtype, device=pre.device)
    return torch.gt(pre, limit, out=torch.empty_like(pre))
