"""Code of a user's own, named by its place."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from neurogloss.errors import UserError, first_line


def load(place: str, what: str) -> Any:
    """What `module:Class` names. Raises UserError where there is none; `what` says what was expected of it."""
    module, _, attribute = place.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"Expected {what} at {place} (module:Class), found none: {first_line(error)}. "
            "Is it installed, and on the path?"
        ) from error
