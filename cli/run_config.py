"""neurogloss run"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from neurogloss.cli.options import JsonOption
from neurogloss.errors import UserError


def run(
    config: Annotated[Path, typer.Argument(help="TOML file: run, and the tables [collect] and [label].")],
    set: Annotated[list[str] | None, typer.Option(help="Override, e.g. label.units='\"all\"'.")] = None,
    json: JsonOption = False,
) -> int:
    """Collect and label as one resumable batch, as a file says."""
    import neurogloss as ng
    from neurogloss.cli.label import label_and_report
    from neurogloss.cli.progress import Bars
    from neurogloss.settings import read_config

    folder, tables = read_config(config)
    for override in set or []:
        table, key, value = _override(override)
        tables[table][key] = value
    with Bars() as bars:
        ng.collect(folder, progress=bars, **tables["collect"])
    return label_and_report(folder, tables["label"], json)


def _override(text: str) -> tuple[str, str, Any]:
    name, _, value = text.partition("=")
    table, _, key = name.strip().partition(".")
    if table not in ("collect", "label") or not key or not value:
        raise UserError(f"Expected --set collect.NAME=VALUE or label.NAME=VALUE, found {text!r}.")
    try:
        return table, key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return table, key, value
