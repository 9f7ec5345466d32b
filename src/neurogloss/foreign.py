"""JSON from and to others: models, servers, files."""

from __future__ import annotations

import json
from dataclasses import asdict, is_dataclass
from typing import Any

import orjson


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
