"""From and to others, models, servers and files: JSON, and archives that are not what they seem."""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import orjson

MOST_UNPACKED = 200
"""Times its size that an archive may unpack to, where that is much: deflate reaches 1,000 on zeros alone."""
MUCH = 1 << 28
"""Bytes."""


def read_json(text: str | bytes) -> Any:
    """The value that `text` is. Raises ValueError where it is none, or one nested too deep to be read."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass  # half surrogate pairs and NaN, say, which the standard library reads
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None


def check_archive(path: Path) -> None:
    """Raise ValueError where a zip archive unpacks to what would fill the memory. Other files pass."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > MUCH and unpacked > MOST_UNPACKED * path.stat().st_size:
            raise ValueError(f"it unpacks to {unpacked:,} bytes, {MOST_UNPACKED} times its size and more")


def write_json(value: Any) -> bytes:
    """One text for one value, which may hold dataclasses and bytes (in hexadecimal): keys sorted, UTF-8; what is
    none (half a surrogate pair) as its escape.
    """
    try:
        return orjson.dumps(value, _plain, orjson.OPT_SORT_KEYS)
    except TypeError:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
