"""How settings are presented: their groups, options and choices, for the command line and the reference page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo


@dataclass(frozen=True, slots=True)
class Shown:
    """How a setting is presented to people."""

    group: str
    """Heading that the setting stands under in `--help` and on the reference page."""
    flag: str = ""
    """Its option, if that is not `--` and the name."""
    metavar: str = ""
    envvar: str | None = None
    """Environment variable that the option is read from."""
    commas: bool = False
    """Whether one option may hold several values, separated by commas."""


SUBJECT = Shown("Model and units")
DATA = Shown("Data")
EVIDENCE = Shown("Evidence to keep")
ENCODING = Shown("Encoding model")
UNITS = Shown("What to label")
EXPLAINING = Shown("Explaining")
SCORING = Shown("Judging and scoring")
SERVER = Shown("LLM server")
COST = Shown("Limits, cost and seed")
GROUPS = [each.group for each in (SUBJECT, DATA, ENCODING, UNITS, EXPLAINING, SCORING, SERVER, COST, EVIDENCE)]
"""In the order that they are shown in."""


def shown(field: FieldInfo) -> Shown:
    """How a setting is presented."""
    return next(marker for marker in field.metadata if isinstance(marker, Shown))


def by_group(kind: type[BaseModel]) -> list[tuple[str, FieldInfo]]:
    """The settings of a class, group by group."""
    return sorted(kind.model_fields.items(), key=lambda each: GROUPS.index(shown(each[1]).group))


def flag(kind: type[BaseModel], name: str) -> str:
    """The command-line option of a setting; the name itself if `kind` does not have the setting."""
    field = kind.model_fields.get(name)
    return (shown(field).flag or f"--{name.replace('_', '-')}") if field else name


def choices(field: FieldInfo) -> tuple[str, ...]:
    """The values that a setting is chosen from; empty for any other type."""
    kinds = (field.annotation, *get_args(field.annotation))
    return tuple(value for kind in kinds for value in get_args(kind) if isinstance(value, str))
