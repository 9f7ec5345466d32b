"""Sweeps over units: one stage for all units that need it, each result recorded when it is there.

1. The ledger says which units need the stage. Standings are read a page at a time, and units begin as others end:
   memory does not grow with their number.
2. Only this process writes to the ledger, once a unit. A killed run loses the units in flight; the next run does
   exactly those again.
3. After GIVE_UP transport failures in a row for each unit in flight, the server counts as gone, and no more units
   begin.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice

from neurogloss.accounts import Standing, Usage
from neurogloss.ids import UnitId
from neurogloss.protocols import Progress
from neurogloss.records import State
from neurogloss.runs.stages import Result
from neurogloss.settings import LabelSettings
from neurogloss.store.ledger import Ledger

FAILED = frozenset({State.TRANSPORT, State.REFUSAL, State.UNPARSEABLE, State.EMPTY})
"""States that say that the run, not the unit, fell short."""
UNASKED = frozenset({State.DEAD, State.TOO_LITTLE_EVIDENCE})
"""States of units that no model was asked about."""
GIVE_UP = 3
"""Transport failures in a row, times the units in flight, after which the server counts as gone."""
PAGE = 500
"""Units whose standing is read at once."""

Wanted = Callable[[Standing | None], bool]
"""Whether a unit of that standing needs a stage; None if it has none."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What labelling or scoring units came to."""

    method: str
    """Under which the ledger keeps it."""
    states: Mapping[State, int]
    """The units asked for, by state; those not begun are in none."""
    waiting: int
    """Units that a later run will take up again, or that this one did not reach."""
    usage: Usage
    """What models were asked in this run."""
    seconds: float
    cost: float
    """In the currency of the prices that the settings give; 0 without."""

    @property
    def failed(self) -> int:
        """Units that ended in a failure of transport or answer."""
        return sum(n for state, n in self.states.items() if state in FAILED)


class Sweeps:
    """Sweeps over some units of a run, under one method of its ledger."""

    def __init__(
        self,
        ledger: Ledger,
        method: str,
        settings: LabelSettings,
        chosen: Sequence[UnitId],
        progress: Progress,
    ) -> None:
        self.ledger, self.method, self.settings = ledger, method, settings
        self._chosen, self._progress = chosen, progress
        self._spent, self._began = Usage(), time.monotonic()

    def pages(self) -> Iterator[Sequence[UnitId]]:
        """The chosen units, PAGE at a time."""
        return (self._chosen[start : start + PAGE] for start in range(0, len(self._chosen), PAGE))

    def pending(self, wanted: Wanted) -> Iterator[UnitId]:
        """The chosen units that need the stage."""
        for page in self.pages():
            found = self.ledger.standings(self.method, page)
            yield from (unit for unit in page if wanted(found.get(unit)))

    async def run(self, task: str, wanted: Wanted, work: Callable[[UnitId], Awaitable[Result]], n: int) -> None:
        """Does the work for each unit as wanted, n at a time, until all are done or the server is gone."""
        left = sum(1 for _ in self.pending(wanted))
        if not left:
            return
        states = Counter[State]()
        self._progress.start(task, len(self._chosen), "units", done=len(self._chosen) - left)
        began, before = time.monotonic(), self._spent
        async with aclosing(as_completed(self.pending(wanted), work, n)) as results:
            async for result in results:
                record(self.ledger, result)
                self._spent += result.work.usage
                states[result.label.state] += 1
                self._progress.advance()
                self._progress.show(_figures(states, self._spent, before, time.monotonic() - began))

    def summary(self, *wanted: Wanted) -> Summary:
        """What it came to; units that are still as wanted wait."""
        states: Counter[State] = Counter()
        for page in self.pages():
            states.update(standing.state for standing in self.ledger.standings(self.method, page).values())
        return Summary(
            self.method,
            dict(states),
            sum(1 for each in wanted for _ in self.pending(each)),
            self._spent,
            time.monotonic() - self._began,
            self._spent.cost(self.settings.prices),
        )


async def as_completed(
    units: Iterator[UnitId], work: Callable[[UnitId], Awaitable[Result]], n: int
) -> AsyncGenerator[Result, None]:
    """The result for each unit as it comes, n units in flight; the first error ends all."""
    running: set[asyncio.Future[Result]] = set()
    done: set[asyncio.Future[Result]] = set()
    lost = 0
    try:
        while True:
            room = n - len(running) if lost < GIVE_UP * n else 0
            running |= {asyncio.ensure_future(work(unit)) for unit in islice(units, room)}
            if not running:
                return
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for result in [task.result() for task in done]:
                if result.label.state is State.TRANSPORT:
                    lost += 1
                elif result.label.state not in UNASKED:
                    lost = 0
                yield result
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, *done, return_exceptions=True)


def record(ledger: Ledger, result: Result) -> None:
    """Writes a result, in one transaction."""
    label = result.label
    if label.explanation and label.state is State.EXPLAINED:
        ledger.record_explained(label.explanation, result.others, result.work)
    elif label.explanation and label.scores:
        ledger.record_scores(
            label.explanation, label.state, label.scores, result.outcomes, label.reason, result.work
        )
    else:
        ledger.record_failure(label.unit, label.method, label.state, label.reason, result.work)


def _figures(states: Mapping[State, int], spent: Usage, before: Usage, seconds: float) -> str:
    """Units by state, tokens a second, and the shares that the two caches answered."""
    parts = [f"{n} {state.value.replace('_', ' ')}" for state, n in sorted(states.items())]
    tokens, prompts = spent.tokens - before.tokens, spent.prompt_tokens - before.prompt_tokens
    asked = spent.requests + spent.stored - before.requests - before.stored
    if tokens and seconds:
        parts.append(f"{tokens / seconds:,.0f} tokens/s")
    if prompts and spent.cached_tokens > before.cached_tokens:
        parts.append(f"{(spent.cached_tokens - before.cached_tokens) / prompts:.0%} in the prefix cache")
    if asked and spent.stored > before.stored:
        parts.append(f"{(spent.stored - before.stored) / asked:.0%} answered before")
    return ", ".join(parts)
