"""screen: how candidates are ranked, what that asks of the judge, and when it ends a unit."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from neurogloss.agent.nodes.screen import Screen
from neurogloss.agent.state import ExplainState, Ranked, Setback
from neurogloss.errors import TransportError
from neurogloss.ids import UnitId
from neurogloss.protocols import Material
from neurogloss.records import (
    Answer,
    Candidate,
    Context,
    EvidenceHalf,
    Example,
    Failure,
    Question,
    Side,
)

UNIT = UnitId("tiny", "layer", "neurons", 3)
MATERIAL = Material(UNIT, EvidenceHalf((), (), ()), None, 11)


def validation(n: int) -> EvidenceHalf:
    """n active texts a0, a1, … and n silent ones s0, s1, …"""
    active = tuple(Example(Context(f"a{i}", (f"a{i}",)), (float(n - i),)) for i in range(n))
    return EvidenceHalf((), active, tuple(Context(f"s{i}", (f"s{i}",)) for i in range(n)))


Rule = Callable[[str], float | None]
RIGHT: Rule = lambda text: 0.9 if text[0] == "a" else 0.1  # noqa: E731
WRONG: Rule = lambda text: 0.1 if text[0] == "a" else 0.9  # noqa: E731
EVEN: Rule = lambda text: 0.5  # noqa: E731
SILENT: Rule = lambda text: None  # noqa: E731


class Knowing:
    """A judge that answers by a rule for each explanation."""

    name = "knowing"
    settings: Mapping[str, Any] = {}

    def __init__(self, **rules: Rule | Exception) -> None:
        self.rules = rules
        self.asked: Counter[str] = Counter()

    async def ask(self, task: str, explanation: str, questions: Sequence[Question]) -> list[Answer]:
        assert task == "detection"
        self.asked[explanation] += len(questions)
        rule = self.rules[explanation]
        if isinstance(rule, Exception):
            raise rule
        found = [rule(question.passages[0].text) for question in questions]
        return [Answer(None, Failure.REFUSAL) if p is None else Answer(p) for p in found]


def state(*candidates: str, n: int = 2, ranking: Sequence[Ranked] = ()) -> ExplainState:
    return {
        "unit": UNIT,
        "material": MATERIAL,
        "validation": validation(n),
        "candidates": [Candidate(text) for text in candidates],
        "origin": "explain",
        "ranking": list(ranking),
    }


def screened(screen: Screen, given: ExplainState) -> list[tuple[str, float, int]]:
    found = asyncio.run(screen(given))
    assert found["candidates"] == []
    return [(r.candidate.text, r.value, r.asked) for r in found["ranking"]]


def test_candidates_are_ranked_by_the_validation_questions() -> None:
    judge = Knowing(wrong=WRONG, even=EVEN, right=RIGHT)
    found = screened(Screen(judge), state("wrong", "even", "right"))
    assert found == [("right", 1.0, 4), ("even", 0.5, 4), ("wrong", 0.0, 4)]
    assert judge.asked == Counter(wrong=4, even=4, right=4)


def test_ties_keep_the_explainers_order() -> None:
    judge = Knowing(b=EVEN, c=RIGHT, a=EVEN, d=RIGHT)
    assert [text for text, *_ in screened(Screen(judge), state("b", "c", "a", "d"))] == ["c", "d", "b", "a"]


def test_the_better_half_is_asked_more() -> None:
    """64 questions, the first round of 8: all four are asked 8, two 16 in all, one all 64."""
    judge = Knowing(wrong=WRONG, right=RIGHT, even=EVEN, silent=SILENT)
    found = screened(Screen(judge, first=8), state("wrong", "right", "even", "silent", n=32))
    assert [(text, asked) for text, _, asked in found] == [
        ("right", 64),
        ("even", 16),
        ("wrong", 8),
        ("silent", 8),
    ]
    assert judge.asked == Counter(right=64, even=16, wrong=8, silent=8)


def test_halving_with_few_questions_asks_them_all() -> None:
    judge = Knowing(wrong=WRONG, right=RIGHT)
    assert screened(Screen(judge, first=8), state("wrong", "right")) == [("right", 1.0, 4), ("wrong", 0.0, 4)]


@pytest.mark.parametrize("alone", [False, True])
def test_one_candidate_is_asked_about_only_where_that_is_wanted(alone: bool) -> None:
    judge = Knowing(only=RIGHT)
    ((_, value, asked),) = screened(Screen(judge, alone=alone), state("only"))
    assert (value == 1.0, asked) == ((True, 4) if alone else (False, 0)) and judge.asked["only"] == asked


def test_a_later_candidate_has_to_be_better_than_the_first() -> None:
    judge = Knowing(right=RIGHT, same=EVEN, worse=WRONG)
    leader = [Ranked(Candidate("leader"), "explain", 0.5, 4)]
    assert [t for t, *_ in screened(Screen(judge), state("same", ranking=leader))] == ["leader", "same"]
    assert [t for t, *_ in screened(Screen(judge), state("worse", ranking=leader))] == ["leader", "worse"]
    assert [t for t, *_ in screened(Screen(judge), state("right", ranking=leader))] == ["right", "leader"]


def test_what_found_no_pattern_is_behind_all_that_did() -> None:
    given = state("wrong")
    given["candidates"].insert(0, Candidate("no pattern", Side.UNCLEAR))
    found = screened(Screen(Knowing(**{"no pattern": RIGHT, "wrong": WRONG})), given)
    assert [text for text, *_ in found] == ["wrong", "no pattern"]


def test_a_question_without_an_answer_is_in_no_value() -> None:
    judge = Knowing(half=lambda text: {"a0": None, "a1": 0.3, "s0": 0.6, "s1": 0.1}[text], even=EVEN)
    found = screened(Screen(judge), state("even", "half"))
    assert found == [("even", 0.5, 4), ("half", 0.5, 4)], "0.3 against 0.6 and 0.1"


def test_candidates_that_could_not_be_judged_come_last() -> None:
    judge = Knowing(silent=SILENT, partly=lambda text: 0.9 if text == "a0" else None, wrong=WRONG)
    found = screened(Screen(judge), state("silent", "partly", "wrong"))
    assert [text for text, *_ in found] == ["wrong", "silent", "partly"]
    assert [value == value for _, value, _ in found] == [True, False, False]


def test_without_validation_questions_the_explainers_order_holds() -> None:
    found = screened(Screen(Knowing(b=EVEN, a=EVEN)), state("b", "a", n=0))
    assert [(text, asked) for text, _, asked in found] == [("b", 0), ("a", 0)]


def test_a_transport_error_is_a_setback_and_no_ranking() -> None:
    judge = Knowing(a=RIGHT, b=TransportError("connection refused"))
    assert asyncio.run(Screen(judge)(state("a", "b"))) == {
        "setback": Setback(Failure.TRANSPORT, "connection refused")
    }


def test_what_speaks_of_the_output_is_not_asked_about_and_keeps_its_order() -> None:
    given = state()
    given["candidates"] += [Candidate("b", Side.OUTPUT), Candidate("a", Side.OUTPUT)]
    judge = Knowing()
    assert [(text, asked) for text, _, asked in screened(Screen(judge), given)] == [("b", 0), ("a", 0)]
