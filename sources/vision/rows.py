"""Images of a data set of Hugging Face: of a folder that `datasets` saved, or of one on the hub, as they arrive.

1. Each image is taken as it is stored, not decoded and written anew.
2. Its path is the number of its row, in a folder named after its class, where a column has classes.
3. Of the hub the first rows are read, as many as are asked for, after `datasets` shuffled its files and 1,000 rows
   at a time by the seed: sets that are sorted by class would give one class.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any

from neurogloss.errors import UserError, first_line
from neurogloss.settings import ImageSettings
from neurogloss.sources import tables
from neurogloss.sources.vision import shipped

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
LONGEST = 2_000
"""Characters of a caption at most."""
SHUFFLED = 1_000
"""Rows of the hub among which the next one is drawn."""


def read_saved(settings: ImageSettings) -> Iterator[shipped.Image]:
    """The images of a folder that `datasets` saved, with their captions.

    Raises:
        MissingExtra: datasets is not installed.
        UserError: it does not load, holds several splits, has no such columns, or a row without an image.
    """
    rows = tables.open_saved(settings.pictures)
    if isinstance(rows, dict):
        raise UserError(
            f"Expected one split in {settings.pictures}, found {', '.join(rows)}. Name the folder of one of those."
        )
    yield from _images(rows, settings)


def read_hub(settings: ImageSettings) -> Iterator[shipped.Image]:
    """Images of `hub:NAME` or `hub:NAME:CONFIG:SPLIT`, as many as are asked for; an empty part is the default.

    Raises:
        MissingExtra, UserError: as `tables.open_hub` and `read_saved`; the set breaks off.
    """
    rows = tables.open_hub(settings.pictures, settings.seed, SHUFFLED)
    yield from islice(_images(rows, settings), settings.images)


def check_length(caption: str, where: str) -> None:
    """Raise UserError where a caption is longer than any should be."""
    if len(caption) > LONGEST:
        raise UserError(f"Expected a caption of at most {LONGEST} characters in {where}, found {len(caption)}.")


def _images(rows: Any, settings: ImageSettings) -> Iterator[shipped.Image]:
    """The images of a loaded data set."""
    datasets, features = tables.datasets_package(), rows.features or {}
    for column in filter(None, (settings.image_column, settings.caption_column)):
        if column not in features:
            raise UserError(
                f"Expected a column {column!r} in {settings.pictures}, found {', '.join(features) or 'none'}. "
                "Name one of those with --image-column or --caption-column."
            )
    classed = next((name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)), None)
    try:
        for number, row in enumerate(rows.cast_column(settings.image_column, datasets.Image(decode=False))):
            stored, where = row[settings.image_column], f"row {number} of {settings.pictures}"
            if stored is None:
                raise UserError(f"Expected an image in {where}, found none.")
            known = classed is not None and row[classed] is not None
            folder = re.sub(r"[^\w -]+", "_", features[classed].names[row[classed]]) + "/" if known else ""
            caption = str(row[settings.caption_column] or "") if settings.caption_column else ""
            check_length(caption, where)
            yield f"{folder}{number:08}{_suffix(stored)}", _bytes(stored), caption
    except OSError as error:
        raise UserError(
            f"Expected to read {settings.pictures} to its end, found: {first_line(error)} Try again."
        ) from None


def _bytes(stored: Mapping[str, Any]) -> Callable[[], bytes]:
    return partial(_fetched, stored["path"]) if stored["bytes"] is None else lambda: stored["bytes"]


def _fetched(path: str) -> bytes:
    """What a path or an address holds."""
    try:
        with importlib.import_module("fsspec").open(path, "rb") as file:
            return bytes(file.read())
    except OSError as error:
        raise UserError(f"Expected an image at {path}, found: {first_line(error)} Try again.") from None


def _suffix(stored: Mapping[str, Any]) -> str:
    """As it was named, else by the first bytes."""
    named = "." + (stored["path"] or "").lower().rpartition(".")[2]
    if named in SUFFIXES:
        return named
    return ".jpg" if (stored["bytes"] or b"")[:2] == b"\xff\xd8" else ".png"
