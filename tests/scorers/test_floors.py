"""A floor is an explanation of something else: never the unit's own, never the same words."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurogloss.ids import UnitId
from neurogloss.records import Explanation
from neurogloss.scorers.choice import DECOYS, draw


def explanation(index: int, text: str, rank: int = 0) -> Explanation:
    return Explanation(UnitId("tiny", "layer", "neurons", index), text, "pmi", rank)


OWN = explanation(0, "days of the week")
OTHERS = [explanation(i, f"explanation {i}") for i in range(1, 21)]


def test_the_units_own_and_the_same_words_are_never_drawn() -> None:
    loser, twin, other = explanation(0, "colours", 1), explanation(1, OWN.text), explanation(2, "numbers")
    for seed in range(30):
        floors = draw(OWN, [OWN, loser, twin, other], 3, seed)
        assert floors[0].id == other.id and floors[0].text == "numbers"
        assert all(floor.id.startswith("decoy:") and floor.text in DECOYS for floor in floors[1:])


def test_the_draw_does_not_depend_on_the_order_of_the_others() -> None:
    """Not even in the id, where two units have the same words."""
    others = [*OTHERS, *(explanation(100 + i, f"explanation {i}") for i in range(1, 21))]
    floors = draw(OWN, others, 5, 7)
    for seed in range(20):
        assert draw(OWN, random.Random(seed).sample(others, len(others)), 5, 7) == floors


def test_the_draw_does_not_depend_on_who_draws() -> None:
    """Explanations of other units only, so that two units with the same seed see the same pool."""
    outsider = explanation(99, "something else")
    assert draw(OWN, [OWN, *OTHERS], 4, 1) == draw(outsider, OTHERS, 4, 1)


def test_the_seed_draws_among_all_others() -> None:
    drawn = [floor for seed in range(200) for floor in draw(OWN, OTHERS, 2, seed)]
    assert {floor.text for floor in drawn} == {other.text for other in OTHERS}
    assert draw(OWN, OTHERS, 2, 1) == draw(OWN, OTHERS, 2, 1) != draw(OWN, OTHERS, 2, 2)


@settings(deadline=None)
@given(st.integers(0, 10), st.integers(0, 5), st.integers(0, 2**63 - 1))
def test_decoys_fill_up_and_no_text_comes_twice(n: int, others: int, seed: int) -> None:
    floors = draw(OWN, OTHERS[:others], n, seed)
    assert len(floors) == n == len({floor.text for floor in floors}) == len({floor.id for floor in floors})
    assert sum(floor.id.startswith("decoy:") for floor in floors) == max(0, n - others)


@pytest.mark.parametrize("where", ["own", "other"])
def test_a_decoy_that_is_somebodys_explanation_is_not_asked_twice(where: str) -> None:
    own = explanation(0, DECOYS[3]) if where == "own" else OWN
    others = [explanation(1, DECOYS[3])]
    for seed in range(20):
        texts = [floor.text for floor in draw(own, others, 9, seed)]
        assert texts.count(DECOYS[3]) == (0 if where == "own" else 1)
        assert len(set(texts)) == 9


def test_a_decoy_has_one_id_everywhere() -> None:
    found = {floor.text: floor.id for seed in range(9) for floor in draw(OWN, [], 10, seed)}
    again = {floor.text: floor.id for floor in draw(explanation(5, "x"), [], 10, 99)}
    assert found == again and len(set(found.values())) == len(DECOYS)
