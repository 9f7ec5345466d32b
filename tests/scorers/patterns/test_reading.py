"""What a pattern sees of a text, by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurogloss.scorers.patterns.forms import form_of
from neurogloss.scorers.patterns.names import CLASSES, PLACES
from neurogloss.scorers.patterns.reading import KINDS, read

TOKENS = (
    "I",
    "'d",
    " love",
    " fict",
    "ional",
    " news",
    ".",
    "\n",
    "-",
    " Here",
    " in",
    " ",
    "2",
    "0",
    "1",
    "4",
    "?",
)


def at(kind: str, value: str) -> list[int]:
    mask = read(TOKENS)[kind].get(value, 0)
    return [i for i in range(len(TOKENS)) if mask >> i & 1]


@pytest.mark.parametrize(
    ("kind", "value", "where"),
    [
        ("word", "i'd", [1]),
        ("word", "fict", [3]),
        ("word", "fictional", [4]),
        ("word", ".", [6]),
        ("piece", "'d", [1]),
        ("base", "i", [1]),
        ("begins", "fict", [4]),
        ("ends", "ional", [4]),
        ("mark", "-", [8]),
        ("is", "later-piece", [1, 4, 13, 14, 15]),
        ("is", "capitalised", [0, 1, 9]),
        ("is", "first-digit", [12]),
        ("is", "year", [13, 14, 15]),
        ("is", "line-break", [7]),
        ("is", "sentence-end", [6, 16]),
        ("at", "sentence", [0, 1, 9]),
        ("at", "second", [2, 10]),
        ("at", "line", [8]),
        ("at", "list", [9]),
        ("after", "love", [3, 4]),
        ("after", "in", [11, 12, 13, 14, 15]),
        ("after2", "here", [11, 12, 13, 14, 15]),
        ("topic", form_of("love"), list(range(3, 17))),
    ],
)
def test_a_feature_holds_where_it_should(kind: str, value: str, where: list[int]) -> None:
    assert at(kind, value) == where


def test_line_breaks_and_brackets() -> None:
    reading = read(("a", " (", "b", ")", "\n\n", "B"))
    assert reading["is"]["blank-line"] == 1 << 4
    assert reading["at"]["brackets"] == 0b110
    assert reading["at"]["line"] == 1 << 5


@given(st.lists(st.text(max_size=6), max_size=12))
def test_the_future_decides_nothing(tokens: list[str]) -> None:
    whole, part = read(tokens), read(tokens[:-1])
    kept = (1 << max(len(tokens) - 1, 0)) - 1
    for kind in KINDS:
        cut = {value: mask & kept for value, mask in whole[kind].items() if mask & kept}
        assert cut == part[kind]
    assert whole["is"].keys() <= CLASSES.keys() and whole["at"].keys() <= PLACES.keys()


@pytest.mark.parametrize(
    "family",
    [
        "make makes making made",
        "look looks looked looking",
        "stop stopped stopping",
        "hope hoped hoping",
        "provide provides provided providing",
        "city cities",
        "month months month's",
        "be is was been",
        "change changed changing changes",
    ],
)
def test_forms_of_one_word_have_one_key(family: str) -> None:
    assert len({form_of(word) for word in family.split()}) == 1


@pytest.mark.parametrize("pair", ["here her", "hop hope", "this thing", "news new", "bring bed"])
def test_other_words_have_others(pair: str) -> None:
    assert len({form_of(word) for word in pair.split()}) == 2
