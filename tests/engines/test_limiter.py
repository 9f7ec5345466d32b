"""The limit finds what a server can do, by a clock of the test's own."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

import pytest

from neurogloss.engines.limiter import Limiter


class Simulation:
    """A server and clients with more to ask than it can take; time passes only between answers."""

    def __init__(
        self, seconds: Callable[[int], float], refuses_above: int | None = None, **settings: float
    ) -> None:
        """`seconds`: how long an answer takes with so many in flight."""
        self.now = 0.0
        self.seconds, self.refuses_above = seconds, refuses_above
        self.limiter = Limiter(clock=lambda: self.now, **settings)  # type: ignore[arg-type]
        self.answers: list[tuple[float, int, float]] = []
        self.peak = self.refused = self.sent = 0

    async def run(self, until: float) -> Simulation:
        waiting = [asyncio.create_task(self.limiter.acquire()) for _ in range(600)]
        while self.now < until:
            await asyncio.sleep(0)
            for task in [task for task in waiting if task.done()]:
                waiting.remove(task)
                self.sent += 1
                self.peak = max(self.peak, self.limiter.in_flight)
                if self.refuses_above is not None and self.limiter.in_flight > self.refuses_above:
                    self.refused += 1
                    self.limiter.overloaded()
                ends = self.now + self.seconds(self.limiter.in_flight)
                heapq.heappush(self.answers, (ends, self.sent, task.result()))
                waiting.append(asyncio.create_task(self.limiter.acquire()))
            await asyncio.sleep(0)
            self.now, _, acquired = heapq.heappop(self.answers)
            self.limiter.release(acquired)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return self


def simulate(until: float, *arguments: object, **settings: object) -> Simulation:
    async def run() -> Simulation:
        return await Simulation(*arguments, **settings).run(until)  # type: ignore[arg-type]

    return asyncio.run(run())


def test_a_patient_server_gets_many_requests_within_a_second() -> None:
    found = simulate(1.0, lambda n: 0.1)
    assert found.limiter.limit == found.peak == 256


def test_never_more_than_the_most() -> None:
    found = simulate(2.0, lambda n: 0.1, most=40)
    assert found.limiter.limit == found.peak == 40
    assert simulate(1.0, lambda n: 0.1, most=3).peak == 3


def test_a_server_that_only_gets_slower_is_not_flooded() -> None:
    """It answers 100 a second, whatever is in flight: doubling brings nothing, so it ends soon."""
    found = simulate(3.0, lambda n: n / 100)
    assert found.limiter.limit < 128


def test_a_server_that_refuses_is_left_in_peace() -> None:
    found = simulate(20.0, lambda n: 0.1, refuses_above=50)
    assert 25 <= found.limiter.limit <= 55
    assert found.refused < found.sent / 20


def test_slow_answers_lower_the_limit() -> None:
    found = simulate(60.0, lambda n: n / 10, slow=2.0)
    assert 4 <= found.limiter.limit <= 24


def test_a_burst_of_refusals_counts_once() -> None:
    limiter = Limiter(start=64)
    for _ in range(30):
        limiter.overloaded()
    assert limiter.limit == 32


def test_what_is_not_used_does_not_grow() -> None:
    async def one_by_one() -> int:
        limiter = Limiter()
        for _ in range(100):
            limiter.release(await limiter.acquire())
        return limiter.limit

    assert asyncio.run(one_by_one()) == 16


def test_first_come_first_served_and_a_cancelled_one_leaves_its_place() -> None:
    async def queue() -> list[str]:
        limiter, served = Limiter(start=1, most=1), []

        async def client(name: str) -> None:
            acquired = await limiter.acquire()
            served.append(name)
            limiter.release(acquired)

        first = await limiter.acquire()
        tasks = {name: asyncio.create_task(client(name)) for name in "abcd"}
        await asyncio.sleep(0)
        tasks["b"].cancel()
        limiter.release(first)
        tasks["a"].cancel()  # it has been given its slot, and has not run yet
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        assert limiter.in_flight == 0
        return served

    assert asyncio.run(queue()) == ["c", "d"]


@pytest.mark.parametrize("settings", [{"most": 0}, {"start": 0}])
def test_a_limit_below_one(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Limiter(**settings)
