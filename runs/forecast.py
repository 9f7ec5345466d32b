"""What a large run takes, on paper: a small run like it, times what is more, over the rates of a cluster.

1. The small run says what a unit takes: bytes of its sketches, requests and tokens of a model, bytes of ledger and
   index. It says what a token of the corpus takes on disk, too.
2. A worker holds the sketches of all units that it reads for. Where they are more than its memory, the corpus is
   read several times, for some of the units each.
3. The hours of a stage are its work over its rate. Collecting comes first. While units are labelled, servers,
   labelling processes and the one writer of the ledger work at the same time: the slowest sets the pace.

The writer's rate is measured, on the disk of the small run. Other rates are given: `collect` says how many tokens
it reads a second, `label` how many a server answers.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from neurogloss.accounts import Prices, Usage
from neurogloss.runs.run import Run
from neurogloss.errors import UserError
from neurogloss.records import State
from neurogloss.store.ledger import Ledger

TRIED = 50
"""Transactions by which the writer is timed."""
WRITES = 2
"""Transactions a unit: its explanation, its scores."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What there is to work with."""

    workers: int = 1
    """Processes that read, and later label; where there are GPUs, one each."""
    servers: int = 1
    """Of the LLM."""
    read_rate: float = 1_000.0
    """Tokens of the corpus a second a worker."""
    llm_rate: float = 1_000.0
    """Tokens a second a server, of prompts and answers together."""
    request_rate: float = 1_800.0
    """Requests a second that a labelling process keeps up with on one core (`python -m benchmarks.client`)."""
    memory: float = 16e9
    """Bytes of a worker for sketches."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the work."""

    name: str
    amount: float
    unit: str
    rate: float
    """Of that unit a second, all workers together."""

    @property
    def hours(self) -> float:
        return self.amount / self.rate / 3600


@dataclass(frozen=True, slots=True)
class Forecast:
    """An estimate."""

    units: int
    tokens: int
    passes: int
    """Over the corpus."""
    collecting: Stage
    labelling: tuple[Stage, ...]
    """At the same time; empty where the small run has no label that a server was asked for."""
    hours: float
    """Of all."""
    bottleneck: str
    """Name of the stage that takes longest."""
    usage: Usage
    """Of the LLM."""
    cost: float
    """In the currency of the prices."""
    cache_bytes: int
    ledger_bytes: int
    index_bytes: int


def forecast(run: str | Path, units: int, tokens: int, cluster: Cluster, prices: Prices | None = None) -> Forecast:
    """What `units` units over `tokens` tokens of a corpus take, collected and labelled as those of `run`.

    Raises:
        UserError: no collected run, or numbers below 1.
    """
    opened = Run(run)
    numbers = (units, tokens, cluster.workers, cluster.servers, cluster.read_rate, cluster.llm_rate)
    if min(*numbers, cluster.request_rate, cluster.memory) <= 0:
        raise UserError(
            "Expected units, tokens, workers, servers, rates and memory above 0, found one that is not."
        )
    cache = opened.cache
    sketch = _size(cache.path / "sketches") / sum(site.sides for site in cache.sites)
    text = _size(cache.path / "contexts") / cache.manifest["counts"][cache.measure]
    passes = math.ceil(sketch * units / cluster.memory)
    collecting = Stage("reading the corpus", passes * tokens, cache.measure, cluster.workers * cluster.read_rate)
    labelled, kept, spent = _labelled(opened)
    times, stored = (units / n if n else 0.0 for n in (labelled, kept))
    usage = Usage(
        requests=round(spent.requests * times),
        prompt_tokens=round(spent.prompt_tokens * times),
        cached_tokens=round(spent.cached_tokens * times),
        completion_tokens=round(spent.completion_tokens * times),
    )
    labelling: tuple[Stage, ...] = (
        Stage("answering", usage.tokens, "tokens", cluster.servers * cluster.llm_rate),
        Stage("asking", usage.requests, "requests", cluster.workers * cluster.request_rate),
        Stage("recording", WRITES * units, "transactions", _write_rate(opened)),
    )
    labelling = labelling if usage.requests else ()
    slowest = max((stage.hours for stage in labelling), default=0.0)
    return Forecast(
        units,
        tokens,
        passes,
        collecting,
        labelling,
        collecting.hours + slowest,
        max((collecting, *labelling), key=lambda stage: stage.hours).name,
        usage,
        usage.cost(prices or Prices()),
        round(sketch * units + text * tokens),
        round(_size(opened.folder.ledger) * stored),
        round(_size(opened.folder.index) * stored),
    )


def _labelled(run: Run) -> tuple[int, int, Usage]:
    """Labels of the newest method and of all, and what models were asked for the first."""
    if not run.folder.ledger.is_file():
        return 0, 0, Usage()
    with run.ledger() as ledger:
        method = ledger.newest_method() or ""
        mine, every = (sum(ledger.counts(each).values()) for each in (method, None))
        return mine, every, sum(ledger.usage(method).values(), Usage())


def _write_rate(run: Run) -> float:
    """Transactions a second of a ledger on the run's disk."""
    unit = next(run.cache.units())
    with TemporaryDirectory(dir=run.folder.path) as folder, Ledger(Path(folder) / "ledger.sqlite") as ledger:
        ledger.add_method("m", {})
        ledger.add_units([(unit, run.cache.statistics(unit))])
        began = time.monotonic()
        for _ in range(TRIED):
            ledger.record_failure(unit, "m", State.EMPTY, "timed")
        return TRIED / (time.monotonic() - began)


def _size(path: Path) -> int:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())
