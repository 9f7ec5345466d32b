"""Reading and writing that the formats share: errors name file and line, output appears whole or not at all."""

from __future__ import annotations

import gzip
import json
import math
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import IO, Any, BinaryIO, TypeVar, cast

from neurogloss.errors import UserError
from neurogloss.folder import replacing

Item = TypeVar("Item")

INSTALL = "pip install pyarrow datasets   (the extra [corpora])"


def pages(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items in lists of `size`, the last one shorter."""
    rest = iter(items)
    while page := list(islice(rest, size)):
        yield page


def plain(value: Any) -> Any:
    """A value as JSON in UTF-8 has it: NaN and infinities become null, what JSON does not know its text."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, (int, bool)) else str(value)


def read_json(path: Path) -> Any:
    """The JSON value that is a file. Raises UserError where it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        raise UserError(f"Expected JSON in {path}, found: {error}. Copy or write the file again.") from None


def json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each line's object with `file, line n`; the file may be gzipped. Empty lines are passed over.

    Raises:
        UserError: the file is damaged, or a line is no JSON object.
    """
    number = 0
    try:
        with cast(IO[bytes], gzip.open(path) if path.suffix == ".gz" else open(path, "rb")) as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    value = json.loads(line.decode("utf-8-sig"), parse_constant=lambda _: None)
                    if not isinstance(value, dict):
                        raise _line(path, number, f"{type(value).__name__} instead of an object")
                    yield f"{path}, line {number}", value
    except (ValueError, RecursionError) as error:
        raise _line(path, number, f"{error}") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"Expected a whole gzip file at {path}, found: {error}. Copy it again.") from None


def _line(path: Path, number: int, found: str) -> UserError:
    return UserError(f"Expected a JSON object in {path}, line {number}, found: {found}. Mend that line.")


def digest(root: Path, files: Sequence[Path]) -> str:
    """`b2:` and blake2b (128 bits) of the files' bytes and their names below `root`."""
    whole = blake2b(digest_size=16)
    for path in files:
        name = path.relative_to(root).as_posix() if path != root else ""
        with open(path, "rb") as file:
            content = blake2b(digest_size=16)
            while block := file.read(1 << 20):
                content.update(block)
        whole.update(f"{name}\0{content.hexdigest()}\n".encode())
    return f"b2:{whole.hexdigest()}"


def json_line(value: Mapping[str, Any]) -> bytes:
    """An object as one line, its keys in their order."""
    return (json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n").encode()


def require_new(path: Path) -> None:
    """Raise UserError where something is at that path already."""
    if path.exists():
        raise UserError(f"Expected nothing at {path} yet, found something. Name another path, or remove it.")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill that becomes `path` when all is written. Raises UserError where something is there."""
    require_new(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir()
        yield temporary
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write that becomes `path` when it is whole. Raises UserError where something is there."""
    require_new(path)
    try:
        with replacing(path) as file:
            yield file
    finally:
        path.with_name(f".{path.name}.{os.getpid()}.tmp").unlink(missing_ok=True)


@contextmanager
def gzipped(file: BinaryIO) -> Iterator[BinaryIO]:
    """What is written compressed to `file`: the same bytes for the same content."""
    with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as compressed:
        yield cast(BinaryIO, compressed)
