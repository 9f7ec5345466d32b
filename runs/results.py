"""What becomes of units: computed here or by workers elsewhere, recorded by the one process that holds the ledger.

1. A result is frozen and can be sent: everything that the ledger keeps of one stage of one unit.
2. Units are taken up as others end, some in flight at a time, and results come as they are there.
3. After so many transport failures in a row that the server counts as gone, no more units are taken up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Generic, Protocol, TypeVar

from neurogloss.accounts import Usage, Work
from neurogloss.engines.usage import Call
from neurogloss.ids import UnitId
from neurogloss.records import Explanation, Label, Outcome, Score, State
from neurogloss.settings import LabelSettings
from neurogloss.store.ledger import Ledger

GIVE_UP = 3
"""Transport failures in a row, times the units in flight, after which the server counts as gone."""
UNASKED = frozenset({State.DEAD, State.TOO_LITTLE_EVIDENCE})
"""States of units of which no model was asked."""

Item = TypeVar("Item", UnitId, Label)
"""What is computed on: a unit to explain, or its label with the explanation to score."""
Taken = TypeVar("Taken", UnitId, Label, contravariant=True)
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class ExplainedUnit:
    """A unit with its explanation and the candidates that lost."""

    chosen: Explanation
    others: Sequence[Explanation]
    work: Work

    @property
    def unit(self) -> UnitId:
        return self.chosen.unit

    @property
    def state(self) -> State:
        return State.EXPLAINED

    def record(self, ledger: Ledger) -> None:
        ledger.record_explained(self.chosen, self.others, self.work)


@dataclass(frozen=True, slots=True)
class ScoredUnit:
    """An explanation with its scores, and what they were made of."""

    explanation: Explanation
    state: State
    scores: Sequence[Score]
    outcomes: Sequence[Outcome]
    reason: str
    work: Work

    @property
    def unit(self) -> UnitId:
        return self.explanation.unit

    def record(self, ledger: Ledger) -> None:
        ledger.record_scores(self.explanation, self.state, self.scores, self.outcomes, self.reason, self.work)


@dataclass(frozen=True, slots=True)
class FailedUnit:
    """A unit that a stage came to nothing for, and why."""

    unit: UnitId
    method: str
    state: State
    reason: str
    work: Work

    def record(self, ledger: Ledger) -> None:
        ledger.record_failure(self.unit, self.method, self.state, self.reason, self.work)


Result = ExplainedUnit | ScoredUnit | FailedUnit
Results = AsyncGenerator[Result, None]


class Workers(Protocol[Taken]):
    """Who computes."""

    def results(self, items: Iterator[Taken], n: int) -> Results:
        """What becomes of n items at most, as it is there; items are taken as there is room for them."""
        ...


@dataclass(frozen=True)
class Here(Generic[Item]):
    """Implements `Workers` in this process."""

    compute: Callable[[Item], Awaitable[Result]]
    in_flight: int

    def results(self, items: Iterator[Item], n: int) -> Results:
        async def one(item: Item) -> Results:
            yield await self.compute(item)

        return until_gone(items, self.in_flight, lambda some: interleaved(map(one, some), self.in_flight))


def in_flight(settings: LabelSettings) -> int:
    """Units at a time: models in a process answer one at a time; only a server has use for several."""
    return settings.concurrency if settings.llm else 1


def worked(stage: str, calls: Sequence[Call], trace: bytes | None = None) -> Work:
    """What a unit's calls cost."""
    return Work(stage, sum((call.usage for call in calls), Usage()), trace)


async def until_gone(
    items: Iterator[Item], in_flight: int, results_of: Callable[[Iterator[Item]], Results]
) -> Results:
    """Results, for which items are taken until the server counts as gone."""
    lost = 0
    async with aclosing(results_of(takewhile(lambda _: lost < GIVE_UP * in_flight, items))) as results:
        async for result in results:
            if result.state is State.TRANSPORT:
                lost += 1
            elif result.state not in UNASKED:
                lost = 0
            yield result


async def interleaved(streams: Iterable[AsyncGenerator[Found, None]], at_once: int) -> AsyncGenerator[Found, None]:
    """What several streams give, as it comes. The next one is opened when one ends; the first error ends all."""
    waiting, end = iter(streams), object()
    opened: dict[asyncio.Future[Found | object], AsyncGenerator[Found, None]] = {}
    try:
        while True:
            for stream in islice(waiting, at_once - len(opened)):
                opened[asyncio.ensure_future(anext(stream, end))] = stream
            if not opened:
                return
            done, _ = await asyncio.wait(opened, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                stream = opened.pop(task)
                if (found := task.result()) is not end:
                    opened[asyncio.ensure_future(anext(stream, end))] = stream
                    yield found  # type: ignore[misc]
    finally:
        for task in opened:
            task.cancel()
        await asyncio.gather(*opened, return_exceptions=True)
        for stream in opened.values():
            await stream.aclose()
