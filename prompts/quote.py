"""Text as data in a prompt: one JSON string on one line, in which nothing can pass for the prompt itself.

What a model reads is not ours: a corpus holds orders, fences, marks and the control tokens of chat templates.

1. The text becomes a JSON string, so that it stays on its line.
2. Marks go around the marked tokens, outside the JSON escapes.
3. Where a text holds what looks like a mark or a control token, that is written with JSON escapes: the string
   still decodes to the same text, and no tokenizer reads a control token in it.
"""

from __future__ import annotations

import re
from itertools import accumulate, pairwise
from json.encoder import encode_basestring

from neurogloss.records import Passage

MARKS = ("<<", ">>")
"""What stands before and after a run of marked tokens."""

_CONTROL = re.compile(
    r"<(?=[|\uff5c])"  # <|im_start|>, <|eot_id|> and their like
    r"|<(?=/?s>|/?(?:bos|eos|pad|unk|mask|(?:start|end)_of_turn|think)>)"
    r"|\[(?=/?[A-Z_]{4,}\])"  # [INST], [/INST], [SYSTEM_PROMPT]
)
_UNPRINTED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_ANGLES = re.compile("[<>]")


def quote(text: str) -> str:
    """`text` as a JSON string on one line."""
    escaped = encode_basestring(text)
    risky = _risky(escaped, marked=False)
    return "".join(_escape(c) if i in risky else c for i, c in enumerate(escaped)) if risky else escaped


def quote_marked(passage: Passage) -> str:
    """The passage as a JSON string on one line, its marked tokens between `<<` and `>>`."""
    if not passage.marks:
        return quote(passage.text)
    tokens, marks = passage.tokens, set(passage.marks)
    # A run ends where it is marked on one side alone.
    bounds = list(pairwise(sorted({0, len(tokens)} | (marks ^ {mark + 1 for mark in marks}))))
    runs = [encode_basestring("".join(tokens[start:end]))[1:-1] for start, end in bounds]
    # A control token may be spread over several runs, so it is looked for in the whole.
    if risky := _risky("".join(runs), marked=True):
        starts = accumulate(map(len, runs), initial=0)
        runs = [
            "".join(_escape(c) if i in risky else c for i, c in enumerate(run, start))
            for start, run in zip(starts, runs, strict=False)
        ]
    written = [run.join(MARKS) if start in marks else run for (start, _), run in zip(bounds, runs, strict=True)]
    return f'"{"".join(written)}"'


def stimulus(passage: Passage, marked: bool = False) -> str:
    """The passage as a JSON string, with its marks or without; where it is an image, a word that stands for it."""
    if passage.picture:
        return "picture"
    return quote_marked(passage) if marked else quote(passage.text)


def _risky(text: str, marked: bool) -> set[int]:
    """Positions of the characters that are to be written as JSON escapes."""
    if not ("<" in text or ">>" in text or "[" in text) and text.isprintable():
        return set()  # as nearly all texts are
    patterns = [_CONTROL, _UNPRINTED]
    if marked and any(mark in text for mark in MARKS):
        patterns.append(_ANGLES)
    return {match.start() for pattern in patterns for match in pattern.finditer(text)}


def _escape(character: str) -> str:
    return f"\\u{ord(character):04x}"
