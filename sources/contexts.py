"""The contexts of a corpus on disk, once: columns that a pass appends to, and a way to each context by its hash.

    hashes.u64  is_score.u8  first_byte.i64  first_token.i64      one value a context, in the order of reading
    text.u8                                                       the texts one after another, UTF-8; behind a
                                                                  caption the path of its image
    token_bytes.u16                                               the length of each token in bytes
    explain_hashes.u64  explain_rows.i64  score_hashes.u64 …      each half by hash, once all is read

Columns are raw little-endian arrays. A killed pass leaves columns that are longer than its manifest says; what
is too much is cut off before more is appended. Reading maps the files: nothing of the corpus stays in memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from neurogloss.errors import UserError
from neurogloss.folder import replace_file
from neurogloss.protocols import Embedder
from neurogloss.records import Context
from neurogloss.sources.corpus import Half

HALVES: tuple[Half, Half] = ("explain", "score")
COLUMNS: dict[str, np.dtype[Any]] = {
    "hashes": np.dtype("<u8"),
    "is_score": np.dtype("u1"),
    "first_byte": np.dtype("<i8"),
    "first_token": np.dtype("<i8"),
    "text": np.dtype("u1"),
    "token_bytes": np.dtype("<u2"),
}
MAX_TOKENS = 48
"""Contexts with more tokens (base64, long numbers) are not kept; the manifest counts them."""
KEPT = 16_384
"""Contexts kept in memory as text. Units share contexts, because their samples are coordinated."""
POOL = 4_096
"""Contexts in a pool at most."""


def append(folder: Path, rows: Mapping[str, NDArray[Any]]) -> None:
    """Add to every column what `rows` has for it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, dtype in COLUMNS.items():
        with open(_path(folder, name, dtype), "ab") as file:
            file.write(rows[name].astype(dtype, copy=False).tobytes())
            file.flush()
            os.fsync(file.fileno())


def lengths(folder: Path) -> dict[str, int]:
    """Values in each column."""
    paths = {name: (_path(folder, name, dtype), dtype) for name, dtype in COLUMNS.items()}
    return {name: path.stat().st_size // dtype.itemsize for name, (path, dtype) in paths.items() if path.is_file()}


def cut_back(folder: Path, wanted: Mapping[str, int]) -> None:
    """Cut off what a killed pass appended beyond `wanted`. Raises UserError where a column is shorter."""
    for name, dtype in COLUMNS.items():
        path = _path(folder, name, dtype)
        size = wanted.get(name, 0) * dtype.itemsize
        found = path.stat().st_size if path.is_file() else 0
        if found < size:
            raise damaged(path, f"{found} bytes, not {size}")
        if found > size:
            os.truncate(path, size)


def write_order(folder: Path, wanted: Mapping[str, int]) -> None:
    """Write each half by hash, when all contexts are there."""
    hashes, is_score = (_map(folder, name, COLUMNS[name], wanted.get(name, 0)) for name in ("hashes", "is_score"))
    for half in HALVES:
        rows = np.flatnonzero(is_score == (half == "score"))
        rows = rows[np.argsort(hashes[rows])]
        replace_file(_path(folder, f"{half}_hashes", np.dtype("<u8")), hashes[rows].tobytes())
        replace_file(_path(folder, f"{half}_rows", np.dtype("<i8")), rows.astype("<i8").tobytes())


class Contexts:
    """All contexts of a finished pass, by hash. Raises UserError where a column is missing or too short."""

    def __init__(self, folder: Path, wanted: Mapping[str, int], pictures: str = "") -> None:
        """`pictures`: the folder that paths of images start from."""
        self._pictures = pictures
        self.columns = {name: _map(folder, name, dtype, wanted[name]) for name, dtype in COLUMNS.items()}
        """As they are on disk, mapped."""
        self._by_hash = {half: self._order_of(folder, half) for half in HALVES}

    def hashes(self, half: Half) -> NDArray[np.uint64]:
        """Of all contexts of a half, ascending."""
        return self._by_hash[half][0]

    @cached_property
    def get(self) -> Callable[[int], Context]:
        """The context with a hash; the latest used are kept in memory."""
        return lru_cache(KEPT)(self._get)

    def _get(self, digest: int) -> Context:
        columns, row = self.columns, self._row(digest)
        last = row + 1 == len(columns["hashes"])
        tokens = slice(columns["first_token"][row], None if last else columns["first_token"][row + 1])
        text = slice(columns["first_byte"][row], None if last else columns["first_byte"][row + 1])
        data, at, parts = columns["text"][text].tobytes(), 0, []
        for length in columns["token_bytes"][tokens].tolist():
            parts.append(data[at : at + length].decode())
            at += length
        picture = os.path.join(self._pictures, data[at:].decode()) if at < len(data) else ""
        return Context(f"{digest:016x}", tuple(parts), picture)

    def _row(self, digest: int) -> int:
        wanted = np.uint64(digest)
        for hashes, rows in self._by_hash.values():
            at = int(np.searchsorted(hashes, wanted))
            if at < len(hashes) and hashes[at] == wanted:
                return int(rows[at])
        raise KeyError(f"no context has the hash {digest:016x}")

    def _order_of(self, folder: Path, half: Half) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        n = int((self.columns["is_score"] == (half == "score")).sum())
        hashes = _map(folder, f"{half}_hashes", np.dtype("<u8"), n)
        return hashes, _map(folder, f"{half}_rows", np.dtype("<i8"), n)


def _map(folder: Path, name: str, dtype: np.dtype[Any], length: int) -> NDArray[Any]:
    path = _path(folder, name, dtype)
    found = path.stat().st_size if path.is_file() else 0
    if found < length * dtype.itemsize:
        raise damaged(path, f"{found} bytes, not {length * dtype.itemsize}")
    if not length:
        return np.zeros(0, dtype)
    return np.asarray(np.memmap(path, dtype, "r", shape=(length,)))


def _path(folder: Path, name: str, dtype: np.dtype[Any]) -> Path:
    return folder / f"{name}.{dtype.kind}{dtype.itemsize * 8}"


def damaged(path: Path, found: object) -> UserError:
    """What is said of a file of a cache that does not read."""
    return UserError(f"{path} is missing or damaged ({found}). Collect again into a new run folder.")


class Pool:
    """The first contexts of a half by hash."""

    def __init__(self, contexts: Contexts, half: Half) -> None:
        self.hashes: list[int] = contexts.hashes(half)[:POOL].tolist()
        self._get = contexts.get

    @cached_property
    def _by_word(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for digest in self.hashes:
            for word in {word_of(token) for token in self._get(digest).tokens}:
                found.setdefault(word, []).append(digest)
        return found

    def holding(self, word: str) -> list[int]:
        """Hashes of the contexts with a token that is this word (`word_of`), ascending."""
        return self._by_word.get(word, [])

    def like(self, texts: Sequence[str], embedder: Embedder) -> list[int]:
        """Hashes of all contexts, those first whose cosine with any of the texts is the largest."""
        nearness = (self._vectors(embedder) @ embedder.embed(texts).T).max(1)
        return [self.hashes[row] for row in np.argsort(-nearness, kind="stable").tolist()]

    @cached_property
    def _vectors(self) -> Callable[[Embedder], NDArray[np.float32]]:
        def embed(embedder: Embedder) -> NDArray[np.float32]:
            return embedder.embed([self._get(digest).text for digest in self.hashes])

        return cast(Callable[[Embedder], NDArray[np.float32]], lru_cache(1)(embed))  # once for all units


def word_of(token: str) -> str:
    """A token without white space around it and without case: ` The` and `the` are one word."""
    return token.strip().casefold()
