"""Units beside their floors: who is in the mean, who is not, and what the paired test says."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from neurogloss.records import Answer, Failure, Interval, Passage, Question
from neurogloss.scorers.measure import measure
from neurogloss.scorers.metrics import UNDEFINED
from neurogloss.scorers.summary import above_floor, macro, pooled

EMPTY = measure("detection", "judge", [], [], 0.1, 0)


def test_undefined_units_are_counted_and_not_averaged() -> None:
    found = macro([0.5, math.nan, 0.7])
    assert found.mean.value == pytest.approx(0.6) and (found.n, found.undefined) == (2, 1)
    nothing = macro([math.nan])
    assert not nothing.mean.defined and (nothing.n, nothing.undefined) == (0, 1)


def test_pooled_leaves_failures_out() -> None:
    questions = [Question((Passage((str(i),)),), i < 2) for i in range(4)]
    answers = [Answer(0.9), Answer(None, Failure.REFUSAL, "no"), Answer(0.2), Answer(0.8)]
    found = pooled([list(zip(questions, answers, strict=True))])
    assert found["accuracy"] == pytest.approx(2 / 3) and found["auroc"] == 1.0


def test_five_units_above_their_floors_are_one_chance_in_thirty_two() -> None:
    scores = [replace(EMPTY, excess=Interval(0.1 + i / 100, 0.0, 0.2)) for i in range(5)]
    found = above_floor([*scores, EMPTY])
    assert found.p_value == pytest.approx(1 / 32)
    assert found.excess.mean.value == pytest.approx(0.12) and (found.excess.n, found.excess.undefined) == (5, 1)


def test_no_difference_is_no_evidence_and_one_unit_is_none() -> None:
    same = replace(EMPTY, excess=Interval(0.0, 0.0, 0.0))
    assert above_floor([same, same]).p_value == 1.0
    assert math.isnan(above_floor([same]).p_value)
    assert math.isnan(above_floor([replace(same, excess=UNDEFINED)] * 3).p_value)
