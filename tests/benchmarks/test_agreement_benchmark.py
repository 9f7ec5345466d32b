"""Rank correlations of scorers over the units that both scored."""

from __future__ import annotations

import math

import pytest

from benchmarks.agreement import agreement, spearman, without_llm


def test_a_rank_correlation_has_the_interval_of_bonett_and_wright() -> None:
    r, low, high = spearman([1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 7, 6])
    # One exchange of neighbours among seven: 1 - 6 * 2 / (7 * 48).
    assert r == pytest.approx(1 - 12 / 336)
    reach = 1.96 * math.sqrt((1 + r * r / 2) / 4)
    assert math.atanh(high) - math.atanh(low) == pytest.approx(2 * reach) and low < r < high < 1


def test_order_alone_counts_and_what_does_not_vary_agrees_with_nothing() -> None:
    assert spearman([1, 2, 3, 4], [10, 20, 30, 1000]) == (1, 1, 1)
    assert all(math.isnan(value) for value in spearman([1, 2, 3, 4], [5, 5, 5, 5]))
    assert all(math.isnan(value) for value in spearman([1, 2, 3], [1, 2, 3]))


def test_pairs_are_over_the_units_that_both_have() -> None:
    found = {
        "embedding": {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4, "e": 0.9},
        "other": {"a": 1.0, "b": 0.0, "c": 0.5, "d": 0.6},
        "detection": {"a": 0.4, "b": 0.3, "c": 0.2, "d": 0.1},
    }
    first, *rest = agreement(found)
    assert (first.what, first.figure, first.beside) == ("detection ~ embedding, 4 units", -1, 0.71)
    assert len(rest) == 2 and all(math.isnan(row.beside) for row in rest)


def test_no_scorer_of_the_table_asks_an_llm() -> None:
    names = without_llm()
    assert {"detection", "fuzzing", "surprisal", "embedding"} <= set(names)
    assert not {"simulation", "simulation-written", "clarity", "responsiveness"} & set(names)
