"""What each row of a response matrix answers to: a table of stimuli, read strictly.

Columns: `text` or `path` or both; `id`, `split` (train, test), `session`, `onset` in seconds where known. Others
are left alone. What a stimulus is, its content says: the bytes of its file, else its text.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurogloss.errors import UserError
from neurogloss.foreign import read_json
from neurogloss.ids import hash64
from neurogloss.sources.brain.arrays import existing

LONGEST = 65_535
"""Bytes of a stimulus' text at most."""
SPLITS = {"": "", "train": "train", "trn": "train", "test": "test", "tst": "test"}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: one presentation, or one word."""

    text: str = ""
    path: str = ""
    """Of the image, from the folder of all pictures."""
    id: str = ""
    split: str = ""
    """`train`, `test`, or empty where the table says nothing."""
    session: str = ""
    onset: float = math.nan
    """Seconds from the start of the session."""
    content: int = 0
    """Hash of the image's bytes, else of the text, in [0, 2^64)."""


def read_rows(table: str, pictures: str = "") -> tuple[tuple[Row, ...], str]:
    """The rows of a table, and the folder that their paths start from; empty where there are no paths.

    Raises:
        UserError: a table that does not read, names no text and no path, or a file that is not there; it names the
            row.
    """
    path = existing(table, "a table of stimuli")
    rows = []
    for number, values in enumerate(_values(path), 1):
        where = f"row {number} of {path}"
        rows.append(_row(values, where, Path(pictures) if pictures else path.parent))
    if not rows:
        raise UserError(
            f"Expected stimuli in {path}, found an empty table. Give one row for each row of responses."
        )
    _check_ids(rows, path)
    folder = str(pictures or path.parent) if any(row.path for row in rows) else ""
    return tuple(rows), folder


def _values(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        if path.suffix.lower() in (".csv", ".tsv"):
            with open(path, encoding="utf-8-sig", newline="") as file:
                reader = csv.DictReader(
                    file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True
                )
                _require_columns(set(reader.fieldnames or ()), path)
                yield from reader
        elif path.suffix.lower() in (".jsonl", ".ndjson"):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                value = read_json(line) if line.strip() else {}
                if not isinstance(value, dict):
                    raise UserError(f"Expected a JSON object in line {number} of {path}, found {line[:60]!r}.")
                _require_columns(set(value), path)
                yield value
        else:
            raise UserError(f"Expected a .csv, .tsv or .jsonl table, found {path}. Save it as one of those.")
    except (csv.Error, ValueError) as error:
        raise UserError(f"Expected {path} to read as its suffix says, found: {error}. Save it again.") from None


def _require_columns(names: set[str], path: Path) -> None:
    if not names & {"text", "path"}:
        raise UserError(
            f"Expected a column `text` or `path` in {path}, found {', '.join(sorted(names)) or 'none'}. Rename "
            "one."
        )


def _row(values: Mapping[str, Any], where: str, folder: Path) -> Row:
    text, path, id, split, session = (
        str(values.get(name) if values.get(name) is not None else "")
        for name in ("text", "path", "id", "split", "session")
    )
    try:
        "".join((text, path, id, session)).encode()
    except UnicodeEncodeError:
        raise UserError(
            f"Expected text in {where}, found half a surrogate pair, which is none. Mend the file."
        ) from None
    if split not in SPLITS:
        raise UserError(
            f"Expected train or test as the split in {where}, found {split!r}. Mend it, or leave it out."
        )
    if len(text.encode()) > LONGEST:
        raise UserError(f"Expected a text of {LONGEST} bytes at most in {where}, found more. Cut it.")
    if not (text.strip() or path):
        raise UserError(
            f"Expected a text or a path in {where}, found neither. Leave the row and its response out."
        )
    return Row(text, path, id, SPLITS[split], session, _onset(values, where), _content(text, path, folder, where))


def _onset(values: Mapping[str, Any], where: str) -> float:
    given = values.get("onset")
    try:
        return math.nan if given in (None, "") else float(given)
    except (TypeError, ValueError):
        raise UserError(f"Expected seconds as the onset in {where}, found {given!r}. Write a number.") from None


def _content(text: str, path: str, folder: Path, where: str) -> int:
    if not path:
        return hash64(text)
    try:
        return hash64((folder / path).read_bytes())
    except OSError as error:
        raise UserError(
            f"Expected the image of {where} at {folder / path}, found: {error.strerror}. Say with --pictures "
            "where paths start, or mend the path."
        ) from None


def _check_ids(rows: list[Row], path: Path) -> None:
    """Raise UserError where one id stands for two stimuli."""
    known: dict[str, int] = {}
    for row in rows:
        if row.id and known.setdefault(row.id, row.content) != row.content:
            raise UserError(
                f"Expected one stimulus for the id {row.id!r} in {path}, found two that differ. Number them apart."
            )
