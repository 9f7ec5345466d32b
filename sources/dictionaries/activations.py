"""What dictionaries compute: sparse codes, top-k, and the functions from pre-activations to codes."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    import torch

BLOCK = 16
"""Columns in a block of the two-level search."""
VALUES, VALUES_CPU = 2**26, 2**23
"""Pre-activations in memory: 32 MiB on a CPU, and 256 MiB on other devices, which are not kept busy by less."""


def rows_at_once(columns: int, device: torch.device) -> int:
    """How many vectors are encoded together into so many pre-activations each, one at least."""
    return max((VALUES_CPU if device.type == "cpu" else VALUES) // columns, 1)


@dataclass(frozen=True)
class Codes:
    """Activations of N units on T vectors."""

    values: torch.Tensor
    """(T, k), or (T, N) where `units` is None. 0 means inactive; negative values only of signed dictionaries."""
    units: torch.Tensor | None
    """(T, k) integers: which unit each value is of. None: column j is unit j."""
    n_units: int

    def dense(self) -> torch.Tensor:
        """(T, N)."""
        if self.units is None:
            return self.values
        out = self.values.new_zeros(len(self.values), self.n_units)
        return out.scatter_(1, self.units.long(), self.values)


def top_k(values: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The k largest of each row, in no order, and their columns.

    Args:
        values: (T, N), N at least k.

    Returns:
        (T, k) values and (T, k) int64 columns. Of equal values at the edge any may be kept, as by torch.
    """
    import torch

    rows, columns = values.shape
    blocks = columns // BLOCK
    if columns % BLOCK or blocks <= 2 * k:
        found = torch.topk(values, k, dim=1, sorted=False)
        return found.values, found.indices
    folded = values.view(rows, BLOCK, blocks)
    best = torch.topk(folded.amax(1), k, dim=1, sorted=False).indices
    candidates = folded.gather(2, best[:, None, :].expand(rows, BLOCK, k)).reshape(rows, BLOCK * k)
    found = torch.topk(candidates, k, dim=1, sorted=False)
    block, row_of_block = found.indices % k, found.indices // k
    return found.values, row_of_block * blocks + best.gather(1, block)


class Movable:
    """Base of dataclasses that hold tensors, or other dataclasses that do."""

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """A copy with its tensors moved and converted as `torch.Tensor.to` does it."""
        import torch

        held = {each.name: getattr(self, each.name) for each in fields(self)}  # type: ignore[arg-type]
        kinds = (torch.Tensor, Movable)
        moved = {name: value.to(*args, **kwargs) for name, value in held.items() if isinstance(value, kinds)}
        return replace(self, **moved)  # type: ignore[type-var]


class Activation(Movable):
    """Turns (T, N) pre-activations into codes, and leaves them as they were. One frozen dataclass a function."""

    signed: ClassVar[bool] = False
    """Whether activations can be negative."""
    sparse: ClassVar[bool] = True
    """Whether inactive means exactly zero."""

    def __call__(self, pre: torch.Tensor) -> Codes:
        raise NotImplementedError


@dataclass(frozen=True)
class Identity(Activation):
    """Pre-activations as they are."""

    signed: ClassVar[bool] = True
    sparse: ClassVar[bool] = False

    def __call__(self, pre: torch.Tensor) -> Codes:
        return Codes(pre, None, pre.shape[1])


@dataclass(frozen=True)
class Relu(Activation):
    """What is above 0 (Cunningham et al. 2023, Bricken et al. 2023)."""

    def __call__(self, pre: torch.Tensor) -> Codes:
        return Codes(pre.relu(), None, pre.shape[1])


@dataclass(frozen=True)
class JumpRelu(Activation):
    """What is above a threshold, not lowered by it (Rajamanoharan et al. 2024); batch-top-k at inference."""

    threshold: torch.Tensor
    """(N,) or (1,); below 0 it acts as 0."""

    def __call__(self, pre: torch.Tensor) -> Codes:
        return Codes(_above(pre, self.threshold.clamp(min=0)).mul_(pre), None, pre.shape[1])


@dataclass(frozen=True)
class TopK(Activation):
    """The k largest of each vector that are above 0 (Gao et al. 2024)."""

    k: int

    def __call__(self, pre: torch.Tensor) -> Codes:
        values, units = top_k(pre, self.k)
        return Codes(values.relu(), units, pre.shape[1])


@dataclass(frozen=True)
class AbsTopK(Activation):
    """The k of each vector that are largest in magnitude, with their sign."""

    k: int
    signed: ClassVar[bool] = True

    def __call__(self, pre: torch.Tensor) -> Codes:
        _, units = top_k(pre.abs(), self.k)
        return Codes(pre.gather(1, units), units, pre.shape[1])


@dataclass(frozen=True)
class Codebook(Activation):
    """1 for each of the k units with the largest pre-activations, whatever their sign (Tamkin et al. 2023)."""

    k: int

    def __call__(self, pre: torch.Tensor) -> Codes:
        values, units = top_k(pre, self.k)
        return Codes(values.new_ones(values.shape), units, pre.shape[1])


@dataclass(frozen=True)
class GroupMax(Activation):
    """The largest of each of k equal runs of units, where it is above 0."""

    k: int

    def __call__(self, pre: torch.Tensor) -> Codes:
        import torch

        found = pre.unflatten(1, (self.k, -1)).max(2)
        offsets = torch.arange(self.k, device=pre.device) * (pre.shape[1] // self.k)
        return Codes(found.values.relu(), found.indices + offsets, pre.shape[1])


@dataclass(frozen=True)
class Gated(Activation):
    """One product, two readings: whether a unit is active, and how strongly (Rajamanoharan et al. 2024)."""

    gate_bias: torch.Tensor
    """(N,)."""
    magnitude_scale: torch.Tensor
    """(N,): the exponential of r_mag."""
    magnitude_bias: torch.Tensor
    """(N,)."""

    def __call__(self, pre: torch.Tensor) -> Codes:
        magnitude = (pre * self.magnitude_scale).add_(self.magnitude_bias).relu_()
        return Codes(magnitude.mul_(_above(pre + self.gate_bias, 0.0)), None, pre.shape[1])


def _above(pre: torch.Tensor, threshold: torch.Tensor | float) -> torch.Tensor:
    """1 where `pre` is above the threshold, else 0, in its own type: products with booleans take twice as long."""
    import torch

    limit = torch.as_tensor(threshold, dtype=pre.dtype, device=pre.device)
    return torch.gt(pre, limit, out=torch.empty_like(pre))
