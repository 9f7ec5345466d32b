"""Documents to collect from: read as a stream, split into two halves, cut into contexts.

A document's id is the hash of its text, and everything decided about it (half, context ids, fingerprint)
follows from that id: nothing depends on the order of reading. A corpus may also be given as rows of
token ids, in a .safetensors or .npy file.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from neurogloss.errors import UserError
from neurogloss.ids import hash64
from neurogloss.settings import DEMO_CORPUS
from neurogloss.sources import tables
from neurogloss.sources.loading import HUB

Half = Literal["explain", "score"]

SUFFIXES = (".txt", ".jsonl", ".jsonl.gz", ".parquet")
"""One document a .txt file; one a line with a JSON object, or a row, of the others, in the column asked for."""

_WORD_ENDS = re.compile(r"(?<=\S)(?=\s)")
NAME = "tokens"
"""The array of a .safetensors file that is read."""
ROWS = 64
"""Rows in memory at once."""
Slice = Callable[[int, int], NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Document:
    text: str
    id: int
    """Hash of the text, in [0, 2^64)."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Digest of a set of documents, the same in whatever order they were added."""

    documents: int = 0
    total: int = 0
    """Sum of the documents' ids, modulo 2^64."""

    def add(self, document_id: int) -> Fingerprint:
        return Fingerprint(self.documents + 1, (self.total + document_id) % 2**64)

    def __str__(self) -> str:
        return f"{self.documents}-{self.total:016x}"


def read_documents(corpus: str, *, column: str = "text") -> Iterator[Document]:
    """Stream the documents of `demo`, of a file, of a folder's files in sorted order, of a folder that `datasets`
    saved, or of a data set on the hub: `hub:NAME` or `hub:NAME:CONFIG:SPLIT`, by default its split `train`.

    Exact duplicates and blank documents are left out; hashes for that take about 70 bytes of memory a document.

    Args:
        column: which column, or field of a JSON object, is the text.

    Raises:
        MissingExtra: Parquet or a data set is asked for, and pyarrow or datasets is not installed.
        UserError: at once where there is nothing at that path or nothing that can be read, or no such column;
            while streaming where a file is not what its suffix says (naming file and line), or where no document
            was found.
    """
    if corpus.startswith(HUB):
        return _distinct(corpus, tables.read_hub(corpus, column))
    if tables.is_saved(Path(corpus)):
        return _distinct(corpus, tables.read_saved(Path(corpus), column))
    files = _files(corpus)
    for file in files:
        if file.name.lower().endswith(".parquet"):
            tables.check_parquet(file, column)
    return _distinct(corpus, (text for file in files for text in _texts(file, column)))


def half_of(document_id: int, seed: int) -> Half:
    """The half that a document belongs to; about even over documents."""
    return "explain" if hash64(document_id, seed, "half") & 1 else "score"


def context_id(document_id: int, start: int) -> int:
    """Id of the context that starts at character `start`, in [0, 2^64): its coordinate in the sketch."""
    return hash64(document_id, start)


def cut(text: str, chars: int) -> list[tuple[int, int]]:
    """Start and end of each context: together they cover `text`, without gaps or overlap.

    A context ends before the white space that is nearest to `chars` characters on (tokenizers attach white
    space to the word that follows), or at the end of the text. A stretch of over 2 * `chars` without white
    space is cut hard. A last piece of under `chars` / 4 joins the one before.
    """
    ends = [match.start() for match in _WORD_ENDS.finditer(text)]
    cuts = [0]
    while len(text) - cuts[-1] > chars:
        cuts.append(_next_cut(ends, cuts[-1], chars, len(text)))
    if cuts[-1] < len(text):
        cuts.append(len(text))
    if len(cuts) > 2 and cuts[-1] - cuts[-2] < chars / 4:
        del cuts[-2]
    return list(zip(cuts, cuts[1:], strict=False))


def _next_cut(ends: Sequence[int], start: int, chars: int, length: int) -> int:
    """Where the context from `start` ends; `ends` are the places before white space, ascending."""
    wanted = start + chars
    i = bisect_left(ends, wanted)
    candidates = (*ends[max(i - 1, 0) : i + 1], length)
    near = [end for end in candidates if start < end <= start + 2 * chars]
    return min(near, key=lambda end: abs(end - wanted), default=start + 2 * chars)


def _distinct(corpus: str, texts: Iterable[str]) -> Iterator[Document]:
    seen: set[int] = set()
    for text in texts:
        document = Document(text, hash64(text))
        if text.strip() and document.id not in seen:
            seen.add(document.id)
            yield document
    if not seen:
        raise UserError(f"Expected documents in {corpus}, found none with any text. Name a corpus that has some.")


def _files(corpus: str) -> list[Traversable]:
    if corpus == DEMO_CORPUS:
        return [resources.files("neurogloss.sources") / "data" / "demo.jsonl.gz"]
    path = Path(corpus)
    if not os.path.exists(path):  # unlike Path.exists, False for a name too long to be one
        raise UserError(
            f"Expected a corpus at {path}, found nothing there. "
            f"Give a file or folder of {', '.join(SUFFIXES)}, a saved data set, hub:NAME, or `{DEMO_CORPUS}`."
        )
    if path.is_file():
        files = [path]
    else:
        files = sorted(file for file in path.rglob("*") if file.is_file() and not _hidden(file, path))
    strange = [file for file in files if not file.name.lower().endswith(SUFFIXES)]
    if strange or not files:
        found = f"{strange[0]}" if strange else "no file"
        raise UserError(
            f"Expected files of {', '.join(SUFFIXES)} in {path}, found {found}. "
            "Convert what should be read, move away what should not."
        )
    return list(files)


def _hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def _texts(file: Traversable, column: str) -> Iterator[str]:
    """The documents of one file, with every way in which it can be wrong told by name."""
    name = file.name.lower()
    if name.endswith(".parquet"):
        yield from tables.read_parquet(file, column)
        return
    try:
        with file.open("rb") as raw:
            if name.endswith(".txt"):
                yield _decode(raw.read(), f"{file}")
            elif name.endswith(".gz"):
                with gzip.open(raw, "rb") as lines:
                    yield from _lines(lines, file, column)
            else:
                yield from _lines(raw, file, column)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(
            f"Expected {file} to be a whole gzip file, found: {error}. Copy or download it again."
        ) from None
    except OSError as error:
        raise UserError(f"Expected to read {file}, found: {error.strerror or error}. Mend that first.") from None


def _lines(lines: IO[bytes] | gzip.GzipFile, file: Traversable, column: str) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _text_of(_decode(line, f"{file}, line {number}"), f"{file}, line {number}", column)


def _decode(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"Expected UTF-8 in {where}, found byte 0x{data[error.start]:02x} at {error.start}. "
            "Convert the file to UTF-8."
        ) from None


def _text_of(line: str, where: str, column: str) -> str:
    try:
        value = json.loads(line)
        text = value.get(column) if isinstance(value, dict) else None
        if isinstance(text, str):
            text.encode()  # JSON can say half of a surrogate pair, which is no text
            return text
    except (ValueError, RecursionError):
        pass
    found = line.strip() if len(line) <= 60 else line[:60] + "…"
    raise UserError(
        f'Expected a JSON object with a string "{column}" in {where}, found: {found}  '
        f'Write one document a line, as {{"{column}": "…"}}, or name another column.'
    )


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
