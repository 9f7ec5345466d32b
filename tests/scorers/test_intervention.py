"""Steered beside clean text: balanced, blind, and only where there is a difference to see."""

from __future__ import annotations

from collections import Counter

import pytest

from neurogloss.ids import UnitId
from neurogloss.protocols import HeldOut, QuestionScorer, SteeredText
from neurogloss.records import EvidenceHalf, Passage
from neurogloss.scorers.intervention import Intervention


def held_out(*steered: SteeredText, seed: int = 0) -> HeldOut:
    return HeldOut(UnitId("tiny", "layer", "neurons", 0), EvidenceHalf((), (), ()), steered, seed)


def texts(n: int) -> tuple[SteeredText, ...]:
    return tuple(SteeredText(f"prompt {i}", f" clean {i}", f" steered {i}") for i in range(n))


@pytest.mark.parametrize(("n", "true"), [(0, 0), (1, 1), (8, 4), (9, 5)])
def test_in_half_of_the_questions_the_steered_text_comes_first(n: int, true: int) -> None:
    questions = Intervention().questions(held_out(*texts(n)))
    assert Counter(q.truth for q in questions) == Counter({True: true, False: n - true})
    for question in questions:
        first, second = (passage.text for passage in question.passages)
        assert question.truth == ("steered" in first) != ("steered" in second)
        assert first.split()[-1] == second.split()[-1], "both continue the same prompt"
        assert question.stratum == "steered"


def test_what_tells_nothing_is_left_out_and_the_rest_stays_balanced() -> None:
    same = SteeredText("p", " the same", " the same")
    blank = [SteeredText("p", "", " text"), SteeredText("p", " text", " \n")]
    good = texts(6)
    mixed = [text for trio in zip(good, [same, *blank] * 2, strict=True) for text in trio]
    for seed in range(10):
        questions = Intervention().questions(held_out(*mixed, seed=seed))
        assert Counter(q.truth for q in questions) == {True: 3, False: 3}
        asked = {passage.text for question in questions for passage in question.passages}
        assert asked == {text for pair in good for text in (pair.clean, pair.steered)}
    assert Intervention().questions(held_out(same, *blank)) == []


def test_the_passages_are_the_continuations_without_marks() -> None:
    (question,) = Intervention().questions(held_out(*texts(1)))
    assert question.passages == (Passage((" steered 0",)), Passage((" clean 0",)))


def test_order_and_side_are_drawn_with_the_seed() -> None:
    found = [Intervention().questions(held_out(*texts(6), seed=seed)) for seed in range(200)]
    assert found[3] == Intervention().questions(held_out(*texts(6), seed=3))
    places = zip(*([question.truth for question in questions] for questions in found), strict=True)
    assert [sum(truths) / 200 for truths in places] == pytest.approx([0.5] * 6, abs=0.12)
    for i in range(6):
        steered_first = [Passage((f" steered {i}",)) == q.passages[0] for qs in found for q in qs]
        assert sum(steered_first) / 200 == pytest.approx(0.5, abs=0.12), "no prompt has a side of its own"


def test_it_is_a_scorer_that_needs_the_subject() -> None:
    scorer: QuestionScorer = Intervention()
    assert (scorer.name, scorer.needs_subject) == ("intervention", True)
