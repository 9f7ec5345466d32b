"""The language of patterns: executable explanations of what a unit responds to in text.

A pattern is at most six conditions. A condition is at most three tests, which one token must pass together. A test
names a kind of feature (`neurogloss.scorers.patterns.reading`) and the values of which one has to hold:

    word:here|there at:sentence     the word "here" or "there" at the start of a sentence
    ends:ic                         a word that ends in -ic

Each condition has two grades, so that a pattern predicts how sure and how strong a response is:
`chance`, the share of contexts that activate the unit among those in which the condition holds somewhere, and
`strength`, the mean activation at the tokens at which it holds, relative to the unit's maximum. A prediction is
the largest grade of all conditions that hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import Any

from neurogloss.scorers.patterns.forms import form_of
from neurogloss.scorers.patterns.names import CLASSES, PLACES
from neurogloss.scorers.patterns.reading import KINDS, LETTERS, Reading, read

CONDITIONS = 6
"""Most conditions of a pattern."""
TESTS = 3
"""Most tests of a condition."""
VALUES, LIKE = 12, 24
"""Most values of a test, and of a set of like words."""
TEST_KINDS = (*KINDS, "like")
"""`like` tests for a word as `word` does; its values are neighbours of one word, of which only some are shown."""


@dataclass(frozen=True, slots=True, order=True)
class Test:
    """One of several values of one kind of feature."""

    kind: str
    values: tuple[str, ...]
    """In the order in which they are shown."""

    __test__ = False  # no test case of pytest's

    def __post_init__(self) -> None:
        if self.kind not in TEST_KINDS:
            raise ValueError(f"expected a kind of test ({', '.join(TEST_KINDS)}), found {self.kind!r}")
        if not 1 <= len(self.values) <= (LIKE if self.kind == "like" else VALUES) or len(set(self.values)) < len(
            self.values
        ):
            raise ValueError(f"expected 1 to {VALUES} different values of {self.kind}, found {len(self.values)}")
        for value in self.values:
            self._check(value)

    def _check(self, value: str) -> None:
        names = {"is": CLASSES, "at": PLACES}.get(self.kind)
        if names is not None and value not in names:
            raise ValueError(f"expected {self.kind}: one of {', '.join(names)}; found {value!r}")
        if not value or any(char.isspace() for char in value) or value != value.lower():
            raise ValueError(f"expected values in lower case, without white space, found {value!r}")
        if self.kind in ("begins", "ends") and len(value) > LETTERS:
            raise ValueError(f"expected at most {LETTERS} letters of a word's end or beginning, found {value!r}")
        if self.kind == "mark" and len(value) > 1:
            raise ValueError(f"expected one character as a mark, found {value!r}")

    def mask(self, reading: Reading) -> int:
        """Bit i is set if token i passes."""
        masks = reading["word" if self.kind == "like" else self.kind]
        values = map(form_of, self.values) if self.kind in ("form", "topic") else self.values
        return reduce(or_, (masks.get(value, 0) for value in values))


@dataclass(frozen=True, slots=True, order=True)
class Condition:
    """Tests that one token must pass together, and what to expect then."""

    tests: tuple[Test, ...]
    chance: float = 1.0
    """Share of active contexts among those in which it holds, in [0, 1]."""
    strength: float = 1.0
    """Mean activation at its tokens, as a share of the unit's maximum, in [0, 1]."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.tests) <= TESTS:
            raise ValueError(f"expected 1 to {TESTS} tests in a condition, found {len(self.tests)}")
        if not (0 <= self.chance <= 1 and 0 <= self.strength <= 1):
            raise ValueError(f"expected chance and strength in [0, 1], found {self.chance} and {self.strength}")

    def mask(self, reading: Reading) -> int:
        """Bit i is set if the condition holds at token i."""
        return reduce(and_, (test.mask(reading) for test in self.tests))


@dataclass(frozen=True, slots=True)
class Pattern:
    """Conditions of which any may hold."""

    conditions: tuple[Condition, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.conditions) <= CONDITIONS:
            raise ValueError(f"expected 1 to {CONDITIONS} conditions in a pattern, found {len(self.conditions)}")

    def chance(self, tokens: Sequence[str], at: Sequence[int] = ()) -> float:
        """How likely the tokens activate the unit, in [0, 1]; 0 if no condition holds.

        Args:
            at: positions at which a condition must hold; empty: anywhere.
        """
        wanted = sum(1 << i for i in at) if at else -1
        reading = read(tokens)
        return max((c.chance for c in self.conditions if c.mask(reading) & wanted), default=0.0)

    def strengths(self, tokens: Sequence[str]) -> tuple[float, ...]:
        """The activation to expect at each token, as a share of the unit's maximum."""
        return self._graded(tokens, lambda condition: condition.strength)

    def chances(self, tokens: Sequence[str]) -> tuple[float, ...]:
        """The largest chance of the conditions that hold at each token."""
        return self._graded(tokens, lambda condition: condition.chance)

    def positions(self, tokens: Sequence[str]) -> tuple[int, ...]:
        """The tokens at which a condition holds."""
        reading = read(tokens)
        mask = reduce(or_, (condition.mask(reading) for condition in self.conditions))
        return tuple(i for i in range(len(tokens)) if mask >> i & 1)

    def _graded(self, tokens: Sequence[str], grade: Callable[[Condition], float]) -> tuple[float, ...]:
        reading, found = read(tokens), [0.0] * len(tokens)
        for condition in self.conditions:
            mask, value = condition.mask(reading), grade(condition)
            found = [max(old, value) if mask >> i & 1 else old for i, old in enumerate(found)]
        return tuple(found)

    def json(self) -> dict[str, Any]:
        """As it is stored: see `pattern_of`."""
        return {
            "conditions": [
                {
                    "when": [{test.kind: list(test.values)} for test in condition.tests],
                    "chance": condition.chance,
                    "strength": condition.strength,
                }
                for condition in self.conditions
            ]
        }


def pattern_of(stored: Mapping[str, Any]) -> Pattern:
    """The pattern of its JSON.

    Raises:
        ValueError: it is not the JSON of a pattern; the message says where.
    """
    try:
        return Pattern(
            tuple(
                Condition(
                    tuple(
                        Test(str(kind), tuple(values)) for test in each["when"] for kind, values in test.items()
                    ),
                    float(each.get("chance", 1.0)),
                    float(each.get("strength", 1.0)),
                )
                for each in stored["conditions"]
            )
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f'expected {{"conditions": [{{"when": [{{KIND: [VALUE, ...]}}]}}]}}: {error}') from None
