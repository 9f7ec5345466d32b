"""JSON lines: a label a line in the columns of `neurogloss.store.exchange.columns`; gzipped where named `.gz`.

To be read, a line needs `unit` and `text` alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path

from neurogloss.store.exchange import columns
from neurogloss.store.exchange.files import gzipped, json_line, json_lines, new_file
from neurogloss.store.exchange.records import Entry, Reading


def write(path: Path, entries: Iterable[Entry]) -> None:
    """One line an entry. Raises UserError where `path` exists."""
    with new_file(path) as file, gzipped(file) if path.suffix == ".gz" else nullcontext(file) as out:
        for entry in entries:
            out.write(json_line(columns.row(entry)))


def read(path: Path) -> Reading:
    """Every line's explanation. Raises UserError for a line that holds none."""
    rows = [columns.found(values, where) for where, values in json_lines(path)]
    found = tuple(row for row in rows if row is not None)
    return Reading(found, (path,), len(rows) - len(found))
