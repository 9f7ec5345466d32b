"""Patterns in plain English: what a reader sees first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from neurogloss.scorers.patterns.language import Condition, Pattern, Test
from neurogloss.scorers.patterns.names import CLASSES, PLACES, WITH_CLASS

SHOWN = 4
"""Words shown of a set of like words."""
WEAK = 0.5
"""A condition whose chance is less than this share of the largest is called less sure."""
MARKS: Mapping[str, str] = {
    ",": "commas",
    ".": "full stops",
    ":": "colons",
    ";": "semicolons",
    "?": "question marks",
    "!": "exclamation marks",
    "(": "opening parentheses",
    ")": "closing parentheses",
    "[": "opening brackets",
    "]": "closing brackets",
    '"': "quotation marks",
    "'": "apostrophes",
    "-": "hyphens",
    "—": "dashes",
    "–": "dashes",
    "*": "asterisks",
    "#": "hash signs",
    "=": "equals signs",
    "$": "dollar signs",
    "%": "percent signs",
    "/": "slashes",
    "_": "underscores",
}
_NOUNS = ("word", "like", "form", "begins", "ends", "piece", "mark")
"""Kinds that can be the noun of a phrase, the best first."""


def describe(pattern: Pattern) -> str:
    """The pattern as a phrase: `the word *here* or *there*; less often words that end in *-ic*`."""
    most = max(condition.chance for condition in pattern.conditions)
    phrases: dict[bool, list[str]] = {True: [], False: []}
    for condition in pattern.conditions:
        phrases[condition.chance >= WEAK * most].append(phrase(condition))
    sure, weak = "; ".join(dict.fromkeys(phrases[True])), "; ".join(dict.fromkeys(phrases[False]))
    return f"{sure}; less often {weak}" if weak else sure


def phrase(condition: Condition) -> str:
    """One condition: a noun phrase, and what has to hold beside it."""
    tests = sorted(condition.tests, key=_rank)
    noun, rest = tests[0], tests[1:]
    head = _noun(noun, rest)
    return " ".join([head, *(_beside(test) for test in rest if _beside(test) not in head)])


def _rank(test: Test) -> int:
    order = (*_NOUNS, "is", "base", "after", "after2", "at", "topic")
    return order.index(test.kind)


def _noun(test: Test, rest: Sequence[Test]) -> str:
    return _SAYS[test.kind](test.values)


def _beside(test: Test) -> str:
    return _WITH[test.kind](test.values)


def _either(values: Iterable[str], form: str = "{}") -> str:
    shown = [f"*{form.format(value)}*" for value in values]
    return " or ".join([", ".join(shown[:-1]), shown[-1]] if shown[1:] else shown)


def _words(values: Sequence[str]) -> str:
    marks = [MARKS.get(value, "") for value in values]
    if all(marks):
        return " or ".join(dict.fromkeys(marks))
    return f"the word{'s' if values[1:] else ''} {_either(values)}"


def _each(names: Mapping[str, str]) -> Callable[[Sequence[str]], str]:
    return lambda values: " or ".join(names[value] for value in values)


def _like(values: Sequence[str]) -> str:
    return f"words such as {', '.join(f'*{value}*' for value in values[:SHOWN])}"


_SAYS: Mapping[str, Callable[[Sequence[str]], str]] = {
    "word": _words,
    "like": _like,
    "form": lambda values: f"forms of {_either(values)}",
    "begins": lambda values: f"words that begin with {_either(values, '{}-')}",
    "ends": lambda values: f"words that end in {_either(values, '-{}')}",
    "piece": lambda values: f"the piece {_either(values, '-{}')} inside a word",
    "base": lambda values: f"what follows {_either(values, '{}-')} in a word",
    "mark": lambda values: _words(values) if all(v in MARKS for v in values) else f"the sign {_either(values)}",
    "is": _each(CLASSES),
    "at": lambda values: f"words {' or '.join(PLACES[value] for value in values)}",
    "after": lambda values: f"what comes after {_either(values)}",
    "after2": lambda values: f"the second word after {_either(values)}",
    "topic": lambda values: f"texts that mention {_either(values)}",
}
"""A test as a noun phrase."""
_WITH: Mapping[str, Callable[[Sequence[str]], str]] = {
    "word": lambda values: f"that are {_words(values)}",
    "like": lambda values: f"that are {_like(values)}",
    "form": lambda values: f"that are forms of {_either(values)}",
    "begins": lambda values: f"that begin with {_either(values, '{}-')}",
    "ends": lambda values: f"that end in {_either(values, '-{}')}",
    "piece": lambda values: f"that end with the piece {_either(values, '-{}')}",
    "base": lambda values: f"after {_either(values, '{}-')} in the same word",
    "mark": lambda values: f"with {_either(values)}",
    "is": lambda values: " or ".join(WITH_CLASS[value] for value in values),
    "at": _each(PLACES),
    "after": lambda values: f"after {_either(values)}",
    "after2": lambda values: f"two words after {_either(values)}",
    "topic": lambda values: f"in texts that mention {_either(values)}",
}
"""A test as what is added to a noun phrase."""
