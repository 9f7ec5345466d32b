"""The service over a run of many labels: how long answers take, how many a second, and when the page is there.

    python -m benchmarks.service [--labels 100000] [--requests 60] [--run RUN] [--json]

The run is synthetic: texts of six of 18 words, so that each word of a query is in a quarter of all labels, vectors
as in `benchmarks.store`, two scores a label. `neurogloss serve` answers in a process of its own, as for people.

1. Latency: one client asks one thing after another, on one connection, of the service as it is once it was asked
   the like before.
2. Answers a second: CLIENTS connections do the same at once.
3. The page: Chromium, where it and Playwright are there, opens the explorer with nothing in its cache; taken is
   the time from the start of the navigation until labels are in sight.

Times are of the wall: other work on the machine lengthens them. Beside a p50 stands the CPU time that the service
took for such an answer, on average; on a machine that does nothing else the two are about the same.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, chain, cycle, islice
from pathlib import Path
from shutil import which

import aiohttp
import numpy as np

from benchmarks.store import WORDS, fill, unit
from benchmarks.table import Row, report
from neurogloss.folder import RunFolder

CLIENTS, VISITS = 8, 5
SEARCH, PAGE = 200.0, 1.0
"""Goals: p95 of a search in ms, seconds until the page shows labels."""


# --- what is asked ------------------------------------------------------------------------------------

Asked = tuple[str, Mapping[str, str]]
"""Path below /api, and query."""


def questions(run: str, n: int, labels: int) -> dict[str, list[Asked]]:
    """By what they are for."""
    rng = np.random.default_rng(5)
    said = [" ".join(rng.choice(WORDS, int(rng.integers(1, 5)))) for _ in range(n)]
    names = [str(unit(int(i))) for i in rng.integers(0, labels, n)]
    # As the page asks: after each letter, with what stands there by then.
    typed = chain.from_iterable(accumulate(f"{query} ") for query in cycle(said))
    order = "-detection.excess_low"
    return {
        "search": [("search", {"q": query}) for query in said],
        "search with a filter": [
            ("search", {"q": query, "where": "layer == 3 and detection > 0.5"}) for query in said
        ],
        "search by meaning": [("search", {"q": query, "by": "dense"}) for query in said],
        "search, letter by letter": [("search", {"q": query, "k": "30"}) for query in islice(typed, n)],
        "a unit": [(f"runs/{run}/unit", {"unit": name}) for name in names],
        "its neighbours": [(f"runs/{run}/neighbours", {"unit": name}) for name in names],
        "100 units of a list, anywhere": [
            (f"runs/{run}/units", {"sort": order, "skip": str(skip)})
            for skip in rng.integers(0, labels - min(labels, 100) + 1, n).tolist()
        ],
        "numbers": [(f"runs/{run}/numbers", {})] * n,
    }


async def seconds(session: aiohttp.ClientSession, asked: Asked) -> float:
    path, query = asked
    begun = time.perf_counter()
    async with session.get(f"/api/{path}", params=query) as answer:
        await answer.read()
    return time.perf_counter() - begun


async def one_by_one(session: aiohttp.ClientSession, asked: Sequence[Asked]) -> list[float]:
    return [await seconds(session, each) for each in asked]


async def rate(session: aiohttp.ClientSession, asked: Sequence[Asked]) -> float:
    """Answers a second where CLIENTS ask at once."""
    begun, rest = time.perf_counter(), iter(asked)

    async def client() -> None:
        for each in rest:
            await seconds(session, each)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return len(asked) / (time.perf_counter() - begun)


async def measure(url: str, pid: int, run: str, n: int, labels: int) -> list[Row]:
    found = []
    async with aiohttp.ClientSession(url, raise_for_status=True) as session:
        for what, asked in questions(run, 2 * n, labels).items():
            first = await seconds(session, asked[0])  # columns and models are read by then
            before = cpu(pid)
            took = await one_by_one(session, asked[1:n])
            spent = 1e3 * (cpu(pid) - before) / len(took)
            p50, p95 = 1e3 * np.quantile(took, (0.5, 0.95))
            if what == "numbers":
                found.append(Row("numbers: the first time, ms", 1e3 * first))
            found.append(Row(f"{what}: p50, ms", float(p50), spent))
            goal = {"goal": f"<= {SEARCH:.0f}", "met": bool(p95 <= SEARCH)} if what.startswith("search") else {}
            found.append(Row(f"{what}: p95, ms", float(p95), **goal))
            found.append(Row(f"{what}: answers a second, {CLIENTS} clients", await rate(session, asked[n:])))
    return found


def cpu(pid: int) -> float:
    """Seconds of a process so far; NaN where the system has no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return np.nan
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def visits(url: str) -> Iterator[Row]:
    """The page, from the start of the navigation until labels are in sight; nothing where there is no browser."""
    chromium = which("chromium")
    if chromium is None or importlib.util.find_spec("playwright") is None:
        return
    from playwright.sync_api import sync_playwright

    took = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(VISITS):
            with contextlib.closing(browser.new_context()) as context:
                page = context.new_page()
                page.goto(url, wait_until="commit")
                page.wait_for_selector(".row:not(.empty)", timeout=120_000)
                took.append(page.evaluate("performance.now()") / 1e3)
        browser.close()
    middle = float(np.median(took))
    yield Row("the explorer: labels in sight after, s", middle, goal=f"<= {PAGE:.0f}", met=middle <= PAGE)


@contextlib.contextmanager
def served(run: Path) -> Iterator[tuple[str, int]]:
    """The address of `neurogloss serve`, and the process that it is."""
    command = [sys.executable, "-m", "neurogloss", "serve", str(run), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"], process.pid
        finally:
            process.terminate()


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=60, help="of each kind, one by one and again at once")
    parser.add_argument("--run", type=Path, help="a run that an earlier call made of so many labels, kept there")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(given)
    with tempfile.TemporaryDirectory() as folder:
        run = options.run or Path(folder) / "run"
        if not run.exists():
            fill(run, options.labels)
        with served(run) as (url, pid):
            found = asyncio.run(measure(url, pid, RunFolder(run).name, options.requests, options.labels))
            found += visits(url)
    return report(f"the service over {options.labels:,} labels", found, options.json)


if __name__ == "__main__":
    raise SystemExit(main())
