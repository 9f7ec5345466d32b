"""Texts from one column of a table: a Parquet file, a data set saved in a folder, a data set on the hub.

Rows are read a batch at a time, so that memory does not grow with the table.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from neurogloss.errors import UserError, first_line, imported
from neurogloss.sources.loading import HUB, mend

INSTALL = "pip install pyarrow datasets   (the extra [corpora])"
SPLIT = "train"
"""Which split of a data set is read where none is named."""
ROWS = 256
"""Rows in memory at once."""


def check_parquet(file: Traversable, column: str) -> None:
    """Raise UserError where the file is no Parquet file, or has no such column of texts."""
    arrow = imported("pyarrow", INSTALL)
    with _open_parquet(file) as table:
        _require(column, table.schema_arrow.names, f"{file}")
        kind, types = table.schema_arrow.field(column).type, arrow.types
        kind = kind.value_type if types.is_dictionary(kind) else kind
        if not (types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)):
            raise UserError(
                f"Expected texts in column {column!r} of {file}, found {kind}. Name another with --column."
            )


def read_parquet(file: Traversable, column: str) -> Iterator[str]:
    """The texts of a file that `check_parquet` let pass; rows without one are left out."""
    arrow = imported("pyarrow", INSTALL)
    with _open_parquet(file) as table:
        try:
            for batch in table.iter_batches(batch_size=ROWS, columns=[column]):
                yield from (text for text in batch.column(0).to_pylist() if text is not None)
        except UnicodeDecodeError:
            raise UserError(
                f"Expected UTF-8 in column {column!r} of {file}, found other bytes. Write the file again as UTF-8."
            ) from None
        except (arrow.ArrowException, OSError) as error:
            raise _damaged(file, error) from None


def is_saved(folder: Path) -> bool:
    """Whether `datasets` saved a data set, or several splits of one, in this folder."""
    # unlike Path.is_file, os.path.isfile is False for a name too long to be one
    return any(os.path.isfile(folder / name) for name in ("state.json", "dataset_dict.json"))


def open_saved(folder: str) -> Any:
    """A data set that `datasets` saved there, or a dictionary of splits. Raises UserError where none loads."""
    datasets = datasets_package()
    try:
        return datasets.load_from_disk(folder)
    except Exception as error:  # the library raises errors of many kinds, pyarrow's among them
        raise UserError(
            f"Expected a data set in {folder}, found one that does not load: {error}. Save it again."
        ) from None


def hub_parts(spec: str) -> tuple[str, str | None, str]:
    """Name, configuration and split of `hub:NAME` or `hub:NAME:CONFIG:SPLIT`. Raises UserError otherwise."""
    parts = spec.removeprefix(HUB).split(":")
    if len(parts) not in (1, 3) or not parts[0]:
        raise UserError(f"Expected hub:NAME or hub:NAME:CONFIG:SPLIT, found {spec!r}. Name a data set so.")
    name, config, split = parts if len(parts) == 3 else (*parts, "", "")
    return name, config or None, split or SPLIT


def read_saved(folder: Path, column: str) -> Iterator[str]:
    """The texts of a folder that `Dataset.save_to_disk` wrote; of several splits, of `train`."""
    found = open_saved(f"{folder}")
    if isinstance(found, dict):
        if SPLIT not in found:
            raise UserError(
                f"Expected a split {SPLIT!r} in {folder}, found {', '.join(found)}. "
                "Name the folder of one of those."
            )
        found = found[SPLIT]
    _require(column, found.column_names, f"{folder}")
    return _rows((batch[column] for batch in found.select_columns(column).iter(ROWS)), column, f"{folder}")


def open_hub(spec: str, seed: int | None = None, among: int = 0) -> Any:
    """The rows of `hub:NAME` or `hub:NAME:CONFIG:SPLIT` as they arrive.

    Args:
        seed: shuffles files, and rows among so many; None: neither.

    Raises:
        MissingExtra: datasets is not installed.
        UserError: a spec of another form, a set that cannot be reached.
    """
    datasets, (name, config, split) = datasets_package(), hub_parts(spec)
    with _reaching(name):
        rows = datasets.load_dataset(name, config, split=split, streaming=True)
        return rows if seed is None else rows.shuffle(seed=seed, buffer_size=among)


def read_hub(spec: str, column: str) -> Iterator[str]:
    """The texts of a data set on the hub. Raises as `open_hub`, and where it has no such column."""
    rows = open_hub(spec)
    with _reaching(hub_parts(spec)[0]):
        names = rows.column_names or list(next(iter(rows), {}))
    _require(column, names, spec)
    return _rows(([row[column]] for row in rows), column, spec)


@contextmanager
def _reaching(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # what a data set's host, files and configuration can raise has no common base
        raise UserError(
            f"Expected the data set {name} on the hub, found: {first_line(error)} Check configuration and split. "
            f"{mend()}"
        ) from None


def _rows(batches: Iterable[Sequence[Any]], column: str, where: str) -> Iterator[str]:
    try:
        for batch in batches:
            for value in batch:
                if isinstance(value, str):
                    yield value
                elif value is not None:
                    raise UserError(
                        f"Expected texts in column {column!r} of {where}, found {type(value).__name__}. "
                        "Name another with --column."
                    )
    except OSError as error:
        raise UserError(f"Expected to read {where} to its end, found: {error}. Try again.") from None


def _open_parquet(file: Traversable) -> Any:
    arrow = imported("pyarrow", INSTALL)
    parquet = imported("pyarrow.parquet", INSTALL)
    try:
        return parquet.ParquetFile(str(file), memory_map=True)
    except (arrow.ArrowException, OSError) as error:
        raise _damaged(file, error) from None


def _damaged(file: Traversable, error: Exception) -> UserError:
    return UserError(f"Expected {file} to be a whole Parquet file, found: {first_line(error)} Copy it again.")


def _require(column: str, names: Sequence[str], where: str) -> None:
    if column not in names:
        raise UserError(
            f"Expected a column {column!r} in {where}, found {', '.join(names) or 'none'}. "
            "Name one of those with --column."
        )


def datasets_package() -> Any:
    """Raises MissingExtra where it is not installed."""
    datasets = imported("datasets", INSTALL)
    datasets.disable_progress_bars()
    return datasets
