"""Patterns as a person writes them in one line.

    word:here|there at:sentence @0.8/0.4 ; ends:ic

Conditions are separated by `;`, tests by white space, values by `|`. `@CHANCE/STRENGTH` gives a condition's grades
(1 if left out). A value that holds one of these signs is written in double quotes, as in JSON: `mark:";"`.
"""

from __future__ import annotations

import json
import re

from neurogloss.scorers.patterns.language import Condition, Pattern, Test

_SIGNS = re.compile(r'[\s;|"@:\\]')
_LEXER = re.compile(r'\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<sign>[;|:@])|(?P<plain>[^\s;|:@"]+))')


def write(pattern: Pattern) -> str:
    """The pattern in one line, which `parse` reads."""
    return " ; ".join(map(_condition, pattern.conditions))


def parse(text: str) -> Pattern:
    """The pattern that a line says.

    Raises:
        ValueError: it says none; the message names what was expected and what was found.
    """
    tokens = _tokens(text)
    conditions = []
    while True:
        conditions.append(_parse_condition(tokens))
        if not tokens:
            return Pattern(tuple(conditions))
        _take(tokens, ";", "; or the end")


def _condition(condition: Condition) -> str:
    tests = " ".join(f"{test.kind}:{'|'.join(map(_value, test.values))}" for test in condition.tests)
    if condition.chance == condition.strength == 1.0:
        return tests
    return f"{tests} @{condition.chance!r}/{condition.strength!r}"


def _value(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if _SIGNS.search(value) else value


def _tokens(text: str) -> list[tuple[str, bool]]:
    """The signs and values, each with whether it was quoted; the first comes last."""
    found, at, text = [], 0, text.rstrip()
    while at < len(text):
        match = _LEXER.match(text, at)
        if match is None:
            raise ValueError(f"expected a closing quotation mark, found {text[at:]!r}")
        quoted = match["string"]
        found.append((json.loads(quoted), True) if quoted else (match["sign"] or match["plain"], False))
        at = match.end()
    return found[::-1]


def _take(tokens: list[tuple[str, bool]], sign: str, what: str) -> None:
    found = tokens.pop() if tokens else ("the end", True)
    if found != (sign, False):
        raise ValueError(f"expected {what}, found {found[0]!r}")


def _parse_condition(tokens: list[tuple[str, bool]]) -> Condition:
    tests, chance, strength = [], 1.0, 1.0
    while tokens and tokens[-1] not in ((";", False), ("@", False)):
        kind, _ = tokens.pop()
        _take(tokens, ":", f"KIND:VALUE, such as ends:ic, with a colon after {kind!r}")
        tests.append(Test(kind, tuple(_parse_values(tokens))))
    if tokens and tokens[-1] == ("@", False):
        tokens.pop()
        grades = tokens.pop()[0] if tokens else ""
        try:
            chance, strength = map(float, grades.split("/"))
        except ValueError:
            raise ValueError(f"expected @CHANCE/STRENGTH, such as @0.8/0.4, found @{grades}") from None
    return Condition(tuple(tests), chance, strength)


def _parse_values(tokens: list[tuple[str, bool]]) -> list[str]:
    values = []
    while True:
        value, quoted = tokens.pop() if tokens else ("the end", False)
        if not quoted and value in (";", "|", ":", "@", "the end"):
            raise ValueError(f"expected a value, found {value!r}; write a sign in double quotes")
        values.append(value)
        if not tokens or tokens[-1] != ("|", False):
            return values
        tokens.pop()
