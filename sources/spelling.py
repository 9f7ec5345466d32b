"""The text of token ids, and where in it each token begins.

1. The tokenizer's own decoder gives the text.
2. A table gives the bytes of each id, by the rule of the decoder's kind: byte-level BPE, WordPiece, or
   SentencePiece with its byte fallback.
3. Where the bytes of all ids, joined, are that text (but for one space that a decoder strips in front), a token
   begins where its bytes do; inside a character of several tokens, at that character.
4. Elsewhere a token begins where the text of the ids before it stops to agree with the whole: as exact, slower.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Speller:
    """Spells ids with a fast tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def spell(self, ids: Sequence[int]) -> tuple[str, tuple[int, ...]]:
        """The text of `ids`, special tokens included, and the first character of each id in it, ascending."""
        text = self._decode(ids)
        pieces = [self._table.get(i, b"") for i in ids]  # a padded vocabulary has ids without a token
        data = b"".join(pieces)
        offsets = np.cumsum([0, *map(len, pieces)], dtype=np.int64)[:-1]
        guess = data.decode("utf-8", errors="replace")
        if guess not in (text, " " + text):
            return text, self._slowly(ids, text)
        starts = np.append(_characters(data), len(guess))[offsets] - (len(guess) - len(text))
        return text, tuple(np.maximum(starts, 0).tolist())

    def _decode(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(
            list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text

    def _slowly(self, ids: Sequence[int], text: str) -> tuple[int, ...]:
        starts = [0]
        for n in range(1, len(ids)):
            agreed = len(os.path.commonprefix([self._decode(ids[:n]), text]))
            starts.append(max(agreed, starts[-1]))
        return tuple(starts[: len(ids)])

    @cached_property
    def _table(self) -> dict[int, bytes]:
        backend = self._tokenizer.backend_tokenizer
        decoder = json.dumps(json.loads(backend.to_str())["decoder"])
        kinds = {'"ByteLevel"': _byte_level, '"WordPiece"': _wordpiece}
        piece = next((kinds[kind] for kind in kinds if kind in decoder), _sentencepiece)
        return {i: piece(token) for token, i in backend.get_vocab(with_added_tokens=True).items()}


def _byte_alphabet() -> dict[str, int]:
    """Character that stands for each byte in byte-level BPE: itself where it can be seen, else from U+0100 on."""
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    unseen = [byte for byte in range(256) if byte not in seen]
    return {chr(byte): byte for byte in seen} | {chr(0x100 + n): byte for n, byte in enumerate(unseen)}


_BYTES = _byte_alphabet()


def _byte_level(token: str) -> bytes:
    if all(character in _BYTES for character in token):
        return bytes(_BYTES[character] for character in token)
    return token.encode()


def _wordpiece(token: str) -> bytes:
    return token[2:].encode() if token.startswith("##") else f" {token}".encode()


def _sentencepiece(token: str) -> bytes:
    if re.fullmatch(r"<0x[0-9A-F]{2}>", token):
        return bytes([int(token[3:5], 16)])
    return token.replace("▁", " ").encode()


def _characters(data: bytes) -> NDArray[np.int64]:
    """For each byte the index of the character that it is part of, invalid bytes replaced as Python does."""
    values = np.frombuffer(data, np.uint8)
    begins = (values & 0xC0) != 0x80
    at = 0
    while True:
        try:
            data[at:].decode()
        except UnicodeDecodeError as error:
            begins[at + error.start : at + error.end] = False
            begins[at + error.start] = True
            at += error.end
        else:
            return np.cumsum(begins, dtype=np.int64) - 1
