"""What changed between two sets of labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from neurogloss.ids import UnitId
from neurogloss.records import Explanation, Interval, Label, Score, State
from neurogloss.store.exchange.diff import compare


@pytest.fixture
def label(explanation: Callable[..., Explanation]) -> Callable[..., Label]:
    def make(index: int, text: str = "cats", *scores: Score, state: State = State.ACCEPTED) -> Label:
        told = explanation(index, text)
        return Label(told.unit, told.method, state, "", told, scores)

    return make


def test_units_are_paired_and_counted(label: Callable[..., Label], unit: Callable[..., UnitId]) -> None:
    found = compare([label(0), label(1), label(2)], [label(2, "dogs"), label(1), label(3)])
    assert [(change.a.unit, change.text, change.state) for change in found.changes] == [(unit(2), True, False)]
    assert (found.unchanged, found.only_a, found.only_b) == (1, (unit(0),), (unit(3),))


def test_states_and_missing_explanations_are_changes(label: Callable[..., Label]) -> None:
    failed = replace(label(1), state=State.REFUSAL, explanation=None)
    states = compare([label(0), failed], [label(0, state=State.REJECTED), label(1)])
    assert [(change.text, change.state) for change in states.changes] == [(False, True), (True, True)]


def test_scores_are_compared_where_they_measure_the_same(
    label: Callable[..., Label], score: Callable[..., Score]
) -> None:
    nan = Interval(float("nan"), float("nan"), float("nan"))
    old = [score("detection", 0.5), score("fuzzing", 0.7), replace(score("fade"), score=nan), score("same")]
    new = [score("detection", 0.8), replace(score("fuzzing", 0.9), judge="llm"), replace(score("fade"), score=nan)]
    (change,) = compare([label(0, "cats", *old)], [label(0, "cats", *new, score("same"))]).changes
    (detection,) = change.scores
    assert (detection.scorer, detection.before.value, detection.after.value) == ("detection", 0.5, 0.8)
    # [0.4, 0.6] and [0.7, 0.9]
    assert detection.clear
    (change,) = compare([label(0, "cats", old[0])], [label(0, "cats", score("detection", 0.6))]).changes
    assert not change.scores[0].clear
