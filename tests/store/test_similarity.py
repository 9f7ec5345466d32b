from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from neurogloss.errors import UserError
from neurogloss.ids import UnitId
from neurogloss.protocols import Float32
from neurogloss.store import calibration, measures
from neurogloss.store.calibration import calibrate
from neurogloss.store.measures import Directions, Measure, Texts, largest, nearest, unit_rows
from neurogloss.store.similarity import Member, Similarity, compare, write_parquet


def members(n: int, dictionary: str, texts: dict[int, str] | None = None) -> list[Member]:
    return [Member(UnitId("org/m", "layers.1", dictionary, i), (texts or {}).get(i)) for i in range(n)]


def cosine(degrees: list[float]) -> Float32:
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)


def random_rows(n: int, width: int, seed: int) -> Float32:
    return unit_rows(np.random.default_rng(seed).standard_normal((n, width), np.float32))


def pairs(found: Similarity) -> list[tuple[int, int]]:
    return [(pair.a.unit.index, pair.b.unit.index) for pair in found.pairs]


# --- the most alike -------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 3])
def test_the_largest_are_those_of_a_full_sort_with_ties_to_the_first(k: int) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 40, (50, 64 * 13 + 5)).astype(np.float32)
    values[0] = 7
    assert (largest(values, k) == np.argsort(-values, axis=1, kind="stable")[:, :k]).all()


def test_nearest_in_blocks_is_nearest_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    measure = Directions("decoder", random_rows(70, 8, 0), random_rows(900, 8, 1))
    twins = np.full(70, -1)
    twins[3] = best = nearest(measure, 1).columns[3]
    whole = nearest(measure, 4, twins)
    assert best not in whole.columns[whole.rows == 3]
    monkeypatch.setattr(measures, "BLOCK_CELLS", 2_000)
    in_blocks = nearest(measure, 4, twins)
    assert (in_blocks.rows == whole.rows).all() and (in_blocks.columns == whole.columns).all()
    for row in (0, 3, 69):
        cosines = measure.b @ measure.a[row]
        cosines[twins[row]] = -1 if twins[row] >= 0 else cosines[twins[row]]
        assert whole.columns[whole.rows == row].tolist() == np.argsort(-cosines)[:4].tolist()
    with pytest.raises(ValueError, match="k of 1"):
        nearest(measure, 0)


def test_what_has_no_vector_has_no_neighbour_and_no_value() -> None:
    a, b = cosine([0, 90, 45]), cosine([10, 80])
    a[1] = b[0] = np.nan
    found = nearest(Texts("text", a, b), 2)
    assert (found.rows.tolist(), found.columns.tolist()) == ([0, 2], [1, 1])
    values = Texts("text", a, b).at(np.array([0, 1, 2]), np.array([1, 1, 0]))
    assert values[0] == pytest.approx(math.cos(math.radians(80))) and np.isnan(values[1:]).all()


def test_the_floor_of_texts_leaves_a_unit_and_itself_out() -> None:
    vectors = np.eye(4, dtype=np.float32)
    vectors[3] = np.nan
    measure = Texts("text", vectors, vectors)
    assert set(measure.floor(0)) == {0.0, 1.0}
    assert set(measure.floor(0, np.arange(4))) == {0.0}
    assert len(Texts("text", vectors[3:], vectors).floor(0)) == 0


# --- comparing ------------------------------------------------------------------------------------


class Fixed(Texts):
    """Cosines beside a floor that is given."""

    values: Any = (0.5,)

    def floor(self, seed: int, twins: Any = None) -> Float32:
        return np.array(self.values, np.float32)


def test_a_comparison_worked_by_hand() -> None:
    # A's units lie 5, 5 and 65 degrees from the nearest of B; the limit, 0.5, is the cosine of 60 degrees.
    a, b = members(3, "a", {2: "months"}), members(3, "b", {2: "colours"})
    found = compare(a, b, [Fixed("text", cosine([5, 15, 215]), cosine([0, 20, 150]))], "nearest")
    assert pairs(found) == [(0, 0), (1, 1), (2, 2)]
    assert [pair.matched for pair in found.pairs] == [True, True, False]
    expected = [math.cos(math.radians(degrees)) for degrees in (5, 5, 65)]
    assert [pair.values["text"] for pair in found.pairs] == pytest.approx(expected, abs=1e-6)
    assert (found.units, found.matched, found.unmatched) == ((3, 3), (2, 2), (1, 1))
    [level] = found.levels
    assert (level.pairs, level.floor, level.limit) == (3, 0.5, 0.5)
    assert level.mean == pytest.approx(np.mean(expected)) and level.share_a == pytest.approx(2 / 3)
    assert [(each.unit.index, each.text) for side in found.distinctive for each in side] == [
        (2, "months"),
        (2, "colours"),
    ]
    assert math.isnan(found.pairs[0].probability) and set(found.calibration.missing) == {"text"}
    summary = found.summary()
    assert summary["unmatched"] == {"a": 1, "b": 1} and summary["calibration"]["brier"] is None
    assert summary["distinctive"]["a"]["first"][0]["text"] == "months"


def test_a_unit_is_not_matched_with_itself() -> None:
    same = members(3, "a")
    vectors = cosine([0, 10, 90])
    for match in ("nearest", "mutual", "one-to-one", "clusters"):
        found = compare(same, same, [Fixed("text", vectors, vectors)], match)  # type: ignore[arg-type]
        assert all(a != b for a, b in pairs(found))
        assert (0, 1) in pairs(found)


def test_the_exact_matching_may_take_pairs_that_are_nobodys_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurogloss.store.similarity.CANDIDATES", 1)
    # Both of A are nearest to the first of B; the second of B is nearest to the first of A.
    measure = Fixed("text", cosine([0, 20]), cosine([5, -30]))
    found = compare(members(2, "a"), members(2, "b"), [measure], "one-to-one")
    assert pairs(found) == [(0, 1), (1, 0)] and found.matched == (2, 2)
    monkeypatch.setattr("neurogloss.store.matching.EXACT_CELLS", 1)
    sparse = compare(members(2, "a"), members(2, "b"), [measure], "one-to-one")
    assert pairs(sparse) == [(0, 1), (1, 0)], "of both directions' nearest"


def test_a_planted_twin_is_found_and_what_has_none_is_distinctive() -> None:
    a = random_rows(300, 32, 0)
    noisy = Directions("decoder", a, a).planted(np.arange(300), np.full(300, 0.2, np.float32), 0)
    b = np.concatenate([noisy.b[:200], random_rows(100, 32, 1)])
    found = compare(members(300, "a"), members(300, "b"), [Directions("decoder", a, b)], "mutual")
    true = {pair for pair in pairs(found) if pair[0] == pair[1]}
    assert len(true) >= 198
    lone = {each.unit.index for each in found.distinctive[0]}
    assert len(lone & set(range(200, 300))) > 60 and not lone & set(range(200))
    level = found.levels[0]
    assert level.mean > level.limit > level.floor > 0.3
    assert {pair.matched for pair in found.pairs if pair.a.unit.index < 200} == {True}


def test_nothing_in_common_leaves_nearly_all_unmatched() -> None:
    measure = Directions("decoder", random_rows(400, 32, 0), random_rows(400, 32, 1))
    found = compare(members(400, "a"), members(400, "b"), [measure])
    assert found.matched[0] / 400 == pytest.approx(0.05, abs=0.04), "the limit is the floor's 95th percentile"
    assert compare(members(400, "a"), members(400, "b"), [measure], seed=1).limit != found.limit


def test_parquet(tmp_path: Path) -> None:
    a, b = members(2, "a", {0: "red"}), members(2, "b")
    found = compare(a, b, [Fixed("text", cosine([0, 90]), cosine([5, 190]))], "clusters", k=2)
    write_parquet(tmp_path / "x.parquet", found)
    table = pq.read_table(tmp_path / "x.parquet")
    [row] = table.to_pylist()
    assert (row["unit_a"], row["explanation_a"], row["unit_b"]) == (
        "org/m/layers.1/a/0",
        "red",
        "org/m/layers.1/b/0",
    )
    assert (row["cluster"], row["matched"], row["probability"]) == (0, True, None)
    assert row["text"] == row["similarity"] == pytest.approx(math.cos(math.radians(5)))
    assert b'"ranked_by":"text"' in table.schema.metadata[b"neurogloss.similarity"]
    with pytest.raises(UserError, match="found something"):
        write_parquet(tmp_path / "x.parquet", found)


# --- the probability ------------------------------------------------------------------------------


def test_the_probability_tells_copies_from_others_it_has_not_seen() -> None:
    a = random_rows(600, 96, 0)
    measure = Directions("decoder", a[:400], a[:400])
    found = calibrate([measure], seed=0)
    assert found.brier < 0.5 * found.brier_floor
    strength = np.random.default_rng(9).random(200).astype(np.float32)
    unseen = Directions("decoder", a[400:], a[400:]).planted(np.arange(200), strength, 5)
    same = found.probability(unseen.at(np.arange(200), np.arange(200))[:, None])
    other = found.probability(unseen.at(np.arange(200), np.roll(np.arange(200), 1))[:, None])
    assert same.mean() > 0.7 and other.mean() < 0.1
    assert np.isnan(found.probability(np.array([[np.nan]], np.float32))).all()


def test_several_kinds_rank_by_the_probability_and_one_that_says_nothing_is_named() -> None:
    a = random_rows(200, 24, 0)
    b = Directions("decoder", a, a).planted(np.arange(200), np.full(200, 0.3, np.float32), 3).b
    texts = Texts("text", random_rows(200, 16, 4), random_rows(200, 16, 5))
    found = compare(members(200, "a"), members(200, "b"), [texts, Directions("decoder", a, b)], "one-to-one")
    assert (found.ranked_by, found.limit) == ("probability", 0.5)
    assert found.calibration.missing == {"text": "no second explanation of a unit is at hand"}
    assert sum(i == j for i, j in pairs(found)) >= 195
    alone = compare(members(200, "a"), members(200, "b"), [texts, texts], "nearest")
    assert alone.ranked_by == "text", "no kind could be calibrated: the first one ranks"


def test_second_explanations_calibrate_text_where_there_are_enough() -> None:
    a = random_rows(100, 24, 0)
    again = Directions("text", a, a).planted(np.arange(100), np.full(100, 0.4, np.float32), 1).b
    few = again.copy()
    few[calibration.ENOUGH - 1 :] = np.nan

    def made(other: Float32) -> Measure:
        return Texts("text", a, a, other)

    assert calibrate([made(again)], 0).missing == {}
    assert calibrate([made(few)], 0).missing == {"text": "19 planted pairs, fewer than 20"}
    assert np.isnan(calibrate([made(few)], 0).probability(np.ones((1, 1), np.float32))).all()
