"""Sweeps over units: what one method has left to do of them, done some at a time and written to the ledger.

Standings are read a page at a time, and units are done as workers free up: memory does not grow with their number.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from neurogloss.accounts import Standing, Usage, Work
from neurogloss.engines.usage import Call
from neurogloss.ids import UnitId
from neurogloss.protocols import Progress
from neurogloss.records import State
from neurogloss.settings import LabelSettings
from neurogloss.store.ledger import Ledger
from neurogloss.tasks import together

FAILED = frozenset({State.TRANSPORT, State.REFUSAL, State.UNPARSEABLE, State.EMPTY})
"""States that say that the run, not the unit, fell short."""
GIVE_UP = 3
"""Transport failures in a row, times the units in flight, after which the server counts as gone."""
PAGE = 500
"""Units whose standing is read at once."""

Wanted = Callable[[Standing | None], bool]
"""Whether a unit of that standing is to be done; None where it has none."""


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
    """Some units of a run, under one method of its ledger."""

    def __init__(
        self,
        ledger: Ledger,
        method: str,
        settings: LabelSettings,
        chosen: Sequence[UnitId],
        progress: Progress,
    ) -> None:
        self.ledger, self.method, self.settings = ledger, method, settings
        self.chosen, self.progress = chosen, progress
        self.in_flight = settings.concurrency if settings.llm else 1
        """Models in this process answer one at a time; only a server has use for several units."""
        self._lost = 0
        """Transport failures in a row."""
        self._spent, self._began = Usage(), time.monotonic()

    def pages(self) -> Iterator[Sequence[UnitId]]:
        """The chosen units, some at a time."""
        for start in range(0, len(self.chosen), PAGE):
            yield self.chosen[start : start + PAGE]

    def pending(self, wanted: Wanted) -> Iterator[UnitId]:
        """The chosen units whose standing is as wanted."""
        for page in self.pages():
            found = self.ledger.standings(self.method, page)
            yield from (unit for unit in page if wanted(found.get(unit)))

    async def run(self, task: str, wanted: Wanted, work: Callable[[UnitId], Awaitable[State]]) -> None:
        """Do the pending units, until they are done or the server is gone."""
        n = sum(1 for _ in self.pending(wanted))
        if not n:
            return
        self._lost, states = 0, Counter[State]()
        self.progress.start(task, len(self.chosen), "units", done=len(self.chosen) - n)
        began, before = time.monotonic(), self._spent
        pending = self.pending(wanted)

        async def worker() -> None:
            for unit in pending:
                state = await work(unit)
                states[state] += 1
                if state is State.TRANSPORT:
                    self._lost += 1
                elif state not in (State.DEAD, State.TOO_LITTLE_EVIDENCE):  # of those the model was not asked
                    self._lost = 0
                self.progress.advance()
                self.progress.show(_figures(states, self._spent, before, time.monotonic() - began))
                if self._lost >= GIVE_UP * self.in_flight:
                    return

        await together(worker() for _ in range(min(self.in_flight, n)))

    def account(self, stage: str, calls: Sequence[Call], trace: bytes | None = None) -> Work:
        """What a unit's calls cost, added to what the run did."""
        usage = sum((call.usage for call in calls), Usage())
        self._spent += usage
        return Work(stage, usage, trace)

    def fail(self, unit: UnitId, state: State, reason: str, work: Work) -> State:
        """Record a failure."""
        self.ledger.record_failure(unit, self.method, state, reason, work)
        return state

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
