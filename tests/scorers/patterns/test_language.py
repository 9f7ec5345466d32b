"""Patterns run, read, written and said."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurogloss.scorers.patterns.english import describe
from neurogloss.scorers.patterns.language import TEST_KINDS, Condition, Pattern, Test, pattern_of
from neurogloss.scorers.patterns.names import CLASSES, PLACES
from neurogloss.scorers.patterns.syntax import parse, write

VALUES = {
    "is": st.sampled_from(sorted(CLASSES)),
    "at": st.sampled_from(sorted(PLACES)),
    "mark": st.sampled_from([*',.;:|"@/\\=', "—"]),
}
WORDS = st.text(st.characters(categories=["Ll", "Nd", "P", "S"]), min_size=1, max_size=5).filter(
    lambda word: word == word.lower() and not any(map(str.isspace, word))
)


@st.composite
def drawn_tests(draw: st.DrawFn) -> Test:
    kind = draw(st.sampled_from(TEST_KINDS))
    return Test(kind, tuple(draw(st.lists(VALUES.get(kind, WORDS), min_size=1, max_size=4, unique=True))))


GRADES = st.floats(0, 1)
CONDITIONS = st.builds(Condition, st.lists(drawn_tests(), min_size=1, max_size=3).map(tuple), GRADES, GRADES)
PATTERNS = st.builds(Pattern, st.lists(CONDITIONS, min_size=1, max_size=6).map(tuple))


@given(PATTERNS)
def test_what_is_written_reads_as_the_same(pattern: Pattern) -> None:
    assert parse(write(pattern)) == pattern


@given(PATTERNS)
def test_json_reads_as_the_same(pattern: Pattern) -> None:
    assert pattern_of(json.loads(json.dumps(pattern.json()))) == pattern


@given(PATTERNS)
def test_every_pattern_is_said(pattern: Pattern) -> None:
    said = describe(pattern)
    assert said and said == said.strip() and "\n" not in said


@given(PATTERNS, st.lists(st.sampled_from([" here", " is", "It", "s", ".", "\n", " 2", "0"]), max_size=10))
def test_predictions_agree(pattern: Pattern, tokens: list[str]) -> None:
    chances = pattern.chances(tokens)
    assert pattern.chance(tokens) == max(chances, default=0.0)
    assert all(i in pattern.positions(tokens) for i, chance in enumerate(chances) if chance)
    for i in range(len(tokens)):
        assert pattern.chance(tokens, [i]) == chances[i]


def test_conditions_by_hand() -> None:
    pattern = parse("word:here|there at:sentence @0.9/0.5; ends:ic @0.3/0.2")
    tokens = ("There", " is", " a", " Republ", "ic", " here", ".")
    assert pattern.chances(tokens) == (0.9, 0, 0, 0, 0.3, 0, 0)
    assert pattern.strengths(tokens) == (0.5, 0, 0, 0, 0.2, 0, 0)
    assert pattern.positions(tokens) == (0, 4)
    assert pattern.chance(tokens) == 0.9
    assert pattern.chance(tokens, [5, 6]) == 0.0


def test_families_go_by_any_member() -> None:
    assert (
        parse("form:looking").positions((" She", " looks"))
        == parse("form:look").positions((" She", " looks"))
        == (1,)
    )


def test_like_words_are_words() -> None:
    assert parse("like:sun|moon").positions((" the", " moon")) == (1,)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ends:ic", "words that end in *-ic*"),
        ("word:here|there at:sentence", "the words *here* or *there* at the start of a sentence"),
        ("is:year", "digits of years, as in *2014*"),
        (
            "word:would after:i @0.8/0.5; piece:'d @0.7/0.5",
            "the word *would* after *i*; the piece *-'d* inside a word",
        ),
        ("word:here @0.9/0.5; word:there @0.2/0.1", "the word *here*; less often the word *there*"),
        ("word:,|.", "commas or full stops"),
        ("is:line-break", "line breaks"),
        ("begins:j is:capital", "words that begin with *j-* as a single capital letter"),
        ("form:look|seem", "forms of *look* or *seem*"),
        ("like:sun|moon|stars|planet|mars", "words such as *sun*, *moon*, *stars*, *planet*"),
        ("topic:galaxy", "texts that mention *galaxy*"),
        ("after:took", "what comes after *took*"),
    ],
)
def test_said_in_english(line: str, said: str) -> None:
    assert describe(parse(line)) == said


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "1 to 3 tests"),
        ("here", "with a colon after 'here'"),
        ("colour:red", "a kind of test"),
        ("is:red", "expected is: one of"),
        ("ends:", "expected a value"),
        ("word:;", "expected a value"),
        ('word:"here', "closing quotation mark"),
        ("word:Here", "lower case"),
        ("ends:ization", "at most 5 letters"),
        ("word:here @2/1", "in \\[0, 1\\]"),
        ("word:here @often", "@CHANCE/STRENGTH"),
        ("word:a|a", "different values"),
        (";".join(["word:a"] * 7), "1 to 6 conditions"),
    ],
)
def test_what_is_no_pattern_says_why(line: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse(line)


@pytest.mark.parametrize("stored", [{}, {"conditions": [{}]}, {"conditions": 3}, {"conditions": [{"when": [1]}]}])
def test_what_is_not_the_json_of_a_pattern_says_so(stored: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        pattern_of(stored)
