"""Units beside their floors: who is in the mean, who is not, and what the paired test says."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from neurogloss.records import Interval, Score
from neurogloss.scorers.measure import measure
from neurogloss.scorers.summary import MANY, by_scorer, compare, macro, paired_p_value

EMPTY = measure("detection", "judge", [], [], 0.1, 0)


def test_undefined_units_are_counted_and_not_averaged() -> None:
    found = macro([0.5, math.nan, 0.7])
    assert found.mean.value == pytest.approx(0.6) and (found.n, found.undefined) == (2, 1)
    nothing = macro([math.nan])
    assert not nothing.mean.defined and (nothing.n, nothing.undefined) == (0, 1)


def test_five_units_above_their_floors_are_one_chance_in_thirty_two() -> None:
    excess = [0.1 + i / 100 for i in range(5)]
    assert paired_p_value([*excess, math.nan]) == pytest.approx(1 / 32)


def test_no_difference_is_no_evidence_and_one_unit_is_none() -> None:
    assert paired_p_value([0.0, 0.0]) == 1.0
    assert math.isnan(paired_p_value([0.5])) and math.isnan(paired_p_value([math.nan] * 3))


def test_scorers_are_summed_up_apart_and_failures_added() -> None:
    def score(scorer: str, value: float) -> Score:
        sure = [Interval(x, x, x) for x in (value, 0.5, value - 0.5)]
        return replace(EMPTY, scorer=scorer, score=sure[0], floor=sure[1], excess=sure[2], failures={"refusal": 2})

    given = [
        score("fuzzing", 0.9),
        score("detection", 0.6),
        score("detection", 0.8),
        replace(EMPTY, scorer="fuzzing"),
    ]
    detection, fuzzing = by_scorer(iter(given))
    assert (detection.scorer, detection.metric, detection.score.n) == ("detection", EMPTY.metric, 2)
    assert detection.score.mean.value == pytest.approx(0.7) and detection.floor.mean.value == 0.5
    assert detection.excess.mean.value == pytest.approx(0.2) and detection.p_value == pytest.approx(1 / 4)
    assert detection.failures == {"refusal": 4} and fuzzing.failures == {"refusal": 2}
    assert (fuzzing.score.n, fuzzing.score.undefined) == (1, 1)


def test_numbers_of_different_metrics_are_not_averaged() -> None:
    other = replace(EMPTY, metric="nats", score=Interval(3.0, 2.0, 4.0))
    found = by_scorer([replace(EMPTY, metric="auroc", score=Interval(0.5, 0.4, 0.6)), other])
    assert [(each.metric, each.score.mean.value) for each in found] == [("auroc", 0.5), ("nats", 3.0)]


def test_many_units_have_the_interval_that_a_bootstrap_would_give() -> None:
    values = np.random.default_rng(0).normal(0.6, 0.1, MANY + 1).tolist()
    many, few = macro(values).mean, macro(values[1:]).mean
    assert (many.low, many.high) == pytest.approx((few.low, few.high), abs=5e-4)
    assert many.low < many.value < many.high


def test_units_are_compared_with_those_of_a_run_that_explains_nothing() -> None:
    others = [0.4 + i / 100 for i in range(20)]
    found = compare([0.5, 0.8, 0.9, math.nan], [*others, math.nan])
    assert found.other.mean.value == pytest.approx(0.495) and (found.other.n, found.other.undefined) == (20, 1)
    assert found.difference.value == pytest.approx(2.2 / 3 - 0.495)
    assert found.difference.low < found.difference.value < found.difference.high
    # 0.8 and 0.9 lie above 0.5805, the 95th percentile of the others.
    assert found.share == pytest.approx(2 / 3)
    assert found.p_value < 0.05 < compare(others, others).p_value


def test_one_unit_is_compared_with_nothing() -> None:
    found = compare([0.5], [0.4, 0.6])
    assert not found.difference.defined and math.isnan(found.share) and math.isnan(found.p_value)
    assert found.other.n == 2
