"""JSON lines and Parquet, a label a row in the columns of `neurogloss.store.exchange.columns`.

A row needs `unit` and `text` alone to be read. JSON lines are gzipped if the file is named `.gz`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from neurogloss.errors import UserError, first_line
from neurogloss.store.exchange import columns
from neurogloss.store.exchange.files import gzipped, json_line, json_lines, new_file, pages
from neurogloss.store.exchange.records import Entry, Reading

_ROWS = 1024
"""Parquet rows in memory at once; a row group of the file."""


def write_jsonl(path: Path, entries: Iterable[Entry]) -> None:
    """Write one line an entry. Raises UserError if `path` exists."""
    with new_file(path) as file, gzipped(file) if path.suffix == ".gz" else nullcontext(file) as out:
        for entry in entries:
            out.write(json_line(columns.row(entry)))


def read_jsonl(path: Path) -> Reading:
    """Every line's explanation. Raises UserError for a line that holds none."""
    return _reading(path, json_lines(path))


def write_parquet(path: Path, entries: Iterable[Entry]) -> None:
    """Write one row an entry. Raises UserError if `path` exists, MissingExtra without pyarrow."""
    schema = columns.schema()
    with new_file(path) as file, _parquet().ParquetWriter(file, schema, compression="zstd") as writer:
        for page in pages(entries, _ROWS):
            rows = [columns.row(entry) for entry in page]
            writer.write_table(columns.arrow().Table.from_pylist(rows, schema=schema))


def read_parquet(path: Path) -> Reading:
    """Every row's explanation.

    Raises:
        UserError: no whole Parquet file, one without the columns `unit` and `text`, or a row that does not fit.
    """
    return _reading(path, ((f"{path}, row {n}", values) for n, values in enumerate(_rows(path), 1)))


def _reading(path: Path, rows: Iterable[tuple[str, dict[str, Any]]]) -> Reading:
    read = [columns.found(values, where) for where, values in rows]
    found = tuple(row for row in read if row is not None)
    return Reading(found, (path,), len(read) - len(found))


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    errors = (columns.arrow().ArrowException,)
    try:
        with _parquet().ParquetFile(path) as file:
            names = file.schema_arrow.names
            if missing := {"unit", "text"} - set(names):
                raise UserError(
                    f"Expected columns unit and text in {path}, found {', '.join(names) or 'none'}. "
                    f"Add {' and '.join(sorted(missing))}."
                )
            wanted = [name for name in names if name not in columns.DERIVED]
            for batch in file.iter_batches(_ROWS, columns=wanted):
                yield from batch.to_pylist()
    except FileNotFoundError:
        raise
    except (*errors, OSError) as error:
        raise UserError(
            f"Expected a whole Parquet file at {path}, found: {first_line(error)} Copy it again."
        ) from None


def _parquet() -> Any:
    columns.arrow()
    return importlib.import_module("pyarrow.parquet")
