"""Intervals that hold whenever one stops, and asking that stops no later than it has to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurogloss.protocols import Answered
from neurogloss.records import Answer, Failure, Passage, Question
from neurogloss.scorers.measure import measure
from neurogloss.scorers.sequential import Stop, mean_interval

ERROR = 0.1


def questions(truths: Sequence[bool]) -> list[Question]:
    return [
        Question((Passage((f"text {i}",)),), truth, "5" if truth else "silent") for i, truth in enumerate(truths)
    ]


def answered(truths: Sequence[bool], said: Sequence[float | None]) -> list[Answered]:
    answers = [Answer(None, Failure.REFUSAL, "no") if p is None else Answer(p) for p in said]
    return list(zip(questions(truths), answers, strict=True))


BALANCED = [True, False] * 30
RIGHT = [float(truth) for truth in BALANCED]
WRONG = [1 - p for p in RIGHT]


@pytest.mark.parametrize("mean", [0.03, 0.5, 0.8])
def test_the_mean_is_in_the_interval_at_all_times_at_once(mean: float) -> None:
    """Of 300 sequences, no more than the stated share is ever wrong: the last interval is in all before it."""
    draws = (np.random.default_rng(7).random((300, 40, 2)) < mean).mean(2)
    found = [mean_interval(each, ERROR) for each in draws]
    assert sum(not each.low <= mean <= each.high for each in found) / 300 <= ERROR


def test_an_interval_of_resampled_means_would_not_hold() -> None:
    """What the other is for: looked at after every draw, a normal interval misses far more often than it says."""
    rng = np.random.default_rng(7)
    missed = 0
    for _ in range(300):
        draws = (rng.random((40, 2)) < 0.8).mean(1)
        errors = [1.645 * draws[:n].std(ddof=1) / math.sqrt(n) for n in range(3, 41)]
        missed += any(abs(draws[:n].mean() - 0.8) > error for n, error in zip(range(3, 41), errors, strict=True))
    assert missed / 300 > 2 * ERROR


@settings(deadline=None, max_examples=25)
@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=60))
def test_an_interval_lies_in_the_range_and_never_grows(draws: list[float]) -> None:
    found = [mean_interval(draws[:n], ERROR) for n in range(1, len(draws) + 1)]
    for before, after in zip(found, found[1:], strict=False):
        assert math.isnan(after.low) or 0 <= before.low <= after.low <= after.high <= before.high <= 1


def test_a_smaller_error_takes_a_wider_interval() -> None:
    draws = np.random.default_rng(0).integers(0, 3, 50) / 2
    wide, narrow = (mean_interval(draws, error) for error in (0.001, 0.2))
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high
    assert not mean_interval([], 0.1).defined


@settings(deadline=None, max_examples=25)
@given(st.lists(st.booleans(), max_size=40), st.integers(1, 8))
def test_each_question_is_in_one_batch_and_both_kinds_while_there_are_some(truths: list[bool], half: int) -> None:
    asked = questions(truths)
    batches = list(Stop("settled", batch=2 * half).batches(asked))
    assert sorted(q.passages[0].text for batch in batches for q in batch) == sorted(
        q.passages[0].text for q in asked
    )
    scarce = min(sum(truths), len(truths) - sum(truths))
    for i, batch in enumerate(batches):
        assert [asked.index(q) for q in batch] == sorted(asked.index(q) for q in batch)
        if (i + 1) * half <= scarce:
            assert sum(q.truth for q in batch) == half == len(batch) / 2


def needed(stop: Stop, own: Sequence[float], floor: Sequence[float]) -> int:
    """Questions until it stops."""
    for n in range(2, len(own) + 1, 2):
        if stop.reached(answered(BALANCED[:n], own[:n]), [answered(BALANCED[:n], floor[:n])]):
            return n
    return len(own) + 1


def test_what_is_plain_is_settled_soon_either_way() -> None:
    stop = Stop("settled")
    assert needed(stop, RIGHT, WRONG) == needed(stop, WRONG, RIGHT) <= 20
    assert needed(stop, RIGHT, RIGHT) == len(RIGHT) + 1, "nothing is above its like"
    assert needed(Stop("settled", error=0.001), RIGHT, WRONG) > needed(stop, RIGHT, WRONG)


def test_a_wide_interval_is_reached_before_a_narrow_one() -> None:
    wide, narrow = (needed(Stop("width", width=width), RIGHT, WRONG) for width in (0.5, 0.25))
    assert wide < narrow <= len(RIGHT)


def test_without_floors_nothing_is_settled() -> None:
    assert not Stop("settled").reached(answered(BALANCED, RIGHT), [])


def stopped(own: Sequence[float | None], *floors: Sequence[float | None], possible: int = 100):  # type: ignore[no-untyped-def]
    given = [answered(BALANCED, each) for each in (own, *floors)]
    fixed = measure("detection", "judge", given[0], given[1:], 0.1, 0)
    return fixed, Stop("settled", ERROR).score(fixed, given[0], given[1:], possible)


def test_a_score_that_was_stopped_says_so_and_keeps_its_other_metrics() -> None:
    fixed, found = stopped(RIGHT, WRONG)
    assert (found.metric, found.score.value, found.floor.value, found.excess.value) == (
        "balanced_accuracy",
        1,
        0,
        1,
    )
    assert (found.metrics["questions_spared"], found.metrics["interval_error"]) == (40, ERROR)
    assert found.metrics["auroc"] == fixed.score.value and found.n_questions == 60
    assert found.metrics["balanced_accuracy"] == found.score.value
    tested = replace(fixed, metrics={"lexical_floor": 0.6, "lexical_floor_p": 0.01})
    kept = Stop("settled").score(tested, answered(BALANCED, RIGHT), [], 60).metrics
    assert "lexical_floor" in kept and "lexical_floor_p" not in kept
    assert found.score == mean_interval([1.0] * 30, ERROR)
    assert 0 < found.excess.low < found.excess.high <= 1 and found.p_value < 0.001


def test_the_p_value_is_one_sided_and_holds_whenever_one_stops() -> None:
    assert stopped(WRONG, RIGHT)[1].p_value == 1.0 and stopped(RIGHT, RIGHT)[1].p_value == 1.0
    rng, least = np.random.default_rng(3), []
    for _ in range(100):
        own, floor = rng.random((2, 60)).round().tolist()
        least.append(stopped(own, floor)[1].p_value)
    assert np.mean(np.array(least) <= 0.1) <= 0.1, "the smallest that it ever was"


def test_what_was_not_answered_is_in_no_pair() -> None:
    """Two of the true ones have no answer, so that two of the false ones have no partner; one of the floor's."""
    own: list[float | None] = [None, 0.0, None, 0.0, *RIGHT[4:]]
    floor: list[float | None] = [*WRONG[:-1], None]
    _, found = stopped(own, floor)
    assert found.score == mean_interval([1.0] * 28, ERROR) and found.failures == {"refusal": 2}
    assert (found.excess.value, found.floor.value) == (1.0, 0.0)


def test_without_floors_or_answers_what_is_undefined_stays_so() -> None:
    _, found = stopped(RIGHT)
    assert found.score.value == 1 and not found.excess.defined and math.isnan(found.p_value)
    _, nothing = stopped([None] * 60, RIGHT)
    assert not nothing.score.defined and math.isnan(nothing.p_value)
