from __future__ import annotations

import math

import numpy as np
import pytest

from neurogloss.records import Label, State
from neurogloss.store import similarity
from neurogloss.store.similarity import Pair, compare, nearest


@pytest.fixture
def label(explanation):
    def make(index: int, text: str, method: str = "m1", hookpoint: str = "a.0") -> Label:
        chosen = explanation(index, text, method, hookpoint=hookpoint)
        return Label(chosen.unit, method, State.EXPLAINED, explanation=chosen)

    return make


def test_nearest_by_hand(label, embedder):
    a = [label(0, "day month year"), label(1, "red green")]
    b = [label(0, "green blue", hookpoint="b.0"), label(1, "day month", hookpoint="b.0")]
    found = nearest(a, b, embedder)
    assert [(pair.a, pair.b) for pair in found] == [(a[0], b[1]), (a[1], b[0])]
    assert [pair.similarity for pair in found] == pytest.approx([2 / 6**0.5, 1 / 2])
    assert sorted(embedder.embedded) == sorted(["day month year", "red green", "green blue", "day month"])


def test_k_nearest_come_in_order_and_ties_go_to_the_first(label, embedder):
    a = [label(0, "day month")]
    b = [label(i, text, hookpoint="b.0") for i, text in enumerate(["red", "day", "day month", "day", "month"])]
    assert [pair.b.unit.index for pair in nearest(a, b, embedder, k=3)] == [2, 1, 3]
    assert [pair.b.unit.index for pair in nearest(a, b, embedder, k=99)] == [2, 1, 3, 4, 0]
    many = [label(i, "day" if i % 2 else "month", hookpoint="b.0") for i in range(200)]
    found = nearest([label(0, "day")], many, embedder, k=150)
    assert [pair.b.unit.index for pair in found] == [*range(1, 200, 2), *range(0, 100, 2)]
    with pytest.raises(ValueError, match="k of 1"):
        nearest(a, b, embedder, k=0)


def test_a_unit_is_not_its_own_neighbour_under_any_method(label, embedder):
    a = [label(0, "day month"), label(1, "day")]
    twice = [*a, label(0, "day month", method="m2")]
    assert [pair.b for pair in nearest(a, twice, embedder)] == [a[1], a[0]]
    assert {pair.b.unit for pair in nearest(a, twice, embedder, k=5) if pair.a is a[0]} == {a[1].unit}
    assert nearest(a[:1], a[:1], embedder) == []


def test_the_floor_is_a_seeded_draw_from_the_other_side(label, embedder):
    a = [label(i, "day") for i in range(400)]
    b = [label(0, "day", hookpoint="b.0"), label(1, "red", hookpoint="b.0")]
    found = compare(a, b, embedder)
    assert found.mean == pytest.approx(1.0)
    assert {round(pair.floor, 6) for pair in found.pairs} == {0.0, 1.0}
    assert abs(found.floor - 0.5) < 0.1
    assert compare(a, b, embedder) == found
    floors = [pair.floor for pair in compare(a, b, embedder, seed=1).pairs]
    assert floors != [pair.floor for pair in found.pairs]


def test_a_floor_is_never_the_unit_itself(label, embedder):
    a = [label(0, "day"), label(1, "red")]
    assert [pair.floor for pair in nearest(a, a, embedder)] == [0.0, 0.0]


def test_means_are_over_the_nearest_and_what_has_no_pair_is_counted(label, embedder, unit):
    dead = Label(unit(7), "m1", State.DEAD, "never fired")
    a = [label(0, "day month"), label(1, "red"), dead]
    b = [label(0, "day", hookpoint="b.0"), label(1, "day month", hookpoint="b.0"), dead]
    found = compare(a, b, embedder, k=2)
    assert len(found.pairs) == 4 and found.unmatched == 1
    assert found.mean == pytest.approx((1.0 + 0.0) / 2)
    repeated = compare([a[0], a[0]], b, embedder)
    assert len(repeated.pairs) == 2 and repeated.unmatched == 0
    nothing = compare([dead], b, embedder)
    assert nothing.pairs == () and math.isnan(nothing.mean) and math.isnan(nothing.floor)
    assert nothing.unmatched == 1


def test_blocks_give_what_one_product_gives(label, embedder, monkeypatch):
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(12)]
    labels = [label(i, " ".join(rng.choice(words, 4))) for i in range(60)]
    a, b = labels[:35], labels[20:]

    def plain(x: Label, y: Label) -> float:
        left, right = embedder.embed([x.explanation.text, y.explanation.text])
        return float(left @ right)

    def found() -> list[Pair]:
        return nearest(a, b, embedder, k=3)

    whole = found()
    for x in a:
        best = sorted((plain(x, y) for y in b if y.unit != x.unit), reverse=True)[:3]
        assert [pair.similarity for pair in whole if pair.a is x] == pytest.approx(best, abs=1e-6)
    monkeypatch.setattr(similarity, "_BLOCK_CELLS", 3 * len(b) + 1)
    in_blocks = found()
    assert [pair.a for pair in in_blocks] == [pair.a for pair in whole]
    assert [p.similarity for p in in_blocks] == pytest.approx([p.similarity for p in whole], abs=1e-6)
