"""The limit finds what a server can do, by a clock of the test's own; slow servers answer everything."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from neurogloss.engines.pacing import LAST_DOWN, SILENCES, START, Pace, Queue
from neurogloss.engines.server import ServerModel
from neurogloss.errors import AnswerError, TransportError
from neurogloss.llm import Features, Message, Request

TIMEOUT = 100.0


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Simulation:
    """A server and clients with more to ask than it can take; time passes only between answers."""

    def __init__(
        self,
        seconds: Callable[[int], float],
        refuses_above: int | None = None,
        most: int = 256,
        timeout: float = 600,
    ) -> None:
        """`seconds`: how long an answer takes with so many in flight."""
        self.clock = Clock()
        self.seconds, self.refuses_above = seconds, refuses_above
        self.pace = Pace("http://a", most, timeout, self.clock)
        self.answers: list[tuple[float, int, float]] = []
        self.peak = self.refused = self.sent = 0

    def run(self, seconds: float) -> Simulation:
        until = self.clock.now + seconds
        while self.clock.now < until:
            while self.pace.free:
                self.pace.in_flight += 1
                self.sent += 1
                self.peak = max(self.peak, self.pace.in_flight)
                if self.refuses_above is not None and self.pace.in_flight > self.refuses_above:
                    self.refused += 1
                    self.pace.overloaded()
                ends = self.clock.now + self.seconds(self.pace.in_flight)
                heapq.heappush(self.answers, (ends, self.sent, self.clock.now))
            self.clock.now, _, began = heapq.heappop(self.answers)
            self.pace.answered(self.clock.now - began, wanted=True)
            self.pace.in_flight -= 1
        return self


def test_a_patient_server_gets_many_requests_within_a_second() -> None:
    found = Simulation(lambda n: 0.1).run(1.0)
    assert found.pace.limit == found.peak == 256


def test_never_more_than_the_most() -> None:
    found = Simulation(lambda n: 0.1, most=40).run(2.0)
    assert found.pace.limit == found.peak == 40
    assert Simulation(lambda n: 0.1, most=3).run(1.0).peak == 3


def test_a_server_that_only_gets_slower_is_not_flooded() -> None:
    """It answers 100 a second, whatever is in flight: doubling brings nothing, so it ends soon."""
    assert Simulation(lambda n: n / 100).run(3.0).pace.limit < 128


def test_a_server_that_refuses_is_left_in_peace() -> None:
    found = Simulation(lambda n: 0.1, refuses_above=50).run(20.0)
    assert 25 <= found.pace.limit <= 55
    assert found.refused < found.sent / 20


def test_requests_that_wait_for_one_another_lower_the_limit() -> None:
    found = Simulation(lambda n: n / 10, timeout=8.0).run(60.0)
    assert 4 <= found.pace.limit <= 24


def test_answers_that_are_slow_but_do_not_wait_leave_the_limit() -> None:
    found = Simulation(lambda n: 40.0 if n <= 8 else 80.0, timeout=TIMEOUT).run(4_000.0)
    assert START <= found.pace.limit <= 16


def test_a_burst_of_refusals_counts_once() -> None:
    pace = Pace("http://a", 256, TIMEOUT)
    pace.limit = 64
    for _ in range(30):
        pace.overloaded()
    assert pace.limit == 32


def test_what_is_not_used_does_not_grow() -> None:
    pace = Pace("http://a", 256, TIMEOUT)
    for _ in range(100):
        pace.answered(0.1, wanted=False)
    assert pace.limit == START


def test_after_a_timeout_the_server_rests_until_it_answers() -> None:
    pace = Pace("http://a", 256, TIMEOUT, clock := Clock())
    pace.timed_out()
    pace.timed_out()  # what was in flight with it
    assert (pace.limit, pace.free, pace.rest) == (START // 2, False, TIMEOUT)
    clock.now += TIMEOUT
    assert pace.free
    pace.timed_out()
    pace.answered(1.0, wanted=False)
    assert pace.free


def test_a_server_that_never_answers_counts_as_hung() -> None:
    pace = Pace("http://a", 256, TIMEOUT, clock := Clock())
    for _ in range(SILENCES):
        assert not pace.hung
        pace.timed_out()
        clock.now += TIMEOUT
    assert pace.hung and pace.free, "one request may find out whether it is back"
    pace.answered(1.0, wanted=False)
    assert not pace.hung


def test_a_limit_below_one() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Pace("http://a", 0, TIMEOUT)


# --- several servers --------------------------------------------------------------------------------


def paces(n: int, clock: Clock) -> list[Pace]:
    return [Pace(f"http://{name}", 256, TIMEOUT, clock) for name in "abc"[:n]]


def chosen(queue: Queue, *tried: Pace) -> Pace:
    """The server that a request would go to; it is not sent."""

    async def choose() -> Pace:
        found = await queue.acquire(tried)
        queue.release(found)
        return found

    return asyncio.run(choose())


def test_the_least_busy_server_is_chosen() -> None:
    queue = Queue(paces(3, Clock()))
    for pace, load in zip(queue.paces, (3, 1, 2), strict=True):
        pace.in_flight = load
    assert chosen(queue) is queue.paces[1]
    assert chosen(queue, queue.paces[1]) is queue.paces[2]


def test_a_server_that_failed_is_left_alone_for_longer_each_time() -> None:
    one, other = paces(2, clock := Clock())
    queue, waits = Queue([one, other]), []
    for _ in range(7):
        one.failed()
        one.failed()  # what was in flight with it
        waits.append(one.down_until - clock.now)
        assert not one.up and chosen(queue) is other
        clock.now = one.down_until
        assert one.up
    assert waits == [1, 2, 4, 8, 16, LAST_DOWN, LAST_DOWN]


def test_a_server_that_was_down_gets_one_request_until_it_answers() -> None:
    one, other = paces(2, clock := Clock())
    queue = Queue([one, other])
    one.failed()
    other.in_flight = 3
    clock.now = one.down_until
    assert chosen(queue) is one
    one.in_flight = 1
    assert chosen(queue) is other
    one.answered(1.0, wanted=False)
    assert chosen(queue) is one


def test_if_none_is_up_the_first_to_be_is_asked() -> None:
    one, other = paces(2, clock := Clock())
    one.failed()
    clock.now += 0.5
    other.failed()
    queue = Queue([one, other])
    assert chosen(queue) is one and not queue.another(())


def test_first_come_first_served_and_a_cancelled_one_leaves_its_place() -> None:
    async def run() -> list[str]:
        queue, served = Queue([Pace("http://a", 1, TIMEOUT)]), list[str]()

        async def client(name: str) -> None:
            pace = await queue.acquire()
            served.append(name)
            queue.release(pace)

        first = await queue.acquire()
        tasks = {name: asyncio.create_task(client(name)) for name in "abcd"}
        await asyncio.sleep(0)
        tasks["b"].cancel()
        queue.release(first)
        tasks["a"].cancel()  # it has been given its slot, and has not run yet
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        assert first.in_flight == 0
        return served

    assert asyncio.run(run()) == ["c", "d"]


def test_requests_that_wait_for_a_hung_server_fail_at_once() -> None:
    async def run() -> None:
        queue = Queue(paces(1, clock := Clock()))
        (pace,) = queue.paces
        for _ in range(SILENCES):
            clock.now += TIMEOUT
            pace.timed_out()
        with pytest.raises(TransportError, match="http://a has stopped answering"):
            await queue.acquire()

    asyncio.run(run())


# --- slow servers, in real seconds ------------------------------------------------------------------


def ask_slowly(lag: float, at_a_time: int, drops: bool, n: int, timeout: float) -> list[str]:
    """What comes of `n` requests to a server that works on a few at a time, `lag` seconds each."""
    working = asyncio.Semaphore(at_a_time)

    async def work() -> None:
        async with working:
            await asyncio.sleep(lag)

    async def handle(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response({"data": [{"id": "m"}]})
        await (work() if drops else asyncio.shield(asyncio.ensure_future(work())))
        return web.json_response({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]})

    async def run() -> list[str]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        async with TestServer(app) as server:
            async with ServerModel(str(server.make_url("")), features=Features(), timeout=timeout) as model:
                return await asyncio.gather(*(one(model, i) for i in range(n)))

    async def one(model: ServerModel, i: int) -> str:
        try:
            return (await model.chat(Request((Message("user", str(i)),)))).text
        except AnswerError as error:
            return str(error)

    return asyncio.run(run())


@pytest.mark.parametrize("drops", [True, False])
@pytest.mark.parametrize("at_a_time", [1, 2, 8])
def test_a_slow_server_answers_everything(at_a_time: int, drops: bool) -> None:
    """60 answers of 15 seconds each with the default timeout of 600 seconds, 1:200."""
    assert ask_slowly(0.075, at_a_time, drops, 60, 3.0) == ["hi"] * 60


@pytest.mark.parametrize("drops", [True, False])
@pytest.mark.parametrize("share", [0.3, 0.6])
def test_a_server_that_needs_much_of_the_timeout_for_one_answer_does_too(share: float, drops: bool) -> None:
    assert ask_slowly(share, 1, drops, 5, 1.0) == ["hi"] * 5
