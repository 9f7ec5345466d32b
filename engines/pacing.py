"""How many requests each server is sent at once, and which server the next request goes to.

One server, additive increase and multiplicative decrease (Chiu and Jain 1989; slow start as in TCP):

1. Begin with START requests in flight. A round is as many answers as the limit is high.
2. Slow start: each round doubles the limit. It ends with the first round that brings less than GAIN times the
   answers per second of the round before. After that a round adds one, and an eighth of the limit.
3. Answers are slow if they take longer than a quarter of the timeout on average. Then raise the limit only if they
   take as long as the fastest one and half of the timeout is left. Cut it by a quarter if they take twice as long
   as the fastest one: they wait for one another.
4. Halve the limit if the server says that it is overloaded (429, 503) or a request times out, once a round.
5. After a timeout, send nothing for as long again, or until an answer arrives: the server may still be working on
   requests that were given up.
6. Raise nothing in a round that did not use its limit.

Several servers: a request goes to the one with the fewest requests in flight. A server that failed is left out
for FIRST_DOWN seconds, twice as long each time up to LAST_DOWN; then it gets one request at a time until it
answers.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence

from neurogloss.errors import TransportError

START = 4
GAIN = 1.1
FIRST_DOWN, LAST_DOWN = 1.0, 30.0
SILENCES = 5
"""Timeouts in a row, with a rest after each, until a server counts as hung."""

Clock = Callable[[], float]


class Pace:
    """The limit of requests in flight at one server, and whether the server is well."""

    def __init__(self, url: str, most: int, timeout: float, clock: Clock = time.monotonic) -> None:
        """
        Args:
            url: the server, as messages name it.
            most: the limit never exceeds this; at least 1.
            timeout: seconds after which a request is given up.
            clock: seconds.
        """
        if most < 1:
            raise ValueError(f"a limit is at least 1, found {most}")
        self.url, self.limit, self.in_flight = url, min(START, most), 0
        self._rest_until = self.down_until = 0.0
        self._most, self._timeout, self._clock = most, timeout, clock
        self._slow_start, self._rate = True, 0.0
        self._failures = self._silences = 0
        self._fastest = timeout
        self._begin_round()

    @property
    def up(self) -> bool:
        """Whether the server may be chosen; one that failed gets one request at a time."""
        return not self._failures or (self._clock() >= self.down_until and not self.in_flight)

    @property
    def free(self) -> bool:
        """Whether one more request may be sent now."""
        return self.in_flight < self.limit and self.rest <= 0

    @property
    def rest(self) -> float:
        """Seconds for which nothing may be sent."""
        return self._rest_until - self._clock()

    @property
    def hung(self) -> bool:
        """Whether the server has answered nothing for so long that waiting has no point."""
        return self._silences >= SILENCES

    def answered(self, seconds: float, wanted: bool) -> None:
        """Count an answer. `wanted`: more requests are waiting to be sent."""
        self._failures = self._silences = 0
        self._rest_until = 0.0
        self._answers += 1
        self._seconds += seconds
        self._fastest = min(self._fastest, seconds)
        self._used_up |= wanted
        if self._answers >= self._round:
            self._end_round()

    def overloaded(self) -> None:
        """The server said that it has too much to do."""
        if not self._cut:
            self._decrease(0.5)

    def timed_out(self) -> None:
        """A request was given up. What was in flight together counts once."""
        if self.rest <= 0:
            self._silences += 1
            self._decrease(0.5)
        self._rest_until = self._clock() + self._timeout

    def failed(self) -> None:
        """The server was not reached or broke. What was in flight together counts once."""
        if self._clock() >= self.down_until:
            self.down_until = self._clock() + min(FIRST_DOWN * 2.0**self._failures, LAST_DOWN)
            self._failures += 1

    def _end_round(self) -> None:
        rate = self._answers / max(self._clock() - self._began, 1e-9)
        mean = self._seconds / self._answers
        slow = mean > self._timeout / 4
        if slow and mean > 2 * self._fastest and not self._cut:
            self._decrease(0.75)
            return
        pace_kept = not slow or mean < min(1.2 * self._fastest, self._timeout / 2)
        if pace_kept and self._used_up and not self._cut:
            self._slow_start = self._slow_start and rate > GAIN * self._rate
            self.limit = min(2 * self.limit if self._slow_start else self.limit + 1 + self.limit // 8, self._most)
        self._rate = rate
        self._begin_round()

    def _decrease(self, factor: float) -> None:
        self.limit, self._slow_start = max(1, int(self.limit * factor)), False
        self._begin_round()
        self._cut = True

    def _begin_round(self) -> None:
        self._round, self._answers, self._seconds = self.limit, 0, 0.0
        self._began, self._used_up, self._cut = self._clock(), False, False


class Queue:
    """Requests that wait for a server, first come, first served; used inside one event loop."""

    def __init__(self, paces: Sequence[Pace]) -> None:
        self.paces = tuple(paces)
        self._waiting: deque[tuple[asyncio.Future[Pace], tuple[Pace, ...]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def acquire(self, tried: Collection[Pace] = ()) -> Pace:
        """Wait for a slot. Avoids servers that were tried, if another one is up.

        Raises:
            TransportError: every server hangs.
        """
        place = asyncio.get_running_loop().create_future(), tuple(tried)
        self._waiting.append(place)
        self._serve()
        try:
            pace: Pace = await place[0]
        except asyncio.CancelledError:
            if place[0].done() and not place[0].cancelled() and not place[0].exception():
                self.release(place[0].result())
            raise
        return pace

    def release(self, pace: Pace) -> None:
        """Give the slot back."""
        pace.in_flight -= 1
        self._serve()

    @property
    def waiting(self) -> bool:
        return bool(self._waiting)

    def another(self, tried: Collection[Pace]) -> bool:
        """Whether a server is up that was not tried."""
        return any(pace.up and pace not in tried for pace in self.paces)

    def _serve(self) -> None:
        """Give free slots to those who wait."""
        left: deque[tuple[asyncio.Future[Pace], tuple[Pace, ...]]] = deque()
        while self._waiting:
            future, tried = self._waiting.popleft()
            if future.done():
                continue
            if pace := self._choose(tried):
                pace.in_flight += 1
                future.set_result(pace)
                continue
            if all(pace.hung for pace in self.paces):
                future.set_exception(TransportError(f"{self.paces[0].url} has stopped answering"))
                continue
            left.append((future, tried))
            if not tried:
                break
        self._waiting.extendleft(reversed(left))
        self._wake_after_rest()

    def _choose(self, tried: Collection[Pace]) -> Pace | None:
        fresh = [pace for pace in self.paces if pace not in tried] or self.paces
        up = [pace for pace in fresh if pace.up] or [min(fresh, key=lambda pace: pace.down_until)]
        return min((pace for pace in up if pace.free), key=lambda pace: pace.in_flight, default=None)

    def _wake_after_rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        rests = [rest for pace in self.paces if (rest := pace.rest) > 0]
        if self._waiting and rests:
            self._timer = asyncio.get_running_loop().call_later(min(rests) + 0.001, self._serve)
