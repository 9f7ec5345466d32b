"""Names and numbers that must come out the same everywhere: unit ids, content hashes, seeds."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, order=True)
class UnitId:
    """One side of one row of a dictionary; prints as `subject/hookpoint/dictionary/index`.

    The negative side of a signed unit (a gated neuron, say) has a minus after its index: `…/neurons/803-`.
    """

    subject: str
    """Name of the subject; may itself hold slashes (a hub name)."""
    hookpoint: str
    """Module path in the subject, Hugging Face naming, with `.input` where the module's input is read."""
    dictionary: str
    """Name of the dictionary at that hookpoint, without slashes."""
    index: int
    """Row of the dictionary, from 0."""
    sign: int = 1
    """+1 or -1: which side of a signed unit."""

    def __str__(self) -> str:
        return f"{self.subject}/{self.hookpoint}/{self.dictionary}/{self.index}{'-' if self.sign < 0 else ''}"

    @classmethod
    def parse(cls, text: str) -> UnitId:
        """Read what `str` printed. Raises ValueError where `text` is no unit id."""
        parts = text.rsplit("/", 3)
        number = parts[-1].removesuffix("-")
        if len(parts) != 4 or not all(parts) or not number.isascii() or not number.isdigit():
            raise ValueError(f"expected subject/hookpoint/dictionary/index, found {text!r}")
        sign = -1 if parts[-1].endswith("-") else 1
        return cls(parts[0], parts[1], parts[2], int(number), sign)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """In JSON a unit id is its text."""
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, cls) else cls.parse(value),
            json_schema_input_schema=core_schema.str_schema(),
            serialization=core_schema.to_string_ser_schema(),
        )


def layer_of(hookpoint: str) -> int | None:
    """The layer number in a hookpoint's name, None where it has none."""
    match = re.search(r"\.(\d+)(?:\.|$)", hookpoint)
    return int(match.group(1)) if match else None


def canonical_json(value: Any) -> str:
    """One text for one value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_id(value: Any) -> str:
    """Tagged hash of a JSON value, `b2:` and 32 hexadecimal digits (blake2b, 128 bits)."""
    return "b2:" + hashlib.blake2b(canonical_json(value).encode(), digest_size=16).hexdigest()


def hash64(*parts: str | bytes | int) -> int:
    """64-bit hash of the parts, uniform over [0, 2^64): the coordinate of the bottom-k sketch."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return int.from_bytes(digest.digest(), "little")


def derive_seed(seed: int, *parts: str | int) -> int:
    """A seed of its own for each purpose and unit, in [0, 2^63)."""
    return hash64(seed, *parts) >> 1
