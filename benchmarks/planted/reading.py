"""What a prompt says: passages with their marks, texts, pairs, an explanation. Read from the words alone.

A passage is a JSON string on a numbered line inside a fence under a heading; marks stand outside the escapes.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from benchmarks.planted.rules import covered, token_ends

_BLOCK = re.compile(r"^([A-Z][a-z ]*):\n```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_STRING = r'"((?:[^"\\]|\\.)*)"'
_LINE = re.compile(rf"^\d+[AB]?\. {_STRING}", re.MULTILINE)
_EXPLANATION = re.compile(rf"^(?:Explanation|Best explanation so far): ({_STRING})$", re.MULTILINE)
MARKED = ("Passages", "Missed", "Marked texts")
"""Headings under which texts have marks."""
_MARK = re.compile("<<|>>")


@dataclass(frozen=True)
class Seen:
    """A text, and which of its tokens were marked."""

    text: str
    marks: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Prompt:
    """The last thing that was asked."""

    blocks: dict[str, list[Seen]]
    """By heading."""
    explanation: str | None


def read(text: str) -> Prompt:
    """A prompt's last user message, or what experiments found."""
    said = _EXPLANATION.search(text)
    blocks = {
        match[1]: [
            unmark(line[1]) if match[1] in MARKED else Seen(json.loads(f'"{line[1]}"'))
            for line in _LINE.finditer(match[2])
        ]
        for match in _BLOCK.finditer(text)
    }
    return Prompt(blocks, json.loads(said[1]) if said else None)


@lru_cache(1 << 16)
def unmark(written: str) -> Seen:
    """What stands between the quotes of a JSON string, with marks or without."""
    parts = [str(json.loads(f'"{part}"')) for part in _MARK.split(written)]
    text = "".join(parts)
    bounds = list(accumulate(map(len, parts)))
    # Every second part was marked.
    spans = zip(bounds[::2], bounds[1::2], strict=False)
    return Seen(text, frozenset(i for span in spans for i in covered(span, token_ends(text))))
