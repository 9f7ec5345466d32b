"""Where images come from: a folder, a data set of Hugging Face, saved or on the hub, or a set that ships.

1. The images of a data set are written into a folder of the run once, as they are stored there, with what is said
   of them; those of a set that ships are drawn there.
2. Files are taken in the order of a hash of their paths, so that the first ones are a random sample of all.
3. Each is read and checked; what does not decode is named, exact duplicates (of bytes) are left out.
4. What is said of an image is its caption, or else its tags: the names of the folders that it lies in.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurogloss.errors import MissingExtra, UserError, first_line
from neurogloss.foreign import read_json
from neurogloss.ids import canonical_json, hash64
from neurogloss.protocols import Progress
from neurogloss.settings import ImageSettings
from neurogloss.sources import tables
from neurogloss.sources.hub import HUB
from neurogloss.sources.vision import rows, shipped
from neurogloss.sources.vision.rows import SUFFIXES

SAID = ".captions.json"
"""In a folder that was written: what is said of each image."""
PATHS, CAPTIONS = ("path", "file_name"), ("caption", "text")
"""Columns of a table of captions; the second of each are those of `datasets`."""


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
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtra("Pillow", "pip install 'neurogloss[vision]'") from None
    return Image


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
        folder, captions = _written(cache, rows.read_hub(settings), progress)
    elif tables.is_saved(folder):
        folder, captions = _written(cache, rows.read_saved(settings), progress)
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
        rows.check_length(caption, where)
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
