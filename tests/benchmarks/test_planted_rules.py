"""Rules by hand-worked examples, and what is planted."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.planted.labelling import agreement, same
from benchmarks.planted.rules import (
    after,
    before,
    either,
    near,
    phrase,
    tokenize,
    topic,
    word,
    word_before,
    words,
)
from benchmarks.planted.units import MISSED, bank, rule_of, units
from benchmarks.planted.vocabulary import BRACKET, COMMA, QUESTION, SENTENCE

TEXT = " such as Red, blue (dark) and white. The king of Spain, don't ask why?"
TOKENS = tokenize(TEXT)


def test_tokens_are_words_and_signs_and_join_to_the_text() -> None:
    assert TOKENS[:5] == (" such", " as", " Red", ",", " blue")
    assert " don't" in TOKENS
    assert "".join(TOKENS) == TEXT
    assert "".join(tokenize("a\n\n b  ")) == "a\n\n b  "


@pytest.mark.parametrize(
    ("rule", "active"),
    [
        (word("red"), ["Red"]),
        (word("kin"), []),
        (words("colours", ("blue", "white", "red")), ["Red", "blue", "white"]),
        (phrase("such as"), ["such", "as"]),
        (before("of"), ["king"]),
        (after("of"), ["Spain"]),
        (word_before("the", "king"), ["The"]),
        (word_before("the", "queen"), []),
        (COMMA, ["blue", "don't"]),
        (SENTENCE, ["The"]),
        (BRACKET, ["dark"]),
        (QUESTION, ["why"]),
        (topic("colours", ("red", "blue", "green"), 2), ["Red", "blue"]),
        (topic("colours", ("red", "pink", "green"), 2), []),
        (near("king", "spain"), ["king"]),
        (near("king", "queen"), []),
        (either([word("king"), word("red")]), ["Red", "king"]),
    ],
)
def test_each_kind_of_rule_is_active_where_it_says(rule, active) -> None:  # type: ignore[no-untyped-def]
    values = rule.activations(TOKENS)
    assert [token.strip() for token, value in zip(TOKENS, values, strict=True) if value] == active
    assert rule.positions(TEXT) == {i for i, value in enumerate(values) if value > 0}


def test_what_is_not_strong_is_half_as_strong_and_a_second_facet_half_of_that() -> None:
    values = dict(zip(TOKENS, words("colours", ("red", "blue", "white")).activations(TOKENS), strict=True))
    assert values[" Red"] == 2 * values[" blue"] == 2 * values[" white"]
    two = dict(zip(TOKENS, either([word("king"), word("red")]).activations(TOKENS), strict=True))
    assert two[" king"] == 2 * two[" Red"]
    assert 0.75 <= values[" Red"] <= 1.25


def test_at_least_sixty_units_of_eleven_families_with_rules_that_differ() -> None:
    families = Counter(unit.family for unit in units())
    assert len(units()) >= 60 and len(families) == 11 and min(families.values()) >= 4
    assert len({unit.rule.words for unit in units()}) == len(units())


def test_every_description_maps_back_to_its_rule_alone() -> None:
    for text, rule in bank().items():
        assert rule_of(text) is rule
    assert len({(r.at.lower(), r.near, r.least) for r in bank().values()}) >= 0.97 * len(bank())
    for unit in units():
        for rule in (unit.rule, unit.broader, unit.narrower, unit.related):
            assert rule_of(rule.words) == rule
        assert not any(same(wrong, unit.rule) for wrong in (unit.broader, unit.narrower, unit.related))
    assert rule_of("something else") is None
    assert rule_of("either the word 'red'; or something else") is None


def test_a_noisy_unit_misses_a_tenth_and_strays_but_its_rule_does_not() -> None:
    noisy = next(unit for unit in units() if unit.missed)
    matching = [tokenize(f"a small thing, number {i}") for i in range(800)]
    silent = [tokenize(f"some thing, number {i}") for i in range(8_000)]
    missed = sum(not any(noisy.activations(tokens)) for tokens in matching) / len(matching)
    assert missed == pytest.approx(MISSED, abs=0.04)
    stray = [noisy.activations(tokens) for tokens in silent]
    assert sum(map(any, stray)) / len(stray) == pytest.approx(noisy.stray, rel=0.5)
    assert all(sum(value > 0 for value in values) <= 1 for values in stray)


def test_agreement_is_the_f1_of_tokens() -> None:
    texts = ["red blue red", "blue", "nothing"]
    assert agreement(word("red"), word("red"), texts) == 1.0
    assert agreement(None, word("red"), texts) == 0.0
    both = words("colours", ("red", "blue", "green"))
    assert agreement(word("red"), both, texts) == pytest.approx(2 * 2 / (2 + 4))
    assert agreement(either([word("blue"), word("red")]), either([word("red"), word("blue")]), []) == 1.0
