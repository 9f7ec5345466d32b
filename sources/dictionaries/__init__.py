"""Dictionaries: what turns a hookpoint's vectors into the activations of units. One reader a format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from neurogloss.errors import UserError
from neurogloss.sources.codes import Codes
from neurogloss.sources.dictionaries.neurons import Neurons

if TYPE_CHECKING:
    import torch


class Dictionary(Protocol):
    """N units at a hookpoint of a given width."""

    @property
    def name(self) -> str:
        """What unit ids call it: no slash in it."""
        ...

    @property
    def width(self) -> int:
        """Size of the vectors that it reads."""
        ...

    @property
    def n_units(self) -> int: ...

    @property
    def signed(self) -> bool:
        """Whether a unit's negative side is a unit of its own."""
        ...

    @property
    def sparse(self) -> bool:
        """Whether inactive means exactly zero; otherwise a threshold is set in the pass."""
        ...

    @property
    def hookpoint(self) -> str | None:
        """Where its file says that it listens; None where the file says nothing."""
        ...

    @property
    def target(self) -> str | None:
        """The hookpoint that it reconstructs where that is another (transcoders); None: the one it reads."""
        ...

    @property
    def provenance(self) -> Mapping[str, Any]:
        """JSON of what decides its codes: format, hashes of files, stated BOS and scaling."""
        ...

    def encode(self, vectors: torch.Tensor) -> Codes:
        """(T, width) to the activations of its units."""
        ...

    def decode(self, codes: Codes, vectors: torch.Tensor) -> torch.Tensor | None:
        """(T, width of the target): the reconstruction; None where there is nothing to reconstruct.

        `vectors` are what was encoded: skip connections and per-token norms need them.
        """
        ...

    def directions(self) -> torch.Tensor:
        """(n_units, width of the target): what raising each unit by 1 adds there."""
        ...


def open_dictionary(spec: str, width: int) -> Dictionary:
    """The dictionary that `spec` names, for a hookpoint of that width.

    Raises:
        UserError: an unknown name.
    """
    if spec == "neurons":
        return Neurons(width)
    raise UserError(f"Expected the dictionary 'neurons', found {spec!r}.")
