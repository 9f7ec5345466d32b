"""Candidates out of hand-made examples: whole words, signs by name, phrases and lists, none twice."""

from __future__ import annotations

import pytest

from neurogloss.agent.explainers.words import NAMES, active_list, candidates, distinct, seen
from neurogloss.ids import UnitId
from neurogloss.protocols import Material
from neurogloss.records import Context, EvidenceHalf, Example, OutputTokens

NUMBERS = iter(range(10**6))


def example(*tokens: str, peak: float = 2.0) -> Example:
    """The tokens in capitals are active, those after a * at half the peak."""
    activations = tuple(0.5 * peak if t[0] == "*" else peak if t.isupper() else 0.0 for t in tokens)
    text = tuple(t.removeprefix("*").lower() for t in tokens)
    return Example(Context(f"{next(NUMBERS):016x}", text), activations)


def sign(*tokens: str, at: int) -> Example:
    """Active at one token, which has no capitals."""
    return Example(Context(f"{next(NUMBERS):016x}", tokens), tuple(float(i == at) for i in range(len(tokens))))


def silent(*texts: str) -> tuple[Context, ...]:
    return tuple(Context(f"{next(NUMBERS):016x}", (text,)) for text in texts)


def material(
    *uniform: Example,
    top: tuple[Example, ...] = (),
    negatives: tuple[Context, ...] = (),
    promoted: tuple[str, ...] = (),
) -> Material:
    outputs = OutputTokens(tuple((token, 1.0) for token in promoted), ())
    return Material(UnitId("tiny", "layer", "neurons", 0), EvidenceHalf(top, uniform, negatives), outputs, 0)


def test_a_part_of_a_word_stands_for_the_word() -> None:
    assert seen(example("on", " tues", "DAY", " we")).active == ("tuesday",)
    assert seen(example("on", " TUES", "DAY", " we", " MET")).active == ("tuesday", "met"), (
        "once, though two tokens"
    )
    assert seen(example("the", " TODAY'S", " plan")).active == ("today's",)
    assert seen(example("a", " well", "-", "KNOWN", " man")).active == ("well-known",)


def test_a_token_over_two_words_stands_for_the_one_that_it_holds_more_of() -> None:
    assert seen(sign("a", "n elephant", "s b", at=1)).active == ("elephants",)


@pytest.mark.parametrize(
    ("token", "name"),
    [
        (".", "full stops"),
        ("...", "full stops"),
        (" (", "opening parentheses"),
        (",\n", "commas"),
        ("\n\n", "line breaks"),
        (" ", ""),
        ("†", ""),
    ],
)
def test_a_sign_has_a_name(token: str, name: str) -> None:
    assert seen(sign("so", token, " then", at=1)).active == ((name,) if name else ())


def test_every_sign_that_has_a_name_is_found_by_it() -> None:
    for mark, name in NAMES.items():
        assert seen(sign("so ", mark, " then", at=1)).active == (name,)


def test_words_are_those_of_the_whole_example_in_lower_case() -> None:
    found = seen(sign("Dear ", "Ms", " O’Neil", ",\n", "the 3rd_item", at=0))
    assert found.all == {"dear", "ms", "o’neil", "the", "3rd", "item"}


@pytest.mark.parametrize(
    ("tokens", "phrases"),
    [
        (("in", " the", " MIDDLE", " of", " it"), ("the middle", "middle of")),
        (("MIDDLE", " of", " it"), ("middle of",)),
        (("in", " the", " MIDDLE"), ("the middle",)),
        (("MIDDLE",), ()),
        (("in", " the", " mid", "DLE", " of"), ("the middle", "middle of")),
        (("*cold", " soup", " or", " HOT", " tea"), ("or hot", "hot tea")),
    ],
)
def test_phrases_are_the_peaks_word_with_its_neighbours(tokens: tuple[str, ...], phrases: tuple[str, ...]) -> None:
    assert seen(example(*tokens)).phrases == phrases


def test_a_sign_is_in_no_phrase() -> None:
    assert seen(sign("yes", ",", " sir", at=1)).phrases == ()


def test_phrases_need_three_contexts() -> None:
    """The first example is in both samples, and counts once."""
    shared = example("we", " met", " in", " THE", " garden", " shed")
    second = example("they", " sat", " in", " THE", " garden", " now")
    third = example("down", " in", " THE", " garden", " went", " he")
    assert "in the, the garden" in candidates(material(shared, second, third, top=(shared,)))
    assert not any("in the" in text for text in candidates(material(shared, second, top=(shared, second))))


COLOURS = material(
    example("a", " RED", " door", peak=2.0),
    example("x", " GREEN", " light", peak=3.0),
    example("no", " RED", " cross", peak=1.5),
    example("an", " OLD", " hat", peak=3.0),
    example("his", " GREEN", " tie", peak=0.25),
)


def test_active_words_stand_by_the_peaks_of_their_examples() -> None:
    """3.5 for red; 3.25 for green; 3 for old, which is active only once."""
    found = candidates(COLOURS)
    assert found == ["red, green", "red, green, old"]
    assert active_list(COLOURS) == "red, green, old" and active_list(COLOURS, 2) == "red, green"


def test_equal_peaks_stand_by_the_alphabet() -> None:
    given = material(example("RED"), example("BLUE"), example("GREEN"))
    assert active_list(given) == "blue, green, red"


def test_an_example_in_both_samples_weighs_once() -> None:
    both, one = example("a", " RED", peak=2.0), example("x", " GREEN", peak=3.0)
    assert active_list(material(one, both, top=(both,))) == "green, red"
    assert distinct([both, one, both]) == [both, one]


def test_words_of_the_context_are_those_that_silent_ones_lack() -> None:
    """`court` is in all three and in no silent context; `the` is everywhere; `judge` is in one."""
    found = candidates(
        material(
            sign("the court sat", "†", at=1),
            sign("the court rose", "†", at=1),
            sign("the court and the judge", "†", at=1),
            negatives=silent("the cat", "the dog", "the rain", "and the sun"),
        )
    )
    assert found == ["court"], "alone, where nothing makes a list"


def test_words_of_the_context_stand_by_how_much_they_are_over_represented() -> None:
    """`oven` and `flour` are in 4 and 3 of 4 contexts and in no silent one, `salt` in 2 and in 3 of 12."""
    rows = ["oven flour", "oven flour", "oven flour salt", "oven salt"]
    found = candidates(
        material(
            *(sign(row, "†", at=1) for row in rows),
            negatives=silent("salt water", "salt road", "the salt", *(["rain"] * 9)),
        )
    )
    assert found == ["oven, flour", "oven, flour, salt"]


def test_one_context_twice_is_not_two() -> None:
    """In both samples, a context's own words are shared with nothing."""
    both = sign("the court sat", "†", at=1)
    assert candidates(material(both, top=(both,), negatives=silent("rain", "sun"))) == []


def test_lists_mix_active_context_and_promoted_words() -> None:
    found = candidates(
        material(
            example("they", " BOIL", " the", " soup"),
            example("some", " FRY", " the", " soup"),
            negatives=silent("the end", "the start", "the middle"),
            promoted=(" cooking", " Cook", " pan", " a", "ing", " !!", " cook"),
        )
    )
    assert found == ["boil, fry", "cooking, cook, pan", "boil, fry, soup", "boil, fry, cooking, cook, pan"]


def test_promoted_words_alone_are_lists() -> None:
    found = candidates(material(promoted=(" Monday", " Tuesday", " day", " on", " Friday")))
    assert found == ["monday, tuesday, day", "monday, tuesday, day, friday"]


def test_one_word_alone_is_a_candidate_of_its_own() -> None:
    assert candidates(material(example("on", " MONDAY"), example("by", " MONDAY"))) == ["monday"]
    assert candidates(material(sign("so", ",", at=1))) == ["commas"]


def test_nothing_comes_twice_and_nothing_is_empty() -> None:
    words = ["a", "b", "of", "the", "cat", "dog", ",", "\n", "†", " "]
    examples = [sign("x ", word, " y", at=1) for word in words * 3]
    found = candidates(material(*examples, promoted=(" cat", " dog", " cats")))
    assert len(found) == len(set(found)) > 5 and all(text.strip() == text and text for text in found)
    for text in found:
        listed = text.split(", ")
        assert len(listed) == len(set(listed)) and all(listed), text


def test_no_example_has_no_candidate() -> None:
    assert candidates(material()) == []
    assert candidates(material(negatives=silent("some text"))) == []
    assert active_list(material()) == ""
