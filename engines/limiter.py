"""How many requests a server is sent at once, found out while they are sent.

Additive increase, multiplicative decrease (Chiu and Jain 1989; slow start as in TCP):

1. Begin at `start`. A round is as many answers as the limit is high.
2. Slow start: each answer adds one, so that a round doubles the limit. It ends with the first round that brings
   less than `GAIN` times the answers a second of the round before, or with the first cut.
3. After that each round adds one.
4. A server that says that it has too much to do (429, 503) halves the limit; a round whose answers take longer
   than `slow` on average takes a quarter off. One cut a round at most: what was sent before it tells nothing new.
5. Nothing is added by a round that did not use what was allowed.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

GAIN = 1.1


class Limiter:
    """Slots for requests to one server, first come, first served; to be used inside one event loop."""

    def __init__(
        self, most: int = 256, start: int = 16, slow: float = 30.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """
        Args:
            most: the limit never exceeds this; at least 1.
            start: the first limit, where `most` allows it.
            slow: seconds an answer may take on average.
            clock: seconds.
        """
        if most < 1 or start < 1:
            raise ValueError(f"a limit is at least 1, found {most}, {start}")
        self.limit = min(start, most)
        """Requests that may be in flight now."""
        self.in_flight = 0
        self._most, self._slow, self._clock = most, slow, clock
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._slow_start = True
        self._rate = 0.0
        self._begin_round()

    @property
    def load(self) -> int:
        """Requests that are in flight or wait."""
        return self.in_flight + len(self._waiting)

    async def acquire(self) -> float:
        """Wait for a slot. Returns the time at which it was got, for `release`."""
        if self.in_flight < self.limit and not self._waiting:
            self.in_flight += 1
        else:
            self._used_up = True
            slot = asyncio.get_running_loop().create_future()
            self._waiting.append(slot)
            try:
                await slot
            except asyncio.CancelledError:
                if slot.done() and not slot.cancelled():
                    self._leave()
                raise
        return self._clock()

    def release(self, acquired: float) -> None:
        """Give the slot back; with it ends a request that was answered, or given up."""
        now = self._clock()
        self._answers += 1
        self._seconds += now - acquired
        if self._slow_start and self._used_up:
            self.limit = min(self.limit + 1, self._most)
        if self._answers >= self._round:
            self._end_round(now)
        self._leave()

    def overloaded(self) -> None:
        """The server refused a request because it has too many."""
        if not self._cut:
            self._decrease(0.5)

    def _end_round(self, now: float) -> None:
        rate = self._answers / max(now - self._began, 1e-9)
        if self._seconds / self._answers > self._slow and not self._cut:
            self._decrease(0.75)
            return
        if self._slow_start:
            self._slow_start = rate > GAIN * self._rate or not self._used_up
        elif self._used_up and not self._cut:
            self.limit = min(self.limit + 1, self._most)
        self._rate = rate
        self._begin_round()

    def _decrease(self, factor: float) -> None:
        self.limit = max(1, int(self.limit * factor))
        self._slow_start = False
        self._begin_round()
        self._cut = True

    def _begin_round(self) -> None:
        self._round, self._answers, self._seconds = self.limit, 0, 0.0
        self._began, self._used_up, self._cut = self._clock(), bool(self._waiting), False

    def _leave(self) -> None:
        self.in_flight -= 1
        while self._waiting and self.in_flight < self.limit:
            slot = self._waiting.popleft()
            if not slot.done():
                self.in_flight += 1
                slot.set_result(None)
