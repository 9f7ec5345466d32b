"""True marks are the active tokens; false marks are as many, and say nothing by their number or place."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurogloss.ids import UnitId
from neurogloss.protocols import HeldOut, QuestionScorer
from neurogloss.records import Context, EvidenceHalf, Example, Passage, Question
from neurogloss.scorers.detection import Fuzzing

UNIT = UnitId("tiny", "layer", "neurons", 0)
WINDOWS = st.lists(st.lists(st.floats(0, 8, width=16), min_size=1, max_size=12), max_size=12)
"""Some of them without any activation."""


def context(name: str, length: int) -> Context:
    return Context(f"{name}-{length}", tuple(f" {name}{i}" for i in range(length)))


def examples(*windows: list[float]) -> tuple[Example, ...]:
    found = [Example(context(f"active{i}.", len(window)), tuple(window)) for i, window in enumerate(windows)]
    return tuple(sorted(found, key=lambda example: -example.peak))


def silent(*lengths: int) -> tuple[Context, ...]:
    return tuple(context(f"silent{i}.", length) for i, length in enumerate(lengths))


def held_out(active: tuple[Example, ...], negatives: tuple[Context, ...] = (), seed: int = 0) -> HeldOut:
    return HeldOut(UNIT, EvidenceHalf((), active, negatives), (), seed)


def passages(questions: list[Question], truth: bool) -> list[Passage]:
    return [question.passages[0] for question in questions if question.truth is truth]


# Twelve examples of eight tokens, active on as many different pairs of tokens.
PAIRS = [(a, b) for a in range(4) for b in range(5, 8)]
TWELVE = examples(*([1.0 + i / 16 if t in pair else 0.0 for t in range(8)] for i, pair in enumerate(PAIRS)))


def test_true_marks_are_the_tokens_of_at_least_three_tenths_of_the_peak() -> None:
    questions = Fuzzing().questions(held_out(examples([0.1, 2.0, 0.6, 0.59, 0.0]), silent(5)))
    (true,) = passages(questions, True)
    assert true.marked() == " active0.0<< active0.1 active0.2>> active0.3 active0.4"


def test_silent_marks_are_those_of_the_active_examples_each_once() -> None:
    questions = Fuzzing().questions(held_out(TWELVE, silent(*[8] * 20)))
    true, false = passages(questions, True), passages(questions, False)
    assert sorted(p.marks for p in true) == sorted(p.marks for p in false) == sorted(PAIRS)
    assert {p.text for p in false} == {c.text for c in silent(*[8] * 12)}


def test_which_silent_context_has_which_marks_is_drawn_with_the_seed() -> None:
    """Neither one pattern for all, nor the order of the peaks."""
    by_text = []
    for seed in range(8):
        false = passages(Fuzzing().questions(held_out(TWELVE, silent(*[8] * 12), seed)), False)
        by_text.append(tuple(p.marks for p in sorted(false, key=lambda p: p.text)))
    assert len(set(by_text)) == 8
    assert Fuzzing().questions(held_out(TWELVE, silent(8, 8), 1)) == Fuzzing().questions(
        held_out(TWELVE, silent(8, 8), 1)
    )


@pytest.mark.parametrize(
    ("length", "marks"), [(9, (1, 4, 6)), (7, (1, 4, 6)), (6, (0, 3, 5)), (3, (0, 2)), (1, (0,))]
)
def test_in_a_shorter_context_the_marks_move_along_with_its_end(length: int, marks: tuple[int, ...]) -> None:
    active = examples([0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0])
    (false,) = passages(Fuzzing().questions(held_out(active, silent(length))), False)
    assert false.marks == marks


def test_active_marks_stand_in_the_same_text_on_other_tokens() -> None:
    questions = Fuzzing(negatives="active").questions(held_out(TWELVE))
    true = {p.text: set(p.marks) for p in passages(questions, True)}
    false = {p.text: set(p.marks) for p in passages(questions, False)}
    assert true.keys() == false.keys() and len(true) == 12
    assert all(len(false[text]) == 2 and not false[text] & marks for text, marks in true.items())
    assert len({tuple(sorted(marks)) for marks in false.values()}) > 4, "drawn anew for each example"


def test_an_example_without_room_for_other_marks_is_not_asked_about() -> None:
    room = examples([1.0, 1.0, 0.0, 0.0])
    full = examples([2.0, 2.0, 2.0, 0.0], [3.0])
    questions = Fuzzing(negatives="active").questions(held_out((*full, *room)))
    assert [p.text for p in passages(questions, True)] == [room[0].context.text]
    assert [p.marks for p in passages(questions, False)] == [(2, 3)]


@settings(deadline=None)
@given(WINDOWS, st.lists(st.integers(1, 12), max_size=12), st.sampled_from([4, 10, 100]), st.integers(0, 99))
def test_half_is_true_and_no_passage_is_without_marks(
    windows: list[list[float]], lengths: list[int], n: int, seed: int
) -> None:
    given_half = held_out(examples(*windows), silent(*lengths), seed)
    questions = Fuzzing(n).questions(given_half)
    each = min(sum(max(window) > 0 for window in windows), len(lengths), n // 2)
    assert Counter(q.truth for q in questions) == ({True: each, False: each} if each else {})
    for question in questions + Fuzzing(n, "active").questions(given_half):
        (passage,) = question.passages
        assert passage.marks and passage.marks == tuple(sorted(set(passage.marks)))
        assert 0 <= passage.marks[0] and passage.marks[-1] < len(passage.tokens)


@settings(deadline=None)
@given(WINDOWS, st.integers(0, 99))
def test_active_negatives_never_mark_an_active_token(windows: list[list[float]], seed: int) -> None:
    active = examples(*windows)
    positions = {example.context.text: example.active_positions() for example in active}
    questions = Fuzzing(negatives="active").questions(held_out(active, (), seed))
    for passage in passages(questions, True):
        assert passage.marks == positions[passage.text]
    for passage in passages(questions, False):
        assert len(passage.marks) == len(positions[passage.text])
        assert not set(passage.marks) & set(positions[passage.text])
    assert len(passages(questions, True)) == len(passages(questions, False))


def test_without_evidence_there_are_no_questions() -> None:
    assert Fuzzing().questions(held_out((), silent(8))) == []
    assert Fuzzing().questions(held_out(TWELVE)) == []
    assert Fuzzing(negatives="active").questions(held_out((), silent(8))) == []


def test_strata_are_deciles_or_the_kind_of_negative() -> None:
    for scorer in (Fuzzing(), Fuzzing(negatives="active")):
        questions = scorer.questions(held_out(TWELVE, silent(*[8] * 12)))
        assert {q.stratum for q in questions if q.truth} == {str(decile) for decile in range(1, 11)}
        assert {q.stratum for q in questions if not q.truth} == {scorer.negatives}


def test_no_place_in_the_order_tells_the_truth() -> None:
    orders = [[q.truth for q in Fuzzing(4).questions(held_out(TWELVE, silent(8, 8), s))] for s in range(300)]
    assert [sum(column) / 300 for column in zip(*orders, strict=True)] == pytest.approx([0.5] * 4, abs=0.1)


def test_both_forms_are_scorers_with_names_of_their_own() -> None:
    scorers: list[QuestionScorer] = [Fuzzing(), Fuzzing(negatives="active")]
    assert [(s.name, s.needs_subject) for s in scorers] == [("fuzzing", False), ("fuzzing-active", False)]
