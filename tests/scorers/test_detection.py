"""Which contexts become questions of detection, and in what order."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurogloss.ids import UnitId
from neurogloss.protocols import HeldOut, QuestionScorer
from neurogloss.records import Context, EvidenceHalf, Example, HardNegatives, Question
from neurogloss.scorers.choice import active_level, in_turn, over_ranks, shuffled
from neurogloss.scorers.detection import Detection, Discrimination

UNIT = UnitId("tiny", "layer", "neurons", 0)


def examples(n: int, word: str = "active") -> tuple[Example, ...]:
    """By descending peak."""
    return tuple(
        Example(Context(f"{i:016x}", ("an", f" {word}", f" {i}")), (0.0, float(n - i), 0.1)) for i in range(n)
    )


def silent(n: int, word: str = "silent") -> tuple[Context, ...]:
    return tuple(Context(f"{i + 1000:016x}", ("a", f" {word}", f" {i}")) for i in range(n))


def held_out(
    n_active: int, n_silent: int, seed: int = 0, words: tuple[str, str] = ("active", "silent")
) -> HeldOut:
    half = EvidenceHalf(examples(3, "top"), examples(n_active, words[0]), silent(n_silent, words[1]))
    return HeldOut(UNIT, half, (), seed)


def texts(questions: list[Question], truth: bool) -> list[str]:
    return sorted(question.passages[0].text for question in questions if question.truth is truth)


@pytest.mark.parametrize(
    ("n_active", "n_silent", "each"),
    [(200, 200, 50), (7, 200, 7), (200, 7, 7), (50, 50, 50), (1, 1, 1)],
)
def test_half_of_the_questions_are_true(n_active: int, n_silent: int, each: int) -> None:
    questions = Detection(100).questions(held_out(n_active, n_silent))
    assert Counter(question.truth for question in questions) == {True: each, False: each}


@pytest.mark.parametrize(("n_active", "n_silent"), [(0, 0), (0, 20), (20, 0)])
def test_without_one_kind_there_are_no_questions(n_active: int, n_silent: int) -> None:
    assert Detection().questions(held_out(n_active, n_silent)) == []


def test_true_passages_activate_and_false_ones_are_certified() -> None:
    questions = Detection(8).questions(held_out(4, 9))
    assert texts(questions, True) == [f"an active {i}" for i in range(4)]
    assert texts(questions, False) == [f"a silent {i}" for i in range(4)]
    assert all(len(question.passages) == 1 and not question.passages[0].marks for question in questions)


def test_strata_are_deciles_or_silent() -> None:
    found = {q.passages[0].text: q.stratum for q in Detection(40).questions(held_out(20, 20))}
    assert [found[f"an active {i}"] for i in (0, 1, 2, 10, 19)] == ["10", "10", "9", "5", "1"]
    assert all(stratum == "silent" for text, stratum in found.items() if "silent" in text)


def test_the_seed_decides_the_order_and_not_the_questions() -> None:
    first, again, other = (Detection(20).questions(held_out(10, 10, seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other and set(first) == set(other)


def test_the_order_does_not_look_at_the_texts() -> None:
    mine, yours = (Detection(20).questions(held_out(10, 10, 3, w)) for w in (("active", "silent"), ("x", "y")))
    assert [question.truth for question in mine] == [question.truth for question in yours]


def test_no_place_in_the_order_tells_the_truth() -> None:
    orders = [[q.truth for q in Detection(6).questions(held_out(3, 3, seed))] for seed in range(400)]
    shares = np.mean(orders, axis=0)
    assert shares == pytest.approx(np.full(6, 0.5), abs=0.1)


def test_it_is_a_scorer() -> None:
    scorer: QuestionScorer = Detection()
    assert (scorer.name, scorer.needs_subject) == ("detection", False)


def test_over_ranks_by_hand() -> None:
    given_examples = examples(21)
    chosen = over_ranks(given_examples, 5)
    assert [given_examples.index(example) for example, _ in chosen] == [0, 5, 10, 15, 20]
    assert [decile for _, decile in chosen] == ["10", "8", "6", "3", "1"]


@settings(deadline=None)
@given(st.integers(0, 80), st.integers(0, 80))
def test_over_ranks_takes_as_many_as_it_can_from_highest_to_lowest(total: int, n: int) -> None:
    given_examples = examples(total)
    chosen = over_ranks(given_examples, n)
    assert len(chosen) == min(total, n)
    peaks = [example.peak for example, _ in chosen]
    assert peaks == sorted(set(peaks), reverse=True)
    deciles = [int(decile) for _, decile in chosen]
    assert deciles == sorted(deciles, reverse=True) and set(deciles) <= set(range(1, 11))
    if min(total, n) >= 2:
        assert {given_examples[0], given_examples[-1]} <= {example for example, _ in chosen}


def test_each_decile_holds_a_tenth() -> None:
    assert Counter(decile for _, decile in over_ranks(examples(70), 70)) == {str(d): 7 for d in range(1, 11)}


@settings(deadline=None)
@given(st.lists(st.integers()), st.integers(0, 2**63 - 1))
def test_shuffled_is_a_permutation_that_seed_and_purpose_decide(items: list[int], seed: int) -> None:
    assert sorted(shuffled(items, seed, "a")) == sorted(items)
    assert shuffled(items, seed, "a") == shuffled(list(items), seed, "a")
    many = list(range(100))
    assert shuffled(many, seed, "a") != shuffled(many, seed, "b")


# --- hard negatives ------------------------------------------------------------------------------------

HARD = HardNegatives(silent(3, "near"), silent(5, "worded"), silent(2, "like"))


def hard_held_out(n_active: int = 8, n_silent: int = 8, hard: HardNegatives = HARD) -> HeldOut:
    return HeldOut(UNIT, EvidenceHalf((), examples(n_active), silent(n_silent), hard), (), 0)


def strata(questions: list[Question]) -> Counter[str]:
    return Counter(question.stratum for question in questions if not question.truth)


def test_the_headlines_negatives_are_plain_unless_hard_ones_are_asked_for() -> None:
    assert strata(Detection(16).questions(hard_held_out())) == {"silent": 8}
    half = Detection(16, hard=0.5)
    assert half.name == "detection-hard"
    assert strata(half.questions(hard_held_out())) == {
        "silent": 4,
        "neighbours": 2,
        "lexical": 1,
        "look_alikes": 1,
    }


def test_where_there_are_too_few_hard_ones_plain_ones_fill_up() -> None:
    few = HardNegatives(neighbours=silent(1, "near"))
    assert strata(Detection(16, hard=1.0).questions(hard_held_out(hard=few))) == {"neighbours": 1, "silent": 7}


def test_a_context_that_is_both_is_asked_about_once() -> None:
    both = HardNegatives(neighbours=silent(4))
    questions = Detection(16, hard=0.5).questions(hard_held_out(n_silent=6, hard=both))
    assert strata(questions) == {"neighbours": 4, "silent": 2}
    assert len(texts(questions, False)) == len(set(texts(questions, False))) == 6


@pytest.mark.parametrize(("against", "n"), [("neighbours", 3), ("lexical", 5), ("look_alikes", 2)])
def test_discrimination_asks_of_one_kind_alone(against: Any, n: int) -> None:
    scorer = Discrimination(100, against)
    questions = scorer.questions(hard_held_out())
    assert strata(questions) == {against: n}
    assert len(texts(questions, True)) == n and set(texts(questions, True)) <= {f"an active {i}" for i in range(8)}
    assert (scorer.task, scorer.name == "discrimination") == ("detection", against == "neighbours")


def test_without_hard_negatives_there_is_nothing_to_discriminate() -> None:
    assert Discrimination().questions(hard_held_out(hard=HardNegatives())) == []


def test_the_activations_go_with_the_questions_and_decide_nothing_of_them() -> None:
    questions = Detection(8).questions(held_out(4, 4))
    assert {q.activations for q in questions if not q.truth} == {(0.0, 0.0, 0.0)}
    assert sorted(max(q.activations) for q in questions if q.truth) == [1.0, 2.0, 3.0, 4.0]
    assert questions[0] == Question(questions[0].passages, questions[0].truth, questions[0].stratum)


def test_in_turn_by_hand() -> None:
    assert in_turn([[1, 2, 3], [], [4]]) == [1, 4, 2, 3]
    assert in_turn([]) == []


def test_the_active_level_is_a_quantile_of_the_units_own_peaks() -> None:
    half = held_out(5, 0).half
    assert [active_level(half, q) for q in (0.0, 0.5, 1.0)] == [1.0, 3.0, 5.0]
    assert np.isnan(active_level(held_out(0, 5).half, 0.5))
