"""Sweeps over units: what one method has left to do of them, given to workers, and what they find written down.

Standings are read a page at a time, and units are given out as workers free up: memory does not grow with their
number. What workers found is recorded here alone, a unit at a time.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from neurogloss.accounts import Standing, Usage
from neurogloss.ids import UnitId
from neurogloss.protocols import Progress
from neurogloss.records import Label, State
from neurogloss.runs.results import Item, Workers
from neurogloss.settings import LabelSettings
from neurogloss.store.ledger import Ledger

FAILED = frozenset({State.TRANSPORT, State.REFUSAL, State.UNPARSEABLE, State.EMPTY})
"""States that say that the run, not the unit, fell short."""
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

    def explained(self, unit: UnitId) -> Label:
        """The label of a unit that has an explanation."""
        label = self.ledger.label(unit, self.method)
        assert label is not None and label.explanation is not None
        return label

    async def run(
        self,
        task: str,
        wanted: Wanted,
        item_of: Callable[[UnitId], Item],
        workers: Callable[[], Workers[Item]],
    ) -> None:
        """Have the pending units done, until they are or the server is gone.

        Args:
            item_of: what workers are given of a unit.
            workers: called only where there are units to do.
        """
        n = sum(1 for _ in self.pending(wanted))
        if not n:
            return
        states = Counter[State]()
        self.progress.start(task, len(self.chosen), "units", done=len(self.chosen) - n)
        began, before = time.monotonic(), self._spent
        async with aclosing(workers().results(map(item_of, self.pending(wanted)), n)) as results:
            async for result in results:
                result.record(self.ledger)
                self._spent += result.work.usage
                states[result.state] += 1
                self.progress.advance()
                self.progress.show(_figures(states, self._spent, before, time.monotonic() - began))

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
