"""The one table that every benchmark prints."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Row:
    """One figure beside what it is compared with."""

    what: str
    figure: float
    beside: float = math.nan
    """The floor, or the other's figure."""
    ratio: float = math.nan
    difference: float = math.nan
    low: float = math.nan
    """Limits of the difference's 95 % interval."""
    high: float = math.nan
    goal: str = ""
    met: bool | None = None
    """None where there is no goal."""


def report(title: str, rows: Sequence[Row], as_json: bool) -> int:
    """Print the rows; returns the exit code."""
    if as_json:
        for row in rows:
            values = dataclasses.asdict(row)
            print(
                json.dumps({k: None if isinstance(v, float) and math.isnan(v) else v for k, v in values.items()})
            )
    else:
        # Columns that no row fills are left out.
        headings = ("what", "figure", "beside it", "ratio", "difference", "95 % interval", "goal", "met")
        lines = [_line(row) for row in rows]
        used = [i for i in range(len(headings)) if any(line[i] for line in lines)]
        table = Table(*(headings[i] for i in used), title=title)
        for line in lines:
            table.add_row(*(line[i] for i in used))
        Console(width=118).print(table)
    return 1 if any(row.met is False for row in rows) else 0


def _line(row: Row) -> tuple[str, ...]:
    met = "" if row.met is None else "yes" if row.met else "no"
    limits = "" if math.isnan(row.low) else f"[{row.low:+.3f}, {row.high:+.3f}]"
    numbers = (_text(row.figure), _text(row.beside), _text(row.ratio), _text(row.difference, "+"))
    return (row.what, *numbers, limits, row.goal, met)


def _text(value: float, sign: str = "") -> str:
    digits = 0 if abs(value) >= 100 else 3
    return "" if math.isnan(value) else f"{value:{sign},.{digits}f}"
