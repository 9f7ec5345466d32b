"""What a pattern can see: the words, marks and places of a text, as a causal model reads them.

`read` turns the tokens of one text into masks. A mask is an integer whose bit i is set if the feature holds at
token i. A feature depends on the text up to the end of its token alone, because the subject is causal: a word that
is cut into pieces is known piece by piece.

kind    holds at a token if
word    the word so far, or the mark or marks, is this (lower case)
form    the word so far is a form of this: `look` of looked and looking
begins  the word so far begins so (at most 5 letters)
ends    the word so far ends so (at most 5 letters)
piece   the token continues a word, and is this
base    the token continues a word, and this is what came before it in the word
mark    the token holds this punctuation mark or symbol
is      the token, or the word so far, is of this class (`neurogloss.scorers.patterns.names.CLASSES`)
at      the token is at this place (`neurogloss.scorers.patterns.names.PLACES`)
after   the word or mark before is this
after2  the word or mark two before is this
topic   a form of this word came earlier in the text (4 letters or more)
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from neurogloss.scorers.patterns.forms import form_of

KINDS = ("word", "form", "begins", "ends", "piece", "base", "mark", "is", "at", "after", "after2", "topic")
LETTERS = 5
"""Most letters of a beginning or an ending."""
TOPIC = 4
"""Least letters of a topic word."""

Masks = dict[str, int]
Reading = dict[str, Masks]
_WORD = re.compile(r"[^\W_]|['’]")
_END = re.compile(r"[.!?…]['\"”’)\]]*$")
_YEAR = re.compile(r"(1[5-9]|20)\d{0,2}")
_LIST = re.compile(r"[-*•+#]+|\d{1,2}[.)]|[a-z][.)]")


def read(tokens: Sequence[str]) -> Reading:
    """The masks of every feature that holds somewhere in a text, by kind and value."""
    found: Reading = {kind: {} for kind in KINDS}
    for bit, kind, values in _features(tokens):
        masks = found[kind]
        for value in values:
            masks[value] = masks.get(value, 0) | bit
    return found


def _features(tokens: Sequence[str]) -> Iterator[tuple[int, str, Sequence[str]]]:
    """(mask, kind, values) for all that holds."""
    state = _State()
    for i, token in enumerate(tokens):
        bit = 1 << i
        shape = _shape(token)
        inside = state.step(shape, i)
        word = state.word
        if word:
            lower = word.lower()
            facts = _facts(word)
            yield bit, "word", (lower,)
            yield bit, "form", (facts.form,)
            yield bit, "begins", facts.begins
            yield bit, "ends", facts.ends
            yield bit, "is", facts.classes
            if facts.form in state.topics or lower in state.seen:
                yield bit, "is", ("repeated",)
            if inside:
                yield bit, "piece", (shape.text.lower(),)
                yield bit, "base", (inside.lower(),)
                yield bit, "is", ("later-piece", "later-digit") if shape.text.isdigit() else ("later-piece",)
            else:
                yield bit, "is", ("first-piece", "first-digit") if shape.text[:1].isdigit() else ("first-piece",)
        else:
            if shape.text:
                yield bit, "word", (shape.text,)
                yield bit, "mark", shape.marks
            yield bit, "is", shape.classes
        if state.before:
            yield bit, "after", (state.before[-1],)
            if len(state.before) > 1:
                yield bit, "after2", (state.before[-2],)
        if places := state.places():
            yield bit, "at", places
    for topic, first in state.topics.items():
        yield (1 << len(tokens)) - (1 << first), "topic", (topic,)


class _Shape(NamedTuple):
    """What is known of a token by itself."""

    text: str
    """Without white space around it."""
    is_word: bool
    spaced: bool
    """Whether white space comes first."""
    marks: tuple[str, ...]
    classes: tuple[str, ...]
    """Of a token that is no word."""
    breaks: bool
    ends_sentence: bool


@lru_cache(1 << 16)
def _shape(token: str) -> _Shape:
    text = token.strip()
    is_word = bool(_WORD.match(text))
    classes: list[str] = []
    if not is_word:
        categories = {unicodedata.category(char)[0] for char in text}
        checks = {
            "line-break": "\n" in token,
            "blank-line": token.count("\n") > 1,
            "space": not text,
            "mark": "P" in categories,
            "symbol": "S" in categories or "_" in text,
            "sentence-end": bool(_END.search(text)),
            "opening": bool(text) and text[-1] in "([{“‘<",
            "closing": bool(text) and text[0] in ")]}”>",
        }
        classes = [name for name, holds in checks.items() if holds]
    marks = tuple(dict.fromkeys(text)) if not is_word else ()
    return _Shape(
        text, is_word, token[:1].isspace(), marks, tuple(classes), "\n" in token, bool(_END.search(text))
    )


class _Facts(NamedTuple):
    """What is known of a word, as far as it is there."""

    form: str
    begins: tuple[str, ...]
    ends: tuple[str, ...]
    classes: tuple[str, ...]


@lru_cache(1 << 17)
def _facts(word: str) -> _Facts:
    lower = word.lower()
    lengths = range(1, min(LETTERS, len(lower) - 1) + 1)
    first = word[0]
    checks = {
        "digit": word[-1].isdigit(),
        "year": bool(_YEAR.fullmatch(word)),
        "capitalised": first.isupper(),
        "capital": len(word) == 1 and first.isupper(),
        "upper": len(word) > 1 and word.isupper(),
        "lower": first.islower(),
        "accented": not lower.isascii() and bool(re.search("[à-ɏ]", lower)),
        "non-latin": not lower.isascii() and not unicodedata.name(word[-1], "LATIN").startswith("LATIN"),
        "long": len(word) >= 10,
    }
    return _Facts(
        form_of(lower),
        tuple(lower[:n] for n in lengths),
        tuple(lower[-n:] for n in lengths),
        tuple(name for name, holds in checks.items() if holds),
    )


class _State:
    """What came before the present token."""

    def __init__(self) -> None:
        self.word = ""
        """The word so far; empty at marks and white space."""
        self.before: list[str] = []
        """Words and marks before the present one, lower case."""
        self.seen: set[str] = set()
        self.topics: dict[str, int] = {}
        """The forms of long words before, and the first token after each."""
        self._in_sentence = 0
        """Words of the sentence before the present one."""
        self._in_line = 1
        """Words and marks of the line before the present one; a text may start amid a line."""
        self._line = ""
        self._mark = ""
        """The present mark, not yet among those before."""
        self._sentence_over = False
        self._quotes = self._brackets = 0
        self._first = True

    def step(self, shape: _Shape, i: int) -> str:
        """Take the next token in; returns what came before it in its word, empty if it does not continue one."""
        goes_on = bool(shape.is_word and self.word and not shape.spaced)
        base = self.word if goes_on else ""
        if goes_on:
            self.word += shape.text
            return base
        self._close(i)
        if shape.breaks and not shape.is_word:
            self._in_line, self._line, self._in_sentence = 0, "", 0
        elif shape.breaks:
            self._in_line, self._line = 0, ""
        if shape.is_word:
            self.word = shape.text
            if self._first and shape.text[:1].islower():
                self._in_sentence = 2  # a text that starts amid a sentence
        elif shape.text:
            self._mark = shape.text
            self._sentence_over = shape.ends_sentence
            for char in shape.text:
                self._brackets = max(0, self._brackets + (char in "([{") - (char in ")]}"))
                self._quotes = 1 if char == "“" else 0 if char == "”" else self._quotes ^ (char == '"')
        self._first = False
        return ""

    def _close(self, i: int) -> None:
        """The present word or mark becomes one of those before, as token `i` has it."""
        if self.word:
            lower = self.word.lower()
            self.before.append(lower)
            self.seen.add(lower)
            if len(lower) >= TOPIC:
                self.topics.setdefault(form_of(lower), i)
            self._in_sentence += 1
            self._line += lower
            self._in_line += 1
        elif self._mark:
            self.before.append(self._mark)
            self._line += self._mark
            self._in_line += 1
            if self._sentence_over and not _LIST.fullmatch(self._line):
                self._in_sentence = 0
        self.word = self._mark = ""

    def places(self) -> list[str]:
        """Where the present token is."""
        found = []
        if self.word and self._in_sentence < 2:
            found.append("second" if self._in_sentence else "sentence")
        if self._in_line == 0 and (self.word or self._mark):
            found.append("line")
        if self.word and 0 < len(self._line) < 4 and _LIST.fullmatch(self._line):
            found.append("list")
        if self._quotes:
            found.append("quotes")
        if self._brackets:
            found.append("brackets")
        return found
