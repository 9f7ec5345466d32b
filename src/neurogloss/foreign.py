"""Safe parsing of untrusted input: lenient JSON and a zip-bomb check."""

from __future__ import annotations

import json
import reprlib
import zipfile
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import orjson

MOST_UNPACKED = 200
"""Times its size that an archive may unpack to, where that is much: deflate reaches 1,000 on zeros alone."""
MUCH = 1 << 28
"""Bytes."""
_BRIEF = reprlib.Repr()
_BRIEF.maxlevel, _BRIEF.maxstring, _BRIEF.maxdict, _BRIEF.maxlist = 6, 120, 8, 8


class HalfCharacter(ValueError):
    """JSON whose strings hold half of a surrogate pair, which no text can hold."""


def read_json(text: str | bytes) -> Any:
    """Reads JSON, NaN and infinities included. Every string of the value can be encoded.

    Raises:
        HalfCharacter: a string holds half of a surrogate pair.
        ValueError: `text` is not JSON, or is nested too deep.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deep") from None
    except UnicodeEncodeError:
        raise HalfCharacter("half of a surrogate pair") from None
    return value


def encodable(text: str | bytes) -> str:
    """The text with a replacement for what cannot be encoded."""
    data = text.encode(errors="replace") if isinstance(text, str) else text
    return data.decode(errors="replace")


def shown(value: Any) -> str:
    """The beginning of a value of any depth and size, for a message."""
    return encodable(_BRIEF.repr(value))[:200]


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
