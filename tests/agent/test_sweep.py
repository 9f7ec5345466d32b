"""Results as they come: some units in flight, and an end once the server is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing

import pytest

from neurogloss.accounts import Usage, Work
from neurogloss.ids import UnitId
from neurogloss.records import Label, State
from neurogloss.runs.stages import Result
from neurogloss.runs.sweep import GIVE_UP, as_completed


def unit(index: int) -> UnitId:
    return UnitId("model", "layer", "sae", index)


def result(unit: UnitId, state: State) -> Result:
    return Result(Label(unit, "method", state), Work("explain", Usage()))


class Slow:
    """Takes as many turns of the loop as the unit's index says, and counts the units in flight."""

    def __init__(self, fails_at: int = -1) -> None:
        self.running, self.most, self.begun, self.cancelled = 0, 0, 0, 0
        self._fails_at = fails_at

    async def __call__(self, unit: UnitId) -> Result:
        self.begun += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            for _ in range(unit.index):
                await asyncio.sleep(0)
            if unit.index == self._fails_at:
                raise ValueError(unit.index)
            return result(unit, State.EMPTY)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1


async def taken(work: Slow, indices: list[int], n: int, first: int | None = None) -> list[int]:
    found = []
    async with aclosing(as_completed(map(unit, indices), work, n)) as results:
        async for each in results:
            found.append(each.label.unit.index)
            if len(found) == first:
                break
    return found


def test_every_result_comes_as_it_is_there_and_so_many_are_in_flight() -> None:
    work = Slow()
    found = asyncio.run(taken(work, [50, 3, 2, 1], 2))
    assert found == [3, 2, 1, 50] and (work.most, work.running) == (2, 0)


def test_units_are_taken_as_others_end() -> None:
    """Of a list without end, no more are taken than there is room for."""
    work, read = Slow(), []

    def units() -> Iterator[UnitId]:
        for index in range(10**9):
            read.append(index)
            yield unit(1)

    async def few() -> None:
        async with aclosing(as_completed(units(), work, 3)) as results:
            for _ in range(5):
                await anext(results)

    asyncio.run(few())
    assert len(read) <= 5 + 3


def test_the_first_error_ends_all() -> None:
    work = Slow(fails_at=2)
    with pytest.raises(ValueError, match="2"):
        asyncio.run(taken(work, [99, 2, 98, 97], 3))
    assert (work.running, work.cancelled, work.begun) == (0, 2, 3)


def test_who_stops_listening_ends_what_is_in_flight() -> None:
    work = Slow()
    assert asyncio.run(taken(work, [1, 99, 98, 97], 3, first=1)) == [1]
    assert work.running == 0 and work.cancelled == 2


@pytest.mark.parametrize("in_flight", [1, 3])
def test_no_more_units_are_taken_once_the_server_counts_as_gone(in_flight: int) -> None:
    gone_from = 10

    async def compute(unit: UnitId) -> Result:
        await asyncio.sleep(0)
        return result(unit, State.TRANSPORT if unit.index >= gone_from else State.EMPTY)

    async def run() -> list[State]:
        return [each.label.state async for each in as_completed(map(unit, range(100)), compute, in_flight)]

    found = asyncio.run(run())
    lost = found.count(State.TRANSPORT)
    assert GIVE_UP * in_flight <= lost < (GIVE_UP + 1) * in_flight
    assert len(found) == gone_from + lost


def test_units_of_which_no_model_was_asked_say_nothing_of_the_server() -> None:
    states = [
        State.TRANSPORT,
        State.DEAD,
        State.TRANSPORT,
        State.TOO_LITTLE_EVIDENCE,
        State.TRANSPORT,
        State.EMPTY,
    ]

    async def compute(unit: UnitId) -> Result:
        return result(unit, states[unit.index])

    async def run() -> int:
        return len([each async for each in as_completed(map(unit, range(len(states))), compute, 1)])

    assert asyncio.run(run()) == 5
