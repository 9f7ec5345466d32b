"""Prompts show a fair choice of contexts, active and silent, with their activations as the method writes them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from neurogloss.agent.explainers.show import ShownExample, choose, choose_silent, show, show_pairs
from neurogloss.records import Context, EvidenceHalf, Example, HardNegatives, Passage


def example(number: int, peak: float) -> Example:
    return Example(Context(f"{number:016x}", ("the", f" word{number}")), (0.0, peak))


def silent(*names: str) -> tuple[Context, ...]:
    return tuple(Context(name.rjust(16, "0"), (f"text {name}",)) for name in names)


def test_marks_and_strengths_by_hand() -> None:
    """Marked from 0.3 of the context's own peak; strengths are ceil(10 a / 8), 8 the largest seen."""
    strong = Example(Context("1" * 16, ("a", " b", " c", " d")), (0.0, 8.0, 2.4, 2.3))
    weak = Example(Context("2" * 16, ("e", " f")), (0.5, 0.1))
    assert show([strong, weak]) == [
        ShownExample(Passage(("a", " b", " c", " d"), (1, 2)), ((" b", 10), (" c", 3))),
        ShownExample(Passage(("e", " f"), (0,)), (("e", 1),)),
    ]


def chosen(top: Sequence[Example], uniform: Sequence[Example], n: int) -> list[int]:
    half = EvidenceHalf(tuple(top), tuple(uniform), ())
    return [int(example.context.id, 16) for example in choose(half, n)]


TOP = [example(i, 100.0 - i) for i in range(8)]
"""Contexts 0 to 7, descending."""
UNIFORM = [TOP[1], *[example(i, 100.0 - i) for i in range(10, 90, 10)]]
"""Context 1 again, and 10, 20 … 80."""


@pytest.mark.parametrize(
    "n, expected",
    [
        (1, [0]),
        (4, [0, 1, 10, 50]),
        (6, [0, 1, 2, 10, 30, 60]),
        (14, [0, 1, 2, 3, 4, 5, 6, *range(10, 80, 10)]),
        (99, [*range(8), *range(10, 90, 10)]),
    ],
)
def test_half_are_the_strongest_and_half_are_spread(n: int, expected: list[int]) -> None:
    assert chosen(TOP, UNIFORM, n) == expected


def test_the_strongest_stand_in_where_the_uniform_sample_is_small() -> None:
    assert chosen(TOP, UNIFORM[:2], 6) == [0, 1, 2, 3, 4, 10]
    assert chosen(TOP, [], 6) == [0, 1, 2, 3, 4, 5]


def test_without_top_examples_the_uniform_sample_is_spread() -> None:
    assert chosen([], UNIFORM, 3) == [1, 30, 60]


def test_pairs_by_hand() -> None:
    """floor(10 a / 8), 8 the largest seen; what lies below zero is 0."""
    strong = Example(Context("1" * 16, ("a", " b", " c", "\n")), (0.0, 8.0, 2.4, -3.0))
    weak = Example(Context("2" * 16, ("e", " f")), (0.5, 4.0))
    assert show_pairs([strong, weak]) == [
        [("a", 0), (" b", 10), (" c", 3), ("\n", 0)],
        [("e", 0), (" f", 5)],
    ]


@pytest.mark.parametrize(("peak", "first", "last"), [(0, 0, 24), (30, 6, 54), (79, 55, 79)])
def test_pairs_are_those_near_the_peak(peak: int, first: int, last: int) -> None:
    tokens = tuple(str(i) for i in range(80))
    (pairs,) = show_pairs([Example(Context("1" * 16, tokens), tuple(float(i == peak) for i in range(80)))])
    assert [token for token, _ in pairs] == [str(i) for i in range(first, last + 1)]


def texts(half: EvidenceHalf, n: int) -> list[str]:
    return [context.text.removeprefix("text ") for context in choose_silent(half, n)]


def test_half_of_the_silent_are_hard_one_kind_in_turn() -> None:
    hard = HardNegatives(neighbours=silent("n1", "n2"), lexical=silent("l1", "l2"), look_alikes=silent("k1"))
    half = EvidenceHalf((), (), silent("p1", "p2", "l1", "p3", "p4", "p5"), hard)
    assert texts(half, 6) == ["l1", "n1", "k1", "p1", "p2", "p3"], "l1 is plain as well, and comes once"
    assert texts(half, 20) == ["l1", "n1", "k1", "l2", "n2", "p1", "p2", "p3", "p4", "p5"]


def test_one_sort_of_silent_contexts_stands_in_for_the_other() -> None:
    lexical = silent("l1", "l2", "l3", "l4")
    assert texts(EvidenceHalf((), (), silent("p1", "p2", "p3")), 2) == ["p1", "p2"]
    assert texts(EvidenceHalf((), (), silent("p1"), HardNegatives(lexical=lexical)), 4) == ["l1", "l2", "l3", "p1"]
    assert texts(EvidenceHalf((), (), ()), 4) == []
