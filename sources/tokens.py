"""A corpus of token ids that are cut already: rows of one length, in a .safetensors or .npy file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from neurogloss.errors import UserError
from neurogloss.ids import hash64

NAME = "tokens"
"""The array of a .safetensors file that is read."""
ROWS = 64
"""Rows in memory at once."""

Slice = Callable[[int, int], NDArray[Any]]


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One document of a corpus that is given as token ids."""

    ids: tuple[int, ...]
    id: int
    """Hash of the ids as little-endian 64-bit integers, in [0, 2^64): the same for every dtype of the file."""


def is_token_corpus(corpus: str) -> bool:
    """Whether a corpus is one of token ids, by its suffix."""
    return corpus.lower().endswith((".safetensors", ".npy"))


def read_token_rows(path: str | Path) -> Iterator[TokenRow]:
    """Stream the rows of an integer array (rows, length): `tokens` of a .safetensors file, or a .npy file.

    Exact duplicates are left out; hashes for that take about 70 bytes of memory a row.

    Raises:
        UserError: at once where there is no such file, or no such array in it; while streaming at a negative id.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise UserError(f"Expected token ids in {path}, found no file. Give a .safetensors or .npy file.")
        dtype, shape, part = _safetensors(path) if path.suffix.lower() == ".safetensors" else _npy(path)
    except (SafetensorError, ValueError, OSError, EOFError) as error:
        raise UserError(f"Expected token ids in {path}, found: {error}. Write the file again.") from None
    if len(shape) != 2 or not all(shape):
        raise UserError(
            f"Expected rows of token ids, shape (rows, length), in {path}, found shape {tuple(shape)}. "
            "Cut the ids into rows of one length."
        )
    if dtype not in ("I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8"):
        raise UserError(f"Expected integers in {path}, found {dtype}. Write token ids as int32.")
    return _rows(path, shape[0], part)


def _safetensors(path: Path) -> tuple[str, list[int], Slice]:
    # Opened for each part anew: pages that were read stay in memory for as long as the file is mapped.
    def part(first: int, last: int) -> NDArray[Any]:
        with safe_open(path, "numpy") as file:
            return np.asarray(file.get_slice(NAME)[first:last])

    with safe_open(path, "numpy") as file:
        names = list(file.keys())
        if NAME not in names:
            raise UserError(
                f"Expected an array {NAME!r} in {path}, found {', '.join(names) or 'none'}. Rename it."
            )
        tokens = file.get_slice(NAME)
        return tokens.get_dtype(), tokens.get_shape(), part


def _npy(path: Path) -> tuple[str, list[int], Slice]:
    def opened() -> NDArray[Any]:
        tokens = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(tokens, np.ndarray):
            raise UserError(f"Expected one array in {path}, found an archive. Save it with numpy.save.")
        return tokens

    tokens = opened()
    kind = {"i": "I", "u": "U"}.get(tokens.dtype.kind)
    dtype = f"{kind}{8 * tokens.dtype.itemsize}" if kind else str(tokens.dtype)
    return dtype, list(tokens.shape), lambda first, last: np.array(opened()[first:last])


def _rows(path: Path, n_rows: int, part: Slice) -> Iterator[TokenRow]:
    seen: set[int] = set()
    for first in range(0, n_rows, ROWS):
        block = part(first, min(first + ROWS, n_rows))
        wrong = np.argwhere((block < 0) | (block > np.iinfo(np.int32).max))
        if len(wrong):
            row, at = (int(i) for i in wrong[0])
            raise UserError(
                f"Expected token ids from 0 to 2^31 - 1 in {path}, found {block[row, at]} in row {first + row}, "
                f"place {at}. Leave padding out."
            )
        for ids in block.astype("<i8", copy=False):
            digest = hash64(ids.tobytes())
            if digest not in seen:
                seen.add(digest)
                yield TokenRow(tuple(ids.tolist()), digest)
