"""neurogloss run"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from neurogloss.cli import progress
from neurogloss.cli.options import EngineOption, JsonOption
from neurogloss.errors import UserError


def run(
    config: Annotated[Path, typer.Argument(help="TOML file: run, and the tables [collect] and [label].")],
    set: Annotated[list[str] | None, typer.Option(help="Override, e.g. label.units=all. May be repeated.")] = None,
    engine: EngineOption = "local",
    json: JsonOption = False,
) -> int:
    """Collect and label as one resumable batch, as a file says."""
    import neurogloss as ng
    from neurogloss.cli.label import label_and_report
    from neurogloss.settings import read_config

    # All settings are checked before the first long step.
    settings = read_config(config, map(_override, set or []))
    folder = Path(settings.run)
    with progress.shown() as bars:
        ng.collect(folder, settings.collect, engine=engine, progress=bars)
    return label_and_report(folder, settings.label, json, engine)


def _override(text: str) -> tuple[str, str, Any]:
    """Table, name and value: a list or a string in TOML, or a word or number as it is."""
    name, _, value = text.partition("=")
    table, _, key = name.strip().partition(".")
    if table not in ("collect", "label") or not key or not value.strip():
        raise UserError(f"Expected --set collect.NAME=VALUE or label.NAME=VALUE, found {text!r}.")
    value = value.strip()
    if value[0] not in "[\"'":
        return table, key, value
    try:
        return table, key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"Expected a value in TOML in --set {text}, found: {error}.") from None
