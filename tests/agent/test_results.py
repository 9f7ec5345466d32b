"""Results as they come: several streams at once, a bound on them, and an end where the server is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest

from neurogloss.accounts import Usage, Work
from neurogloss.ids import UnitId
from neurogloss.records import State
from neurogloss.runs.results import GIVE_UP, FailedUnit, Here, Result, interleaved


def unit(index: int) -> UnitId:
    return UnitId("model", "layer", "sae", index)


class Streams:
    """Streams of numbers that tell how many of them are open."""

    def __init__(self) -> None:
        self.open, self.most, self.closed = 0, 0, 0

    async def stream(self, start: int, n: int) -> AsyncGenerator[int, None]:
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            for number in range(start, start + n):
                await asyncio.sleep(0)
                if number < 0:
                    raise ValueError(number)
                yield number
        finally:
            self.open -= 1
            self.closed += 1


async def taken(stream: AsyncGenerator[Any, None], n: int | None = None) -> list[Any]:
    found = []
    async for each in stream:
        found.append(each)
        if len(found) == n:
            break
    await stream.aclose()
    return found


def test_everything_of_every_stream_comes_and_so_many_are_open() -> None:
    streams = Streams()
    found = asyncio.run(taken(interleaved((streams.stream(10 * i, i) for i in range(5)), 2)))
    assert sorted(found) == [10, 20, 21, 30, 31, 32, 40, 41, 42, 43]
    assert found.index(20) < found.index(42)
    assert (streams.most, streams.open, streams.closed) == (2, 0, 5)


def test_the_first_error_ends_all() -> None:
    streams = Streams()
    with pytest.raises(ValueError, match="-1"):
        asyncio.run(taken(interleaved((streams.stream(start, 50) for start in (0, -1)), 2)))
    assert (streams.open, streams.closed) == (0, 2)


def test_who_stops_listening_closes_what_is_open() -> None:
    streams = Streams()
    assert len(asyncio.run(taken(interleaved((streams.stream(0, 50) for _ in range(9)), 3), 5))) == 5
    assert (streams.open, streams.closed) == (0, 3)


@pytest.mark.parametrize("in_flight", [1, 3])
def test_no_more_units_are_taken_once_the_server_counts_as_gone(in_flight: int) -> None:
    gone_from = 10

    async def compute(unit: UnitId) -> Result:
        await asyncio.sleep(0)
        state = State.TRANSPORT if unit.index >= gone_from else State.EMPTY
        return FailedUnit(unit, "method", state, "", Work("explain", Usage()))

    items: Iterator[UnitId] = map(unit, range(100))
    found = asyncio.run(taken(Here(compute, in_flight).results(items, 100)))
    lost = [result for result in found if result.state is State.TRANSPORT]
    assert GIVE_UP * in_flight <= len(lost) < (GIVE_UP + 1) * in_flight
    assert len(found) == gone_from + len(lost)


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
        return FailedUnit(unit, "method", states[unit.index], "", Work("explain", Usage()))

    items: Iterator[UnitId] = map(unit, range(len(states)))
    assert len(asyncio.run(taken(Here(compute, 1).results(items, 6)))) == 5
