"""Finds classes by name: the package's own, those of installed packages, and `module:Class`."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import Any

from neurogloss.errors import UserError, first_line


def suggestion(name: str, known: Iterable[str]) -> str:
    """` Did you mean units?`, or nothing if no known name is near."""
    near = get_close_matches(name, list(known), 3)
    return f" Did you mean {' or '.join(near)}?" if near else ""


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
class Registry:
    """Classes and functions of one kind, by name."""

    kind: str
    """What an entry is, with its article: `an explainer`."""
    own: Mapping[str, Callable[..., Any]]
    """The package's entries. No other package can replace them."""
    group: str
    """Entry-point group in which other packages offer theirs."""
    also: str = "module:Class"
    """What else may be given in place of a name, for the error."""

    def names(self) -> tuple[str, ...]:
        """The package's names, then those of installed packages."""
        return (*self.own, *sorted(set(entry_points(group=self.group).names) - set(self.own)))

    def find(self, name: str) -> Any:
        """The entry of that name, or the object that `module:Class` names.

        Raises:
            UserError: the name is unknown, or cannot be imported.
        """
        if name in self.own:
            return self.own[name]
        for point in entry_points(group=self.group, name=name):
            return load(point.value, self.kind)
        module, _, attribute = name.partition(":")
        if module and attribute:
            return load(name, self.kind)
        raise UserError(
            f"Expected {self.kind} ({', '.join(self.names())}) or {self.also}; found {name!r}."
            f"{suggestion(name, self.names())}"
        )
