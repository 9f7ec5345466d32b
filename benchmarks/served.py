"""A real vLLM under our client: what its prefix cache finds, and what the client costs beside a bare loop.

    python -m benchmarks.served --url URL [--model NAME] [--json]
    python -m benchmarks.served --python PYTHON_WITH_VLLM [--json]

1. The LLM judge asks detection and fuzzing questions about contexts of the shipped corpus, some explanations at a
   time. The hit rate is the share of prompt tokens that the server found in its prefix cache, by its /metrics.
2. The same requests are sent again, by our client and by a loop that posts the same bodies through a bare HTTP
   client with as many in flight. The two take turns; by now the server has seen every prompt, so that what it
   does is as short and as equal as it gets. The median over the turns is shown.

With `--python` it serves the packaged model itself, which takes about five minutes on a CPU.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import re
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.table import Row, report
from neurogloss.engines import serving
from neurogloss.engines.server import ServerModel
from neurogloss.records import Passage, Question
from neurogloss.scorers.judges.llm import LLMJudge
from neurogloss.settings import DEMO_SUBJECT
from neurogloss.sources.corpus import cut, read_documents
from neurogloss.sources.loading import packaged_folder

TASKS = ("detection", "fuzzing")
EXPLANATIONS = (
    "words for weather, such as rain, wind or snow",
    "names of cities and countries",
    "verbs in the past tense",
    "the word 'the' before a noun that was named before",
    "numbers, dates and times of day",
    "words about people and how they feel",
)
QUESTIONS = 20
"""An explanation and task."""
IN_FLIGHT = 16
CONTEXT_CHARS = 128
"""The default length of contexts."""


class Recorder(ServerModel):
    """Keeps the body of every completion that it asks for; finds nothing in the server's cache from before."""

    def __init__(self, url: str, model: str | None) -> None:
        super().__init__(url, model, concurrency=IN_FLIGHT)
        self.bodies: list[dict[str, Any]] = []
        self.salt = str(time.time_ns())

    async def _complete(self, request: dict[str, Any]) -> Any:
        salted = {**request, "cache_salt": self.salt}
        self.bodies.append(salted)
        return await super()._complete(salted)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--url", help="of a running vLLM")
    where.add_argument("--python", help="of an environment with vLLM, to serve the packaged model")
    parser.add_argument("--model", help="name on the server, if it has several")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with contextlib.nullcontext(options.url) if options.url else served(options.python) as url:
        rows = asyncio.run(measure(url, options.model, options.repeats))
    return report(f"{len(EXPLANATIONS)} explanations, {QUESTIONS} questions each", rows, options.json)


@contextlib.contextmanager
def served(python: str) -> Iterator[str]:
    """The packaged model on a free port."""
    settings = serving.Serving(str(packaged_folder()), DEMO_SUBJECT, port=serving.free_port())
    with tempfile.TemporaryDirectory() as folder:
        with serving.serving(settings, serving.find_build(python), Path(folder) / "log", budget=600):
            yield settings.url


async def measure(url: str, model: str | None, repeats: int) -> list[Row]:
    rows = []
    async with Recorder(url, model) as chat:
        chat.bodies.clear()  # those of connecting
        for task in TASKS:
            before = cached_tokens(chat.url)
            await ask(chat, task)
            found, prompted = (now - then for now, then in zip(cached_tokens(chat.url), before, strict=True))
            rate = found / prompted
            rows.append(Row(f"prefix cache, {task}", rate, goal="at least 0.6", met=rate >= 0.6))
        bodies, ours, bare = tuple(chat.bodies), [], []
        for _ in range(repeats):
            bare.append(await seconds(post(chat.url, bodies)))
            ours.append(await seconds(asyncio.gather(*(ask(chat, task) for task in TASKS))))
    own, floor = (len(bodies) / statistics.median(times) for times in (ours, bare))
    what = "requests a second, beside a bare loop"
    return [*rows, Row(what, own, floor, own / floor, goal="ratio of 0.9 or more", met=own >= 0.9 * floor)]


async def ask(chat: ServerModel, task: str) -> None:
    """Every question about every explanation; an answer that failed is the model's, and counts as asked."""
    judge = LLMJudge(chat)
    await asyncio.gather(*(judge.ask(task, text, questions(i)) for i, text in enumerate(EXPLANATIONS)))


def questions(which: int) -> list[Question]:
    """Contexts of the shipped corpus, other ones for each explanation; a word of each is marked."""
    start = which * QUESTIONS
    return [
        Question((Passage(words, (len(words) // 2,)),), True)
        for words in itertools.islice(contexts(), start, start + QUESTIONS)
    ]


def contexts() -> Iterator[tuple[str, ...]]:
    """One of each document, as its words."""
    for document in read_documents("demo"):
        start, end = cut(document.text, CONTEXT_CHARS)[0]
        yield tuple(re.findall(r"\s*\S+", document.text[start:end]))


async def post(url: str, bodies: Sequence[Mapping[str, Any]]) -> None:
    """The bare loop."""
    rest = iter(bodies)

    async def worker(client: aiohttp.ClientSession) -> None:
        for each in rest:
            async with client.post(f"{url}/chat/completions", json=each) as answer:
                await answer.read()

    async with aiohttp.ClientSession(raise_for_status=True) as client:
        await asyncio.gather(*(worker(client) for _ in range(IN_FLIGHT)))


async def seconds(work: Awaitable[Any]) -> float:
    begun = time.perf_counter()
    await work
    return time.perf_counter() - begun


def cached_tokens(url: str) -> tuple[float, float]:
    """Prompt tokens found in the prefix cache, and looked for, since the server began."""
    with urllib.request.urlopen(f"{url.removesuffix('/v1')}/metrics") as page:
        lines = page.read().decode().splitlines()
    found, looked = (
        sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"vllm:prefix_cache_{name}_total"))
        for name in ("hits", "queries")
    )
    return found, looked


if __name__ == "__main__":
    sys.exit(main())
