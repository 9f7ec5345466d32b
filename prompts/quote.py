"""Text as data in a prompt: one JSON string on one line, in which nothing can pass for the prompt itself.

What a model reads is not ours: a corpus holds orders, fences, marks and the control tokens of chat templates.

1. The text becomes a JSON string, so that it stays on its line.
2. Marks go around the marked tokens, outside the JSON escapes.
3. Where a text holds what looks like a mark or a control token, that is written with JSON escapes: the string
   still decodes to the same text, and no tokenizer reads a control token in it.
"""

from __future__ import annotations

import json
import re

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
    return quote_marked(Passage((text,)))


def quote_marked(passage: Passage) -> str:
    """The passage as a JSON string on one line, its marked tokens between `<<` and `>>`."""
    escaped = [json.dumps(token, ensure_ascii=False)[1:-1] for token in passage.tokens]
    text = "".join(escaped)
    # A control token may be spread over several of the subject's tokens, so it is looked for in the whole.
    risky = {match.start() for match in _CONTROL.finditer(text)} | {
        match.start() for match in _UNPRINTED.finditer(text)
    }
    if passage.marks and any(mark in text for mark in MARKS):
        risky |= {match.start() for match in _ANGLES.finditer(text)}
    start, tokens = 0, []
    for token in escaped:
        tokens.append("".join(_escape(c) if start + i in risky else c for i, c in enumerate(token)))
        start += len(token)
    return f'"{Passage(tuple(tokens), passage.marks).marked(*MARKS)}"'


def _escape(character: str) -> str:
    return f"\\u{ord(character):04x}"
