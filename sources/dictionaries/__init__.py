"""Dictionaries: what turns a hookpoint's vectors into the activations of units. One reader a format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from neurogloss.errors import UserError
from neurogloss.sources.dictionaries.neurons import Neurons

if TYPE_CHECKING:
    import torch


class Dictionary(Protocol):
    """N units at a hookpoint of a given width."""

    @property
    def name(self) -> str: ...

    @property
    def signed(self) -> bool:
        """Whether a unit's negative side is a unit of its own."""
        ...

    @property
    def sparse(self) -> bool:
        """Whether inactive means exactly zero; otherwise a threshold is set in the pass."""
        ...

    @property
    def n_units(self) -> int: ...

    def encode(self, vectors: torch.Tensor) -> torch.Tensor:
        """(..., width) to (..., n_units) activations."""
        ...

    def directions(self) -> torch.Tensor:
        """(n_units, width): what raising each unit by 1 adds at the hookpoint."""
        ...


def open_dictionary(spec: str, width: int) -> Dictionary:
    """The dictionary that `spec` names, for a hookpoint of that width.

    Raises:
        UserError: an unknown name.
    """
    if spec == "neurons":
        return Neurons(width)
    raise UserError(f"Expected the dictionary 'neurons', found {spec!r}.")
