"""The planted units, the wrong explanations of each, and the bank of all that the oracle can think of.

Each unit comes with explanations that are wrong in a known way: broader than its rule, narrower, and related but
another. They, single words, and kinds of words that no unit has are the distractors of the bank.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain

from benchmarks.planted import vocabulary as v
from benchmarks.planted.rules import (
    Rule,
    after,
    before,
    either,
    near,
    phrase,
    topic,
    word,
    word_before,
    words,
)
from neurogloss.ids import hash64

MISSED = 0.1
"""Share of its matches that a noisy unit misses; about as much of its activity is elsewhere."""


@dataclass(frozen=True)
class Unit:
    """A rule, planted."""

    rule: Rule
    family: str
    broader: Rule
    narrower: Rule
    related: Rule
    missed: float = 0.0
    """Share of the passages with a match in which it is silent."""
    stray: float = 0.0
    """Share of the passages without one in which it is active, at one token."""

    def activations(self, tokens: Sequence[str]) -> tuple[float, ...]:
        """One value a token: the rule's, but for the noise, which the text decides."""
        found = self.rule.activations(tokens)
        if not self.missed:
            return found
        draw = hash64("noise", self.rule.words, "".join(tokens))
        if any(found):
            return (0.0,) * len(tokens) if draw / 2**64 < self.missed else found
        at = draw % len(tokens) if draw / 2**64 < self.stray else -1
        return tuple(float(i == at) for i in range(len(tokens)))


@cache
def units() -> tuple[Unit, ...]:
    """All planted units, family by family."""
    return tuple(chain(_words(), _places(), _several(), _by_rate()))


@cache
def bank() -> dict[str, Rule]:
    """Every rule that an explanation can name, by its words: those of the units, and the distractors."""
    of_units = chain.from_iterable((u.rule, *u.rule.parts, u.broader, u.narrower, u.related) for u in units())
    of_kinds = chain.from_iterable((_kind(name), _first_two(name)) for name in v.KINDS)
    members = chain.from_iterable((*v.KINDS.values(), *v.TOPICS.values(), v.ROLES))
    single = (word(one) for one in members)
    rules = (*of_units, *of_kinds, *single)
    return {rule.words: rule for rule in rules if not rule.parts}


def rule_of(explanation: str) -> Rule | None:
    """The rule that an explanation names, in the bank or joined of several there; None where it names none."""
    text = " ".join(explanation.split())
    if text in bank() or not text.startswith("either "):
        return bank().get(text)
    parts = [bank().get(part) for part in text.removeprefix("either ").split("; or ")]
    known = [part for part in parts if part is not None]
    return either(known) if len(known) == len(parts) else None


def _words() -> Iterator[Unit]:
    """Single tokens, token families, phrases."""
    for one, (kind, follows) in v.SINGLE.items():
        like = v.KINDS[kind]
        wider = words(f"{kind} and for {one}", (like[0], one, *like[1:]), 2)
        yield Unit(word(one), "single token", wider, word_before(one, follows), word(like[0]))
    for name, more in v.WIDER.items():
        yield Unit(_kind(name), "token family", _wider(name, more), _first_two(name), _kind(more))
    for several, (kept, longer, other) in v.PHRASES.items():
        yield Unit(phrase(several), "phrase", word(kept), phrase(longer), phrase(other))


def _places() -> Iterator[Unit]:
    """Syntactic positions and roles of the next token."""
    for place, narrower in zip((*v.BEGINNINGS, *v.ENDS), v.NARROWER, strict=True):
        wider = v.AFTER_SIGN if place in v.BEGINNINGS else v.BEFORE_SIGN
        related = v.SENTENCE if place is v.COMMA else v.COMMA
        yield Unit(place, "syntactic position", wider, narrower, related)
    others = list(v.ROLES)
    for i, (one, often) in enumerate(v.ROLES.items()):
        wider = before(one, others[i - 1])
        yield Unit(before(one), "next-token role", wider, word_before(often, one), after(one))


def _several() -> Iterator[Unit]:
    """Topics, two facets, tokens that want another nearby."""
    for name, members in v.TOPICS.items():
        about, closer = topic(name, members, 2), topic(name, members, 3)
        yield Unit(about, "topic", words(name, members), closer, word(*members[:2]))
    for first, second, third in v.FACETS:
        both = either([_kind(first), _kind(second)])
        yield Unit(both, "two-facet", either([*both.parts, _kind(third)]), _kind(first), _kind(third))
    for one, other, mistaken in v.TOGETHER:
        narrower = near(f"the {one}", other)
        yield Unit(near(one, other), "context-dependent", word(one), narrower, near(one, mistaken))


def _by_rate() -> Iterator[Unit]:
    """Rare, dense and noisy ones."""
    for one, other in v.RARE.items():
        yield Unit(word(one), "rare", word(one, other), word_before(one, "and"), word(other))
    for i, several in enumerate(v.DENSE):
        narrower = word(*several[:-1]) if several[1:] else word_before(several[0], "world")
        yield Unit(word(*several), "dense", word(*several, "for"), narrower, word(*v.DENSE[i - 1]))
    names = list(v.NOISY)
    for i, (name, stray) in enumerate(v.NOISY.items()):
        wider, related = _wider(name, "doubt"), _kind(names[i - 1])
        yield Unit(_kind(name), "noisy 10 %", wider, _first_two(name), related, MISSED, stray)


def _kind(name: str) -> Rule:
    return words(name, v.KINDS[name])


def _wider(name: str, more: str) -> Rule:
    return words(f"{name} or {more}", (*v.KINDS[name], *v.KINDS[more]), 2)


def _first_two(name: str) -> Rule:
    return word(*v.KINDS[name][:2])
