"""Rules over text: where each is active, how strongly, and the words that describe it.

1. A rule is a regular expression, and it is active at the tokens that a match covers.
2. It may ask for a certain number of matches in the passage, or for something else beside them.
3. Some of its matches are strong, the others half as strong, so that the strongest passages show only a part.
4. Each passage has a factor of its own, so that strengths differ.

A rule sees one passage at a time, and nothing but its text: whoever reads the passage can tell what the rule does.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate

from neurogloss.ids import hash64

TOKEN = re.compile(r"\s*(?:\w+(?:['’]\w+)*|[^\w\s])|\s+")
"""A word or a sign, with the white space before it."""
WORD = r"\w[\w'’]*"
WEAK = 0.5
"""Strength of a match that is not strong."""


def tokenize(text: str) -> tuple[str, ...]:
    """The tokens of a text; joined, they are the text."""
    return tuple(TOKEN.findall(text))


@dataclass(frozen=True)
class Rule:
    """What a planted unit, or an explanation, answers to."""

    words: str
    """Describes the rule; no two rules have the same."""
    at: str = r"(?!)"
    """Regular expression: where it is active. Upper and lower case are alike."""
    near: str = ""
    """Regular expression that the passage must match, too."""
    least: int = 1
    """Different matches that the passage must have."""
    strong: str = ""
    """Regular expression of the matches that are strong; all are where it is empty."""
    cost: float = 1.0
    """How much it takes to think of it."""
    parts: tuple[Rule, ...] = ()
    """Of a rule made of others: active where one of them is, each half as strong as the one before."""

    def activations(self, tokens: Sequence[str]) -> tuple[float, ...]:
        """One value a token, at least 0; at most 1.25."""
        found, text = [0.0] * len(tokens), "".join(tokens)
        if strengths := self._strengths(text):
            factor, ends = 0.75 + 0.5 * hash64(text) / 2**64, list(accumulate(map(len, tokens)))
            for span, strength in strengths.items():
                for i in covered(span, ends):
                    found[i] = max(found[i], factor * strength)
        return tuple(found)

    def positions(self, text: str) -> frozenset[int]:
        """Tokens of `tokenize(text)` at which it is active."""
        return _positions(self, text)

    def fires(self, text: str) -> bool:
        """Whether it is active anywhere in the text."""
        return bool(_positions(self, text))

    def _strengths(self, text: str) -> dict[tuple[int, int], float]:
        """Strength by the first character of a match and the one behind its last."""
        found: dict[tuple[int, int], float] = {}
        for i, part in enumerate(self.parts):
            for span, strength in part._strengths(text).items():
                found[span] = max(found.get(span, 0.0), strength * WEAK**i)
        at, near, strong = self._compiled
        matches = [match for match in at.finditer(text) if match.end() > match.start()]
        if len({match.group().lower() for match in matches}) >= self.least and near.search(text):
            for match in matches:
                is_strong = not self.strong or strong.fullmatch(match.group()) is not None
                found[match.span()] = 1.0 if is_strong else WEAK
        return found

    @cached_property
    def _compiled(self) -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
        at, near, strong = (re.compile(part, re.IGNORECASE) for part in (self.at, self.near, self.strong))
        return at, near, strong

    def __hash__(self) -> int:
        return hash(self.words)


def covered(span: tuple[int, int], ends: Sequence[int]) -> range:
    """The tokens that hold the characters of a span, which is not empty; `ends` are where the tokens end."""
    return range(bisect_right(ends, span[0]), bisect_right(ends, span[1] - 1) + 1)


@lru_cache(1 << 18)
def _positions(rule: Rule, text: str) -> frozenset[int]:
    if rule.parts:
        return frozenset().union(*(part.positions(text) for part in rule.parts))
    strengths = rule._strengths(text)
    return (
        frozenset(i for span in strengths for i in covered(span, token_ends(text))) if strengths else frozenset()
    )


@lru_cache(1 << 16)
def token_ends(text: str) -> tuple[int, ...]:
    """Where each token of `tokenize(text)` ends."""
    return tuple(accumulate(map(len, tokenize(text))))


def word(*several: str) -> Rule:
    """One word or several, in whatever case; the first is strong."""
    quoted = [f"'{one}'" for one in several]
    last = f" and {quoted[-1]}" if quoted[1:] else ""
    described = f"the word{'s' if last else ''} {', '.join(quoted[:-1] if last else quoted)}{last}"
    return Rule(described, _any(several), strong=_any(several[:1]), cost=1 + 0.2 * len(several[1:]))


def words(name: str, members: Sequence[str], kinds: int = 1) -> Rule:
    """Words of one kind or more; the first is strong."""
    described = f"words for {name}, such as {members[0]}, {members[1]} and {members[2]}"
    return Rule(described, _any(members), strong=_any(members[:1]), cost=1 + 0.5 * kinds)


def phrase(several: str) -> Rule:
    return Rule(f"the phrase '{several}'", _any([several]), cost=1.2)


def before(*several: str) -> Rule:
    """The role of a next token: what is written next decides."""
    described = " or ".join(f"'{one}'" for one in several)
    return Rule(f"whatever word stands directly before {described}", rf"{WORD}(?=\s{_any(several)})", cost=1.5)


def after(one: str) -> Rule:
    return Rule(f"whatever word stands directly after '{one}'", rf"(?<=\b{re.escape(one)}\s){WORD}", cost=1.5)


def word_before(one: str, next_word: str) -> Rule:
    return Rule(
        f"the word '{one}' directly before '{next_word}'", rf"\b{one}(?=\s{re.escape(next_word)}\b)", cost=1.4
    )


def position(described: str, at: str, strong: str = "") -> Rule:
    """A place in the sentence, whatever word stands there."""
    return Rule(described, at, strong=strong, cost=1.5)


def topic(name: str, members: Sequence[str], least: int) -> Rule:
    """Words of one kind, where a passage is about it: it has several of them."""
    described = f"words for {name}, only where the passage has {least} different ones"
    return Rule(described, _any(members), least=least, cost=2.0)


def near(one: str, other: str) -> Rule:
    """A word in the passages alone in which another stands, too."""
    described = f"the word '{one}', only where the passage also has '{other}'"
    return Rule(described, _any([one]), near=_any([other]), cost=1.5)


def either(parts: Sequence[Rule]) -> Rule:
    """One of several rules, in words as an explanation with facets has them. One part is that part."""
    if len(parts) == 1:
        return parts[0]
    described = "either " + "; or ".join(part.words for part in parts)
    return Rule(described, cost=1 + sum(part.cost for part in parts), parts=tuple(parts))


def _any(members: Sequence[str]) -> str:
    return rf"\b(?:{'|'.join(map(re.escape, members))})\b"
