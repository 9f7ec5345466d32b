"""What a request costs the client, beside delphi, and how many are in flight at once.

    python -m benchmarks.client [--delphi PYTHON --driver run_delphi.py] [--units 60]
        [--repeats 3] [--json]
    python -m benchmarks.client --floor

Both label the same units of the same SAE against a local server that answers at once: 41 requests a unit, that is
one explanation and two times 100 questions, five in a prompt. Ours reads the evidence, writes prompts, sends them,
keeps the answers in the cache on disk and reads them; delphi's side is its own pipeline, records included. Each
runs in a process of its own, with one thread for numerics, and is measured in CPU-seconds of that process, all its
threads included. The second server answers after 100 ms; how many requests it has at once is counted there.

`--delphi` names an interpreter that has eai-delphi 0.1.3, `--driver` a script that runs its stages `cache` and
`score`; without them those rows are left out.

`--floor` measures a request alone, without prompts and cache: CPU time of the SDK's own method, of its raw
response over both of its HTTP backends, of our client, and of aiohttp without the SDK.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import inputs
from benchmarks.table import Row, report
from neurogloss.tasks import wait

Result = Mapping[str, float]
SIZE, TOKENS = 4_096, 131_072
QUESTIONS, PER_PROMPT = 100, 5
DELAY_MS = 100
GOAL = 1.2
"""Times delphi's requests per CPU-second."""
MOST_MS = 2.0
"""CPU time per request through the whole client."""
FLOOR_REQUESTS, FLOOR_IN_FLIGHT = 1_500, 32
WARM = 3
"""Units labelled before the clock starts: what is imported and compiled once is no cost of a request."""
_EXAMPLE = re.compile(r"^Example \d+:", re.MULTILINE)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delphi", help="interpreter with eai-delphi installed")
    parser.add_argument("--driver", type=Path, help="script that runs delphi's stages")
    parser.add_argument("--units", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--inputs", type=Path, default=Path("build/bench"))
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--floor", action="store_true", help="a request alone")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.floor:
        with server(0) as url:
            return report("a request alone", floor_rows(run("floor", url)), options.json)
    if options.part:
        name, *arguments = options.part
        PARTS[name](*arguments)
        return 0
    folder = inputs.make(options.inputs, 1_024, (SIZE,)).resolve()
    peer: list[Result] = []
    with tempfile.TemporaryDirectory() as out:
        run("collect", folder, out)
        with_peer = bool(options.delphi and options.driver)
        if with_peer:
            cache_of_delphi([options.delphi, str(options.driver)], folder, out)
        ours = []
        with server(0) as url:
            for _ in range(options.repeats):
                ours.append(run("label", out, url, options.units))
                if with_peer:
                    peer.append(delphi([options.delphi, str(options.driver)], folder, out, url, options.units))
        with server(DELAY_MS) as url:
            slow = run("label", out, url, options.units)
    return report("the client", rows(ours, peer, slow), options.json)


def rows(ours: Sequence[Result], peer: Sequence[Result], slow: Result) -> list[Row]:
    """Medians over the repeats; delphi's ran in turn with ours."""
    requests, units = (median(each[name] / each["cpu_s"] for each in ours) for name in ("requests", "units"))
    flight = f"requests in flight, {DELAY_MS} ms an answer"
    cost = 1_000 / requests
    found = [Row("requests per client CPU-second", requests), Row("units per client CPU-second", units)]
    found.append(Row("CPU ms per request", cost, goal=f"≤ {MOST_MS}", met=cost <= MOST_MS))
    found.append(Row(flight, slow["peak"], goal="≥ 64", met=slow["peak"] >= 64))
    if peer:
        theirs = [median(each[f"{name}_per_client_cpu_s"] for each in peer) for name in ("requests", "latents")]
        found[0] = ratio(found[0], theirs[0])
        found[1] = replace(found[1], beside=theirs[1], ratio=found[1].figure / theirs[1])
        found[3] = replace(found[3], beside=median(each["peak_inflight"] for each in peer))
    return [*found, Row(f"requests a second, {DELAY_MS} ms an answer", slow["requests"] / slow["wall_s"])]


def ratio(row: Row, beside: float) -> Row:
    """The row beside delphi's figure."""
    times = row.figure / beside
    return replace(row, beside=beside, ratio=times, goal=f"≥ {GOAL:g}×", met=times >= GOAL)


# --- the server ---------------------------------------------------------------------------------------


@contextmanager
def server(delay_ms: int) -> Iterator[str]:
    """URL of a server in a process of its own."""
    process = subprocess.Popen(_part("serve", delay_ms), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def serve(delay_ms: str) -> None:
    """Answer chats at once, or after a delay, with what the schema or delphi's prompt asks for."""
    from aiohttp import web

    # The names under which delphi's driver reads them.
    counts = {"requests": 0, "in_flight": 0, "peak_inflight": 0, "bytes_in": 0}

    async def chat(request: web.Request) -> web.Response:
        counts["requests"] += 1
        counts["in_flight"] += 1
        counts["peak_inflight"] = max(counts["peak_inflight"], counts["in_flight"])
        try:
            body = json.loads(data := await request.read())
            counts["bytes_in"] += len(data)
            await asyncio.sleep(int(delay_ms) / 1_000)
            return web.json_response(_completion(body))
        finally:
            counts["in_flight"] -= 1

    async def stats(request: web.Request) -> web.Response:
        return web.json_response(counts)

    async def reset(request: web.Request) -> web.Response:
        counts.update(requests=0, peak_inflight=0, bytes_in=0)
        return web.json_response(counts)

    async def models(request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "instant", "object": "model"}]})

    async def run() -> None:
        app = web.Application(client_max_size=2**26)
        app.add_routes([web.post("/v1/chat/completions", chat), web.get("/v1/models", models)])
        app.add_routes([web.get("/stats", stats), web.post("/reset", reset)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1_024)
        await site.start()
        print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
        await asyncio.Event().wait()

    asyncio.run(run())


def _completion(body: Mapping[str, Any]) -> dict[str, Any]:
    asked = body["messages"][-1]["content"]
    form = body.get("response_format", {}).get("json_schema", {}).get("schema", {}).get("properties", {})
    if "answers" in form:
        text = json.dumps({"answers": [i % 2 == 0 for i in range(form["answers"]["minItems"])]})
    elif form:
        text = json.dumps({name: schema.get("enum", ["some words"])[0] for name, schema in form.items()})
    elif examples := _EXAMPLE.findall(asked):
        text = json.dumps([i % 2 for i in range(len(examples))])
    else:
        text = "[EXPLANATION]: some words"
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    choices = [{"index": 0, "finish_reason": "stop", "message": message}]
    return {"id": "x", "object": "chat.completion", "model": body["model"], "choices": choices, "usage": usage}


# --- the programs that are compared ----------------------------------------------------------------------


def run(part: str, *arguments: object) -> Result:
    """One part, in a process of its own."""
    return _json(_part(part, *arguments))


def cache_of_delphi(command: Sequence[str], folder: Path, out: str) -> None:
    """delphi's own pass over the same tokens, which its scoring reads."""
    _json([*command, "cache", *_width()], _places(folder, out))


def delphi(command: Sequence[str], folder: Path, out: str, url: str, units: int) -> Result:
    """delphi's own pipeline on as many latents."""
    port = url.rpartition(":")[2]
    return _json([*command, "score", *_width(), "--latents", str(units), "--port", port], _places(folder, out))


def _width() -> list[str]:
    return ["--width", str(SIZE), "--tokens", str(TOKENS)]


def _places(folder: Path, out: str) -> Mapping[str, str]:
    return {"BENCH_DATA": str(folder), "BENCH_OUT": f"{out}/delphi"}


def _part(part: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", "benchmarks.client", "--part", part, *map(str, arguments)]


def _json(command: list[str], environment: Mapping[str, str] | None = None) -> Result:
    quiet = {"OMP_NUM_THREADS": "1", "THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    environment = {**os.environ, **quiet, **(environment or {})}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    result: Result = json.loads(done.stdout.splitlines()[-1])
    return result


def collect(folder: str, out: str) -> None:
    """A run folder that holds enough of each unit."""
    import torch

    from neurogloss.folder import RunFolder
    from neurogloss.settings import CollectSettings
    from neurogloss.sources import collector

    torch.set_num_threads(1)
    settings = CollectSettings(
        subject=f"{folder}/model",
        dictionaries=(f"{folder}/sae_{SIZE}/layers.{inputs.LAYER}",),
        hookpoints=(f"model.layers.{inputs.LAYER}",),
        corpus=f"{folder}/tokens.safetensors",
        tokens=TOKENS,
        top=40,
        uniform=QUESTIONS // 2,
    )
    collector.collect(RunFolder(Path(out) / "run"), settings)
    print("{}")


def label(out: str, url: str, units: str) -> None:
    """Label units of the run folder, and print what it took."""
    print(json.dumps(wait(partial(_label, Path(out), url, int(units)))))


async def _label(out: Path, url: str, units: int) -> Result:
    from neurogloss.agent.explainers.llm import LLMExplainer
    from neurogloss.engines.answers import StoredModel
    from neurogloss.engines.server import ServerModel
    from neurogloss.engines.usage import RecordedModel
    from neurogloss.folder import RunFolder
    from neurogloss.llm import Features
    from neurogloss.protocols import Material
    from neurogloss.scorers.judges.llm import LLMJudge
    from neurogloss.sources.cache import Cache
    from neurogloss.sources.evidence import evidence

    cache = Cache(RunFolder(out / "run").cache)
    slots = asyncio.Semaphore(16)
    server = ServerModel(url, features=Features())
    async with RecordedModel(StoredModel(server, out / f"answers-{time.time_ns()}.db")) as chat:
        explainer, judge = LLMExplainer(chat, n=1), LLMJudge(chat, PER_PROMPT)

        async def one(unit: Any) -> None:
            async with slots:
                seen = evidence(cache, unit, negatives=QUESTIONS // 2)
                found = await explainer.candidates(Material(unit, seen.explain, None, 0))
                asked = (
                    judge.ask(task, found[0].text, _questions(seen.score)) for task in ("detection", "fuzzing")
                )
                for answers in await asyncio.gather(*asked):
                    assert len(answers) == QUESTIONS and all(answer.failure is None for answer in answers)

        half = QUESTIONS // 2
        enough = (unit for unit in cache.alive(half) if _enough(evidence(cache, unit, negatives=half).score))
        alive = list(islice(enough, WARM + units))
        if len(alive) < WARM + units:
            raise SystemExit(f"The inputs have {len(alive)} units with enough evidence, not {WARM + units}.")
        for unit in alive[:WARM]:
            await one(unit)
        before, wall, cpu = chat.usage.requests, time.perf_counter(), time.process_time()
        await asyncio.gather(*map(one, alive[WARM:]))
        done = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
        with urllib.request.urlopen(f"{url}/stats") as stats:
            peak = json.load(stats)["peak_inflight"]
        return {**done, "units": units, "requests": chat.usage.requests - before, "peak": peak}


def _enough(half: Any) -> bool:
    return len(half.uniform) >= QUESTIONS // 2 and len(half.negatives) >= QUESTIONS // 2


def _questions(half: Any) -> list[Any]:
    """As many active contexts as silent ones, in turn, with the active tokens marked."""
    from neurogloss.records import Passage, Question

    found = []
    for example, context in zip(half.uniform, half.negatives, strict=False):
        marks = example.active_positions()
        found.append(Question((Passage(example.context.tokens, marks),), True))
        found.append(Question((Passage(context.tokens, marks and (0,)),), False))
    return found[:QUESTIONS]


def floor_rows(costs: Result) -> list[Row]:
    """CPU milliseconds per request, by the way of sending it."""
    return [Row(f"{name}, CPU ms per request", cost) for name, cost in costs.items()]


def floor(url: str) -> None:
    """Send one request many times, in each way, and print the CPU milliseconds of one."""
    print(json.dumps(wait(partial(_floor, url))))


async def _floor(url: str) -> Result:
    import aiohttp
    import httpx2
    import openai

    from neurogloss.engines.client import Client

    form = {"type": "object", "properties": {"answers": {"type": "array", "minItems": PER_PROMPT}}}
    asked = {
        "model": "instant",
        "messages": [{"role": "system", "content": "x" * 1_500}, {"role": "user", "content": "y é" * 300}],
        "temperature": 0.0,
        "max_tokens": 64,
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": form}},
    }
    path, body, found = "/chat/completions", json.dumps(asked).encode(), dict[str, float]()

    async def cost(name: str, send: Callable[[], Any]) -> None:
        rest = iter(range(FLOOR_REQUESTS))

        async def worker() -> None:
            for _ in rest:
                await send()

        await send()
        cpu = time.process_time()
        await asyncio.gather(*(worker() for _ in range(FLOOR_IN_FLIGHT)))
        found[name] = 1_000 * (time.process_time() - cpu) / FLOOR_REQUESTS

    for kind, http in (("httpx2", openai.DefaultAsyncHttpxClient()), ("aiohttp", openai.DefaultAioHttpClient())):
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", http_client=http) as sdk:
            typed = partial(sdk.chat.completions.create, **asked)  # type: ignore[arg-type]
            await cost(f"openai over {kind}, chat.completions.create", typed)
            await cost(
                f"openai over {kind}, raw response",
                partial(sdk.post, path, content=body, cast_to=httpx2.Response),
            )
    client = Client(url)
    await cost("the client of neurogloss", partial(client.post, path, asked))
    await client.close()
    async with aiohttp.ClientSession() as session:

        async def bare() -> None:
            async with session.post(f"{url}/v1{path}", data=body) as answer:
                await answer.read()

        await cost("aiohttp alone", bare)
    return found


PARTS: dict[str, Callable[..., None]] = {"serve": serve, "collect": collect, "label": label, "floor": floor}

if __name__ == "__main__":
    sys.exit(main())
