"""Objects that are asked for by name: the package's own, those of installed packages, and `module:Class`."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from neurogloss.errors import UserError, first_line

Entry = TypeVar("Entry")


def nearest(name: str, known: Iterable[str]) -> str:
    """`Did you mean units?`, or all known names if none is near."""
    names = list(known)
    near = get_close_matches(name, names, 3)
    return f"Did you mean {' or '.join(near)}?" if near else f"Known are: {', '.join(names)}."


def load(place: str, what: str) -> Any:
    """Import the object that `module:Class` names.

    Args:
        what: what was expected there, for the error.

    Raises:
        UserError: there is no such module or class.
    """
    try:
        return pkgutil.resolve_name(place)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"Expected {what} at {place} (module:Class), found none: {first_line(error)}. "
            "Install its package, or put its folder on PYTHONPATH."
        ) from error


@dataclass(frozen=True)
class Registry(Generic[Entry]):
    """Entries of one kind, by name."""

    kind: str
    """What an entry is, with its article: `an explainer`."""
    own: Mapping[str, Entry]
    """The package's entries. No other package can replace them."""
    group: str
    """Entry-point group in which other packages offer theirs."""
    also: str = "module:Class"
    """What else may be given in place of a name, for the error."""

    def names(self) -> tuple[str, ...]:
        """The package's names, then those of installed packages."""
        return (*self.own, *sorted(set(entry_points(group=self.group).names) - set(self.own)))

    def offered(self, name: str) -> Any:
        """What an entry point or `module:Class` names.

        Raises:
            UserError: the name is unknown, or cannot be imported.
        """
        for point in entry_points(group=self.group, name=name):
            return load(point.value, self.kind)
        if ":" in name:
            return load(name, self.kind)
        raise UserError(
            f"Expected {self.kind} ({', '.join(self.names())}) or {self.also}; found {name!r}. "
            f"{nearest(name, self.names())}"
        )
