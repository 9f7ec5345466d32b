from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from neurogloss.errors import UserError
from neurogloss.ids import UnitId
from neurogloss.sources import neighbours
from neurogloss.sources.cache import Cache
from neurogloss.sources.dictionaries import open_dictionary
from neurogloss.sources.neighbours import CoActivation, Neighbours, nearest_directions
from neurogloss.sources.sketch import EMPTY

HOOKPOINT = "model.layers.1.mlp.down_proj.input"


def sampled(active: set[int], slots: int) -> list[int]:
    """The smallest hashes of a set of active contexts, as a sketch keeps them."""
    return (sorted(active) + [int(EMPTY)] * slots)[:slots]


def index_of(sites: list[list[set[int]]], slots: int, n_contexts: int) -> CoActivation:
    samples = [np.array([sampled(active, slots) for active in site], np.uint64) for site in sites]
    return CoActivation.build(samples, np.arange(n_contexts, dtype=np.uint64))


def test_an_example_worked_by_hand() -> None:
    a, b, c, d = {1, 2, 3, 4}, {1, 3, 5}, {2}, {6}
    found = index_of([[a, b], [c, d]], slots=3, n_contexts=10).nearest(0, 5)
    # A's sample is 1 2 3 and ends at 3, B's is 1 3 5. Below 3: A has 1 2, B has 1.
    # C's sample holds all that C has. Below 3: A has 1 2, C has 2. D has nothing in common with A.
    assert [(side, jaccard) for side, jaccard, _ in found] == [(1, 1 / 2), (2, 1 / 2)]
    # p = (1 + 1) / (2 + 2), n = 2; three of 2^64 hashes are below the limit.
    assert [error for *_, error in found] == pytest.approx([math.sqrt(0.5 * 0.5 / 2)] * 2)


def test_small_sets_are_compared_exactly() -> None:
    found = index_of([[{1, 2, 3}, {2, 3, 4}, {9}, {3}]], slots=4, n_contexts=10).nearest(0, 5)
    assert found == [(1, 2 / 4, 0.0), (3, 1 / 3, 0.0)]


def plain_estimates(actives: list[set[int]], side: int, slots: int) -> list[tuple[float, int]]:
    """Minus the estimate, and the side, of every side with something in common; from the definition."""
    samples = [sampled(active, slots) for active in actives]
    found = []
    for other in range(len(actives)):
        limit = min(max(samples[side]), max(samples[other]))
        mine, theirs = ({h for h in samples[i] if h < limit} for i in (side, other))
        if other != side and mine & theirs:
            found.append((-len(mine & theirs) / len(mine | theirs), other))
    return sorted(found)


@settings(max_examples=60, deadline=None)
@given(
    actives=st.lists(st.sets(st.integers(0, 29)), min_size=2, max_size=12),
    slots=st.integers(1, 12),
    n=st.integers(1, 4),
    likely=st.sampled_from([1, 2, 128]),
    at_once=st.sampled_from([1, 5]),
    parts=st.integers(1, 11),
)
def test_the_index_finds_what_comparing_all_finds(
    actives: list[set[int]], slots: int, n: int, likely: int, at_once: int, parts: int
) -> None:
    parts = min(parts, len(actives) - 1)
    with patch.object(neighbours, "LIKELY", likely), patch.object(neighbours, "SIDES_AT_ONCE", at_once):
        index = index_of([actives[:parts], actives[parts:]], slots, 30)
        for side, active in enumerate(actives):
            found = index.nearest(side, n)
            assert [(-jaccard, other) for other, jaccard, _ in found] == plain_estimates(actives, side, slots)[:n]
            for other, jaccard, error in found:
                if max(len(active), len(actives[other])) < slots:  # all is known
                    both = active & actives[other]
                    assert (jaccard, error) == (len(both) / len(active | actives[other]), 0.0)
                else:
                    assert error > 0


def test_the_estimate_is_unbiased_and_its_error_is_what_is_said() -> None:
    rng = np.random.default_rng(0)
    a, b = np.arange(0, 600), np.arange(300, 1100)
    truth, scaled, estimates = 300 / 1100, [], []
    for _ in range(600):
        contexts = np.sort(rng.integers(0, 2**63, 1500, dtype=np.uint64) * np.uint64(2))
        place = rng.permutation(1500)
        sample = np.stack([np.sort(contexts[place[members]])[:64] for members in (a, b)])
        [(_, jaccard, error)] = CoActivation.build([sample], contexts).nearest(0, 1)
        estimates.append(jaccard)
        scaled.append((jaccard - truth) / error)
    assert np.mean(estimates) == pytest.approx(truth, abs=3 * np.std(estimates) / 600**0.5)
    assert np.std(scaled) == pytest.approx(1, abs=0.1)


# --- of a run -------------------------------------------------------------------------------------


def test_neighbours_are_of_both_sites_and_know_each_other(collected: Cache) -> None:
    near = Neighbours(collected)
    unit = UnitId("tiny-llama", HOOKPOINT, "neurons", 40, -1)
    everything = near.of(unit, n=10_000)
    assert unit not in {other.unit for other in everything}
    assert len({other.unit for other in everything}) == len(everything)
    assert {(other.unit.hookpoint, other.unit.sign) for other in everything} == {
        (site.hookpoint, sign) for site in collected.sites for sign in (1, -1)
    }
    assert all(first.jaccard >= second.jaccard > 0 for first, second in pairwise(everything))
    for other in everything[::10]:
        back = next(each for each in near.of(other.unit, n=10_000) if each.unit == unit)
        assert (back.jaccard, back.error) == (other.jaccard, other.error)
    assert near.of(unit, n=3) == everything[:3]


@pytest.mark.parametrize("half", ["explain", "score"])
def test_estimates_are_those_of_the_samples_of_that_half(collected: Cache, half: str) -> None:
    unit = UnitId("tiny-llama", HOOKPOINT, "neurons", 0)

    def below(of: UnitId, limit: int) -> set[int]:
        return {h for h in collected.uniform_hashes(of, half).tolist() if h < limit}  # type: ignore[arg-type]

    found = Neighbours(collected).of(unit, 5, half)  # type: ignore[arg-type]
    assert len(found) == 5
    for other in found:
        limit = min(int(collected.uniform_hashes(each, half).max()) for each in (unit, other.unit))  # type: ignore[arg-type]
        mine, theirs = below(unit, limit), below(other.unit, limit)
        assert other.jaccard == len(mine & theirs) / len(mine | theirs)


def test_a_unit_that_is_not_there_is_refused(collected: Cache) -> None:
    with pytest.raises(UserError, match="0 to 47"):
        Neighbours(collected).of(UnitId("tiny-llama", HOOKPOINT, "neurons", 48))


# --- by direction ---------------------------------------------------------------------------------


def saved(path: Path, rows: NDArray[np.float32]) -> str:
    np.save(path, rows)
    return f"directions:{path}"


def test_the_nearest_directions_by_cosine(tmp_path: Path) -> None:
    rows = np.array([[1, 0], [2, 2], [-1, 0], [0, 3]], np.float32)
    dictionary = open_dictionary(saved(tmp_path / "rows.npy", rows), 2)
    found = nearest_directions(dictionary, 0, 10)
    assert [unit for unit, _ in found] == [1, 3, 2]
    assert [cosine for _, cosine in found] == pytest.approx([0.5**0.5, 0.0, -1.0], abs=1e-6)
    assert nearest_directions(dictionary, 0, 1) == found[:1]


def test_lengths_do_not_count(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    decoder = np.array([[1, 0], [0.1, 0.01], [5, 5]], np.float32)
    path = tmp_path / "sae.safetensors"
    save_file({"W_enc": np.ascontiguousarray(decoder.T), "W_dec": decoder}, path)
    assert [unit for unit, _ in nearest_directions(open_dictionary(str(path), 2), 0, 2)] == [1, 2]
