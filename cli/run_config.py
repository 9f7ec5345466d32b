"""neurogloss run"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

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
    from neurogloss.cli import progress
    from neurogloss.cli.label import label_and_report
    from neurogloss.settings import CollectSettings, LabelSettings, make, read_config

    folder, tables = read_config(config)
    for name, values in tables.items():
        if not isinstance(values, dict):
            raise UserError(f"Expected a table [{name}] in {config}, found {name} = {values!r}.")
    for table, key, value in map(_override, set or []):
        tables[table] = {**tables[table], key: value}
    # Both before the first long step: a mistake in [label] shows at once.
    collecting, labelling = make(CollectSettings, tables["collect"]), make(LabelSettings, tables["label"])
    with progress.shown() as bars:
        ng.collect(folder, collecting, engine=engine, progress=bars)
    return label_and_report(folder, labelling, json, engine)


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
