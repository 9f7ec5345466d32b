"""What the benchmark of validity says, on few units."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest

from benchmarks import agent, validity
from benchmarks.planted.order import RELATIONS, shares
from benchmarks.planted.run import collect
from neurogloss.folder import RunFolder


def test_the_headline_drops_on_both_corruptions_and_balanced_metrics_on_one() -> None:
    rows = {row.what: row for row in validity.corruption(40)}
    for corrupted in validity.CORRUPTIONS:
        row = rows[f"correlation_at_density, {corrupted}, rate 0.1"]
        assert row.met and row.figure == pytest.approx(row.beside, abs=0.05) and row.figure > 0.25
    for metric in ("auroc", "balanced_accuracy"):
        assert rows[f"{metric}, too narrow, rate 0.001"].beside == pytest.approx(0.25)
        assert rows[f"{metric}, too broad, rate 0.001"].beside < 0.001
    assert rows["precision_at_density, too narrow, rate 0.1"].figure == 0


def test_a_whole_population_has_the_losses_of_the_literature() -> None:
    """Too broad at a rate of 0.1: the AUPRC and the precision halve, and F1 loses a third."""
    drops = [
        validity._whole(0.1, "right", m) - validity._whole(0.1, "too broad", m)
        for m in ("auprc_at_density", "precision_at_density", "f1_at_density", "balanced_accuracy")
    ]
    assert drops == pytest.approx([1 / 2, 1 / 2, 1 / 3, 1 / 18], abs=1e-3)


@pytest.mark.parametrize(
    ("values", "holds"),
    [
        ((5, 4, 3, 2, 1), (True, True, True, True)),
        ((5, 3, 4, 1, 1), (True, True, False, True)),
        ((5, 5, 4, 2, 1), (False, True, False, True)),
        ((5, 6, 4, 2, 1), (False, False, False, False)),
        ((5, 4, 1, 2, 0), (True, True, False, False)),
    ],
)
def test_relations(values: tuple[float, ...], holds: tuple[bool, ...]) -> None:
    found = dict(zip(("right", "broad", "narrow", "related", "random"), values, strict=True))
    assert tuple(relation(found) for relation in RELATIONS.values()) == holds


def test_scorers_rank_explanations_of_planted_units(tmp_path: Path) -> None:
    planted = [unit for unit in agent.sample(1) if unit.family in ("token family", "context-dependent")]
    cache = collect(RunFolder(tmp_path / "run"), planted, documents=400)
    found = asyncio.run(shares(cache, planted, 12))
    assert found["detection"]["right first, ties allowed"]["oracle"] == 1
    assert "oracle" not in found["embedding"]["right first"] and "embedded" not in found["clarity"]["right first"]
    rows = validity.order(found)
    assert len(rows) == len(found) * len(RELATIONS) and sum(row.met is not None for row in rows) == 2
    assert any(math.isnan(row.beside) for row in rows)
