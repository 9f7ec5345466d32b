"""Every error that neurogloss raises on purpose.

NeuroglossError
├── UserError          something the user can mend; shown without a traceback, exit code 2
│   └── MissingExtra   a package that is not installed; the message is the install line
└── AnswerError        a model was asked and gave no usable answer; becomes a unit's state
    ├── TransportError     the server was not reached, timed out or broke off
    ├── RefusalError       the model declined
    ├── EmptyAnswerError   the model answered with nothing
    └── UnparseableError   the answer has not the form that was asked for
"""

from __future__ import annotations

import importlib
from typing import Any, ClassVar

from neurogloss.records import Failure


def first_line(error: Exception) -> str:
    """What an error says, without what other libraries add below."""
    return str(error).strip().partition("\n")[0]


class NeuroglossError(Exception):
    """Base of all errors below."""


class UserError(NeuroglossError):
    """What was expected, what was found, and what to do next, in one message."""


class MissingExtra(UserError):
    """A package that this step needs is not installed."""

    def __init__(self, package: str, install: str) -> None:
        super().__init__(f"{package} is not installed, and this step needs it. Install it with:  {install}")

    def __reduce__(self) -> tuple[type[UserError], tuple[str]]:
        """Arrives from another process as a UserError with the same message."""
        return UserError, (str(self),)


def imported(module: str, install: str, package: str = "") -> Any:
    """A module of an optional package, whose name is that of the module up to the first dot if none is given.

    Raises:
        MissingExtra: it is not installed; the message says `install`.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingExtra(package or module.partition(".")[0], install) from None


class AnswerError(NeuroglossError):
    """A model gave no usable answer. `failure` is the state that the unit or the outcome gets."""

    failure: ClassVar[Failure]


class TransportError(AnswerError):
    """The server could not be reached, timed out, or broke off after all retries."""

    failure = Failure.TRANSPORT


class RefusalError(AnswerError):
    """The model declined to answer."""

    failure = Failure.REFUSAL


class EmptyAnswerError(AnswerError):
    """The model's answer holds no text."""

    failure = Failure.EMPTY


class UnparseableError(AnswerError):
    """The model's answer does not have the form that was asked for."""

    failure = Failure.UNPARSEABLE
