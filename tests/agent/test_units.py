"""Which units a user means, in every form, and what is said where the form is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurogloss.errors import UserError
from neurogloss.folder import RunFolder
from neurogloss.ids import UnitId
from neurogloss.runs.select import select
from neurogloss.sources.cache import Cache


@pytest.fixture(scope="module")
def cache(collected: Path) -> Cache:
    """48 neurons with two sides at each of two hookpoints."""
    return Cache(RunFolder(collected).cache)


def chosen(cache: Cache, spec: str) -> list[str]:
    """Layer, index and side of each unit that `spec` means."""
    found = list(select(cache, spec, 4, 0))
    return [f"{unit.hookpoint.split('.')[2]}/{unit.index}{'-' if unit.sign < 0 else ''}" for unit in found]


@pytest.mark.parametrize(
    "spec, expected",
    [
        ("7", ["0/7", "1/7"]),
        ("7-", ["0/7-", "1/7-"]),
        ("2-3", ["0/2", "0/3", "1/2", "1/3"]),
        ("3-3", ["0/3", "1/3"]),
        ("0-1,7-", ["0/0", "0/1", "0/7-", "1/0", "1/1", "1/7-"]),
        (" 9 , 2,, 9-9 ", ["0/2", "0/9", "1/2", "1/9"]),
        ("47,0-", ["0/0-", "0/47", "1/0-", "1/47"]),
    ],
)
def test_indices_and_ranges_hold_at_every_hookpoint(cache: Cache, spec: str, expected: list[str]) -> None:
    assert chosen(cache, spec) == expected


def test_full_ids_may_be_mixed_in(cache: Cache) -> None:
    one = UnitId(cache.subject, cache.sites[1].hookpoint, "neurons", 4, -1)
    assert list(select(cache, f"{one}", 4, 0)) == [one]
    assert chosen(cache, f"{one},7,{one}") == ["0/7", "1/4-", "1/7"]


def test_all_is_every_unit_alive_or_not(cache: Cache, dead: UnitId) -> None:
    found = list(select(cache, "all", 4, 0))
    assert len(found) == len(set(found)) == 2 * 2 * 48 and found == sorted(found)
    assert dead in found and set(found) == set(cache.units())


def test_a_sample_is_drawn_from_the_living_by_the_seed(cache: Cache, dead: UnitId) -> None:
    alive = set(cache.alive(4))
    assert alive < set(cache.units()) and dead not in alive
    everyone = list(select(cache, f"sample:{len(alive)}", 4, 0))
    assert set(everyone) == alive and everyone == sorted(everyone)
    ten = list(select(cache, "sample:10", 4, 0))
    assert len(set(ten)) == 10 and ten == sorted(ten) and ten == list(select(cache, "sample:10", 4, 0))
    assert ten != list(select(cache, "sample:10", 4, 1))
    assert set(ten) < set(select(cache, "sample:20", 4, 0)), "a larger sample holds the smaller one"


def test_who_is_alive_depends_on_what_is_needed(cache: Cache) -> None:
    counts = {needed: len(cache.alive(needed)) for needed in (1, 40, 10_000)}
    assert counts[1] > counts[40] > counts[10_000] == 0
    with pytest.raises(UserError, match=f"from 1 to the {counts[40]} units alive, found sample:{counts[40] + 1}"):
        select(cache, f"sample:{counts[40] + 1}", 40, 0)


@pytest.mark.parametrize("number", ["0", "-1", "1.5", "", "x", "²", "193"])
def test_a_sample_that_cannot_be_drawn(cache: Cache, number: str) -> None:
    with pytest.raises(UserError, match=f"Expected sample:N with N from 1 to the .* found sample:{number}"):
        select(cache, f"sample:{number}", 4, 0)


@pytest.mark.parametrize("spec", ["", " , ", "x", "3-1", "1-2-3", "--", "-3", "7--", "1.5", "sample", "sample;3"])
def test_what_cannot_be_read(cache: Cache, spec: str) -> None:
    with pytest.raises(UserError, match="Expected units such as all, sample:24, 0-99 or 512-; found"):
        select(cache, spec, 4, 0)


@pytest.mark.parametrize("part", ["x", "3-1"])
def test_no_part_is_passed_over(cache: Cache, part: str) -> None:
    with pytest.raises(UserError, match=f"found '{part}'"):
        select(cache, f"7,{part},9", 4, 0)


@pytest.mark.parametrize(
    "spec, says",
    [
        ("48", "Expected an index from 0 to 47 at .*, found 48"),
        ("48-", "Expected an index from 0- to 47 at .*, found 48-"),
        ("40-99999999999", "Expected an index from 0 to 47 at .*, found 99999999999"),
        ("a/b/7", "expected subject/hookpoint/dictionary/index, found 'a/b/7'"),
        ("a/b/c/7", "Expected a unit of .*/neurons.*; found a/b/c/7"),
    ],
)
def test_units_that_the_run_does_not_have(cache: Cache, spec: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        select(cache, spec, 4, 0)


def test_a_selection_is_a_sequence(cache: Cache) -> None:
    found = select(cache, "all", 4, 0)
    everyone = sorted(cache.units())
    assert [found[i] for i in range(len(found))] == everyone == list(found)
    assert found[-1] == everyone[-1] and found[5:200:7] == everyone[5:200:7]
    with pytest.raises(IndexError):
        found[len(found)]
