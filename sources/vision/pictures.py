"""Where images come from: a folder, a data set of Hugging Face, saved or on the hub, or a set that ships.

1. The images of a data set are written into a folder of the run once, as they are stored there, with their
   captions; those of a set that ships are drawn there. A path is the row's number, in a folder named by class.
   Of the hub the first rows are read after `datasets` shuffled files, and 1,000 rows at a time, by the seed: sets
   that are sorted by class would give one class.
2. Files are taken in the order of a hash of their paths, so that the first ones are a random sample of all.
3. Each is read and checked; what does not decode is named, exact duplicates (of bytes) are left out.
4. What is said of an image is its caption, or else its tags: the names of the folders that it lies in.
"""

from __future__ import annotations

import csv
import importlib
import io
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from neurogloss.errors import UserError, first_line, imported
from neurogloss.foreign import read_json
from neurogloss.ids import canonical_json, hash64
from neurogloss.protocols import Progress
from neurogloss.settings import ImageSettings
from neurogloss.sources import tables
from neurogloss.sources.loading import HUB
from neurogloss.sources.vision import shipped

SAID = ".captions.json"
"""In a folder that was written: what is said of each image."""
PATHS, CAPTIONS = ("path", "file_name"), ("caption", "text")
"""Columns of a table of captions; the second of each are those of `datasets`."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
LONGEST = 2_000
"""Characters of a caption at most."""
SHUFFLED = 1_000
"""Rows of the hub among which the next one is drawn."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file."""

    id: int
    """Hash of its bytes, in [0, 2^64)."""
    path: str
    """From the folder of all, with slashes."""
    caption: str
    """What is said of it; empty where nothing is."""


def require_pillow() -> Any:
    """Pillow's Image module. Raises MissingExtra."""
    return imported("PIL.Image", "pip install 'neurogloss[vision]'", "Pillow")


def find(
    settings: ImageSettings, cache: Path, progress: Progress, images: Iterable[shipped.Image] | None = None
) -> tuple[Path, list[Picture]]:
    """The folder of all images, and those that a pass reads, in order; about 300 bytes of memory each.

    Args:
        cache: of the run; images that are in no folder yet are written below it.
        images: these instead of what the settings name.

    Raises:
        MissingExtra: Pillow, or datasets for a data set, is not installed.
        UserError: nothing is there, images or captions do not read.
    """
    require_pillow()
    folder, captions = Path(settings.pictures), dict[str, str]()
    if images is not None:
        folder, captions = _written(cache, images, progress)
    elif settings.pictures in shipped.SETS:
        folder, captions = _written(cache, shipped.SETS[settings.pictures](), progress)
    elif settings.pictures.startswith(HUB):
        folder, captions = _written(cache, read_hub(settings), progress)
    elif tables.is_saved(folder):
        folder, captions = _written(cache, read_saved(settings), progress)
    elif not folder.is_dir():
        what = "a file" if folder.exists() else "and nothing there"
        raise UserError(
            f"Expected a folder of images, one that `datasets` saved, hub:NAME, or {' or '.join(shipped.SETS)}; "
            f"found {settings.pictures!r}, {what}. Give one of those."
        )
    if settings.captions is not None:
        captions = _captions(Path(settings.captions), folder)
    return folder.resolve(), read_folder(folder, captions, settings.images, progress)


def open_picture(path: Path) -> Any:
    """The image in a file, decoded. Raises UserError where it does not decode."""
    image = require_pillow()
    try:
        with image.open(path) as opened:
            opened.load()
            return opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, image.DecompressionBombError) as error:
        raise UserError(
            f"Expected an image in {path}, found one that does not decode: {first_line(error)} "
            "Replace or remove it, and give the same command again."
        ) from None


def tags(path: str) -> str:
    """The names of the folders that an image lies in, as words; empty where it lies in none."""
    return ", ".join(re.sub(r"[_\s-]+", " ", part).strip() for part in path.split("/")[:-1])


def read_folder(folder: Path, captions: Mapping[str, str], most: int, progress: Progress) -> list[Picture]:
    """The first images of a folder in the order of a hash of their paths, at most so many.

    Args:
        captions: by path; an image without one is described by its tags.

    Raises:
        UserError: there are none, or some do not decode.
    """
    image, found, seen, bad = require_pillow(), list[Picture](), set[int](), list[str]()
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    shown = (path.as_posix() for path in files if not any(part.startswith(".") for part in path.parts))
    paths = sorted((path for path in shown if (folder / path).is_file()), key=hash64)
    progress.start("checking images", min(most, len(paths)), "images")
    for path in paths:
        if len(found) == most:
            break
        data = (folder / path).read_bytes()
        try:
            with image.open(io.BytesIO(data)) as opened:
                opened.verify()
        except (OSError, ValueError, SyntaxError, image.DecompressionBombError):
            bad.append(path)
            continue
        picture = Picture(hash64(data), path, captions.get(path) or tags(path))
        if picture.id not in seen:
            seen.add(picture.id)
            found.append(picture)
            progress.advance()
    if bad:
        raise UserError(
            f"Expected images in {folder}, found {len(bad)} files that do not decode: {', '.join(bad[:5])}"
            f"{', …' if len(bad) > 5 else ''}. Replace or remove them."
        )
    if not found:
        raise UserError(
            f"Expected images ({', '.join(SUFFIXES)}) in {folder}, found none. Name the folder that holds them."
        )
    return found


def _captions(table: Path, folder: Path) -> dict[str, str]:
    """By path; several of one image are joined."""
    found: dict[str, list[str]] = {}
    for where, row in _table(table):
        path, caption = (next((row[name] for name in names if row.get(name)), None) for names in (PATHS, CAPTIONS))
        if not isinstance(path, str) or not isinstance(caption, str):
            raise UserError(
                f"Expected `path` and `caption` in {where}, found {', '.join(map(str, row)) or 'nothing'}. "
                "Name the columns so; a path starts from the folder of images."
            )
        check_length(caption, where)
        if not (folder / path).is_file():
            raise UserError(
                f"Expected {path}, which {where} names, in {folder}, found no such file. Mend the path."
            )
        found.setdefault(Path(path).as_posix(), []).append(caption.strip())
    if not found:
        raise UserError(f"Expected captions in {table}, found none. Give a CSV or JSON-lines table.")
    return {path: "; ".join(dict.fromkeys(filter(None, said))) for path, said in found.items()}


def _table(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each row with where it stands."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Expected a table of captions at {path}, found: {first_line(error)}") from None
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                try:
                    row = read_json(line)
                except ValueError:
                    row = None
                if not isinstance(row, dict):
                    raise UserError(f"Expected a JSON object in {path}, line {number}, found {line[:60]!r}.")
                yield f"{path}, line {number}", row
        return
    for number, record in enumerate(csv.DictReader(io.StringIO(text)), 2):
        yield f"{path}, line {number}", {k: v for k, v in record.items() if k is not None}


def _written(cache: Path, images: Iterable[shipped.Image], progress: Progress) -> tuple[Path, dict[str, str]]:
    """The run's own folder with these images, written where it is not there yet, and their captions."""
    folder, partial = cache / "pictures", cache.parent / ".pictures"
    if not (folder / SAID).is_file():
        for unfinished in (partial, folder):  # of a pass that was killed
            shutil.rmtree(unfinished, ignore_errors=True)
        partial.mkdir(parents=True)
        captions = dict[str, str]()
        progress.start("writing images", None, "images")
        for path, data, caption in images:
            (partial / path).parent.mkdir(parents=True, exist_ok=True)
            (partial / path).write_bytes(data())
            captions[path] = caption
            progress.advance()
        (partial / SAID).write_text(canonical_json(captions), encoding="utf-8")
        cache.mkdir(parents=True, exist_ok=True)
        partial.rename(folder)
    found: dict[str, str] = read_json((folder / SAID).read_text(encoding="utf-8"))
    return folder, found


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
