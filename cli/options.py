"""Options: those of settings, generated from their declarations, and those that several commands share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic.fields import FieldInfo
from typer.models import OptionInfo

from neurogloss.presentation import by_group, choices, flag, shown
from neurogloss.settings import AnySettings, LabelSettings, Settings, make

Command = TypeVar("Command", bound=Callable[..., int | None])


def takes(
    kind: type[Settings], *, only: Collection[str] = (), without: Collection[str] = ()
) -> Callable[[Command], Command]:
    """Replace a command's `**given` by one option per setting.

    Args:
        only: names of the settings; by default all.
        without: groups to leave out.
    """

    def generate(command: Command) -> Command:
        own = [p for p in _parameters(command) if p.kind is not inspect.Parameter.VAR_KEYWORD]
        fields = [
            (name, field)
            for name, field in by_group(kind)
            if shown(field).group not in without and (not only or name in only)
        ]
        generated = [_parameter(kind, name, field) for name, field in fields]
        command.__signature__ = inspect.Signature([*own, *generated])  # type: ignore[attr-defined]
        return command

    return generate


def said(kind: type[Settings], given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that differ from their defaults, as the options' text."""
    values = {}
    for name, value in given.items():
        field = kind.model_fields[name]
        if value in (None, "", []) or value == _default(field):
            continue
        if isinstance(value, list) and shown(field).commas:
            value = [part.strip() for text in value for part in text.split(",") if part.strip()]
        values[name] = value
    return values


def chosen(kind: type[AnySettings], given: Mapping[str, Any]) -> AnySettings:
    """The settings that the options give. Raises UserError, which names the wrong options."""
    return make(kind, said(kind, given), named=partial(flag, kind))


def setting(kind: type[Settings], name: str) -> OptionInfo:
    """The option of one setting."""
    field = kind.model_fields[name]
    how, found, option = shown(field), choices(field), flag(kind, name)
    declared = f"{option}/--no-{option[2:]}" if field.default is True else option
    info: OptionInfo = typer.Option(
        declared,
        help=field.description,
        rich_help_panel=how.group,
        metavar=_metavar(field),
        envvar=how.envvar,
        autocompletion=(lambda: list(found)) if found else None,
    )
    return info


def _parameter(kind: type[Settings], name: str, field: FieldInfo) -> inspect.Parameter:
    """Texts are passed on as they are: the settings check them all, and name each wrong option in one error."""
    annotation: Any = bool if field.annotation is bool else list[str] | None if _multiple(field) else str | None
    default = inspect.Parameter.empty if field.is_required() else _default(field)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[annotation, setting(kind, name)],
    )


def _default(field: FieldInfo) -> Any:
    """The default as an option has it: text, a list of texts, yes or no."""
    value = None if field.is_required() else field.default
    if isinstance(value, tuple):
        return [",".join(value)] if shown(field).commas and value else list(value) or None
    return value if value is None or isinstance(value, bool) else str(value) or None


def _metavar(field: FieldInfo) -> str | None:
    """Declared, or the choices, or the type of a number, which is read as text."""
    numbers = [f"<{kind}>" for kind in ("int", "float") if kind in str(field.annotation)]
    what = shown(field).metavar or "|".join(choices(field) or numbers)
    return f"{what} ..." if what and _multiple(field) else what or None


def _multiple(field: FieldInfo) -> bool:
    return "tuple" in str(field.annotation)


def _parameters(command: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(command, eval_str=True).parameters.values())


DEFAULT_RUN = Path("runs/demo")

RunArgument = Annotated[Path, typer.Argument(help="Run folder.", metavar="RUN")]
RunOption = Annotated[
    Path, typer.Option("--run", help="Run folder.", envvar="NEUROGLOSS_RUN", show_default=str(DEFAULT_RUN))
]
MethodOption = Annotated[str | None, typer.Option(help="Labelling method. Defaults to the newest.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object per line, for programs.")]
EmbedderOption = Annotated[str, setting(LabelSettings, "embedder")]
EngineOption = Annotated[
    str,
    typer.Option(
        "--engine",
        help="Where to compute: `local` in this process, `ray` or `ray:ADDRESS` in the workers of a Ray cluster.",
        metavar="local|ray|ray:ADDRESS",
    ),
]
