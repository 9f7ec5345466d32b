"""Prompts from templates: text files with a section for each message, filled in strictly.

1. A template is cut at its lines `## system`, `## user` and `## assistant` before anything is filled in, so
   that no value can open a section. A comment `{# … #}` may stand before the first.
2. Each section is a Jinja template. A name that the template uses and that is not given is an error, and so
   is a name that is given and not used.
3. The filters `quote`, `marked` and `stimulus` write a text as data (see `neurogloss.prompts.quote`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template, TemplateError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from neurogloss.errors import UserError
from neurogloss.ids import content_id
from neurogloss.llm import Message
from neurogloss.prompts.quote import quote, quote_marked, stimulus

_SECTION = re.compile(r"^## (system|user|assistant)[ \t]*$", re.MULTILINE)
_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is sent, and the template that it came from."""

    messages: tuple[Message, ...]
    hash: str
    """Content id of the template's text, for provenance."""


def render(name: str, **values: Any) -> Prompt:
    """Fill in a template.

    Args:
        name: of a template of the package, such as `score/detection`, or the path of a user's own `.md` file.
        values: exactly the names that the template uses.

    Raises:
        UserError: there is no such template, it does not hold, or it uses other names than those given.
    """
    text = _read(name)
    template = _compile(name, text)
    if template.uses != set(values):
        given, wanted = ", ".join(sorted(values)) or "none", ", ".join(sorted(template.uses)) or "none"
        raise UserError(f"The prompt {name} uses the values {wanted}; given were {given}.")
    try:
        messages = tuple(
            section if isinstance(section, Message) else Message(section[0], section[1].render(values).strip())
            for section in template.sections
        )
    except TemplateError as error:
        raise UserError(f"The prompt {name} cannot be filled in: {error}.") from error
    return Prompt(messages, template.hash)


def template_hash(name: str) -> str:
    """Content id of a template's text. Raises UserError as `render` does."""
    return content_id(_read(name))


@cache
def names() -> tuple[str, ...]:
    """The package's templates, sorted."""
    return tuple(sorted(_walk(files("neurogloss.prompts"), "")))


def _walk(folder: Traversable, prefix: str) -> Iterator[str]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".md"):
            yield prefix + entry.name.removesuffix(".md")


def _read(name: str) -> str:
    if not name.endswith(".md") and name not in names():
        raise UserError(
            f"Expected a prompt's name ({', '.join(names())}) or the path of an .md file; found {name!r}."
        )
    try:
        return Path(name).read_text(encoding="utf-8") if name.endswith(".md") else _packaged(name)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Expected a prompt in a UTF-8 text file at {name}: {error}.") from None


@cache
def _packaged(name: str) -> str:
    return files("neurogloss.prompts").joinpath(f"{name}.md").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class _Template:
    sections: tuple[Message | tuple[str, Template], ...]
    """Each message: as it is where it uses no value, otherwise its role and body."""
    uses: frozenset[str]
    """Names of the values that the bodies use."""
    hash: str


@cache
def _compile(name: str, text: str) -> _Template:
    before, *parts = _SECTION.split(text)
    if not parts or _COMMENT.sub("", before).strip():
        raise UserError(
            f"The prompt {name} needs a line `## system`, `## user` or `## assistant` before its text."
        )
    roles, bodies = parts[::2], parts[1::2]
    if roles[-1] != "user":
        raise UserError(f"The prompt {name} needs a section `## user` at its end, found `## {roles[-1]}`.")
    environment = _environment(own=name.endswith(".md"))
    try:
        uses = [meta.find_undeclared_variables(environment.parse(body)) for body in bodies]
        templates = [environment.from_string(body) for body in bodies]
        sections = (
            (role, template) if used else Message(role, template.render().strip())
            for role, template, used in zip(roles, templates, uses, strict=True)
        )
        return _Template(tuple(sections), frozenset().union(*uses), content_id(text))
    except TemplateError as error:
        raise UserError(f"The prompt {name} is no valid template: {error}.") from error


@cache
def _environment(own: bool) -> Environment:
    """For a user's own templates, a sandbox; for those of the package none, which takes a third of the time."""
    kind = ImmutableSandboxedEnvironment if own else Environment
    environment = kind(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    environment.filters.update(quote=quote, marked=quote_marked, stimulus=stimulus)
    return environment
