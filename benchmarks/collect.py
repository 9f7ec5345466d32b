"""What collecting costs beside the forward pass itself, and beside delphi.

    python -m benchmarks.collect [--delphi PYTHON] [--sizes 4096,16384] [--tokens 131072] [--repeats 3] [--json]
    python -m benchmarks.collect --real [--delphi PYTHON] [--tokens 16384] [--json]
    python -m benchmarks.collect --growth [--json]

Every figure is from a process of its own with one thread. The programs that are compared run in turn, repeatedly;
of times the least is shown, as a shared machine only ever adds to them, and of everything else the median. What is
done once (calibration, the logit lens of all units) is its own row. `--delphi` names an interpreter that has
eai-delphi 0.1.3; without it those rows are left out. The floor is the forward pass up to the hookpoint, the
encoder's product, ReLU and torch's top-k.

`--real` compares on SmolLM2-135M's middle layer and the SAE that ships with the package.
`--growth` shows instead how time and memory grow: with the tokens (100k to 2M, 1,024 latents after the first
layer) and with the latents (to 131,072). The peak is the kernel's; what a pass keeps is its anonymous memory after
a batch, the median, with what the C library has not given back.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import inputs
from benchmarks.memory import forget, memory
from benchmarks.table import Row, report
from neurogloss.protocols import Quiet

Result = Mapping[str, float]
GOALS = {4_096: (1.8, 1.0), 4_608: (2.2, 1.0), 16_384: (2.2, 0.25)}
"""By latents: times delphi's speed at least, and share of its memory at most."""
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "THP_MEM_ALLOC_ENABLE": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**22),
}
"""Of each process that is measured, delphi's too: one thread, and the memory allocation of our commands."""
UNITS, LOTS = 1_000, 3
"""Units whose evidence is read, so many times others: 90 examples and 50 negatives each, over both halves, as
delphi's records have."""
SHORT = 5
"""Passes over 100k tokens, whose median counts: where blocks come to lie moves the peak by a tenth."""
WARM = 200
"""Others whose evidence is read before, so that contexts that units share are in memory."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delphi", help="interpreter with eai-delphi installed")
    parser.add_argument("--sizes", default="4096,16384", help="latents of the SAEs")
    parser.add_argument("--tokens", type=int, default=131_072)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--inputs", type=Path, default=Path("build/bench"))
    parser.add_argument("--real", action="store_true", help="on SmolLM2's middle layer")
    parser.add_argument("--growth", action="store_true", help="how time and memory grow, instead")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.part:
        name, *arguments = options.part
        print(json.dumps(PARTS[name](*arguments)))
        return 0
    sizes = [int(size) for size in options.sizes.split(",")]
    if options.growth:
        return report("how collecting grows, one thread", growth(options.inputs), options.json)
    if options.real:
        folder = inputs.make_real(options.inputs / "real", options.tokens // inputs.ROW).absolute()
        rows = compare(folder, 14, 4_608, options.tokens, options.repeats, options.delphi)
        return report("collecting from SmolLM2's layer 14, one thread", rows, options.json)
    folder = inputs.make(options.inputs, 1_024, sizes).resolve()
    rows = []
    for size in sizes:
        rows += compare(folder, inputs.LAYER, size, options.tokens, options.repeats, options.delphi)
    return report("collecting, one thread", rows, options.json)


def compare(folder: Path, layer: int, size: int, tokens: int, repeats: int, delphi: str | None) -> list[Row]:
    """The rows for one size of dictionary."""
    found: dict[str, list[Result]] = {"floor": [], "ours": [], "evidence": [], "cache": [], "load": []}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as out:
            found["floor"].append(run("floor", folder, size, tokens, layer))
            found["ours"].append(run("ours", folder, size, tokens, out, layer))
            found["evidence"].append(run("evidence", out))
            if delphi:
                latents, hook = f"{out}/delphi/latents", f"layers.{layer}"
                found["cache"].append(run_delphi(delphi, "cache", folder, latents, hook, size, tokens))
                found["load"].append(run_delphi(delphi, "load", folder, latents, hook, size, tokens, UNITS))
    shown = {name: summary(results) for name, results in found.items() if results}
    ours, floor = shown["ours"], shown["floor"]
    units = 1 / shown["evidence"]["unit_s"]
    rows = [
        ratio("tokens a CPU-s, beside the floor", tokens / ours["cpu_s"], tokens / floor["cpu_s"], 0.85),
        ratio("units of evidence a CPU-s, beside the goal", units, 2_000, 1),
        Row("done once, CPU-s", ours["once_s"]),
        Row("cache without sketches, bytes a token", ours["token_bytes"] / tokens),
        Row("sketches, MB", ours["sketch_bytes"] / 1e6),
    ]
    if delphi:
        rows += beside_delphi(ours, shown["cache"], tokens, GOALS.get(size, (1.0, 1.0)))
        records = shown["load"]["records"] / shown["load"]["cpu_s"]
        rows.append(Row("units of evidence a CPU-s, beside delphi", units, records))
    return [replace(row, what=f"{size:,} latents: {row.what}") for row in rows]


def summary(results: Sequence[Result]) -> Result:
    """Of the repeats: the least time, the median of everything else."""
    return {
        key: (min if key.endswith("_s") else statistics.median)([each[key] for each in results])
        for key in results[0]
    }


def beside_delphi(ours: Result, cache: Result, tokens: int, goals: tuple[float, float]) -> list[Row]:
    """The same pass by delphi."""
    fastest, leanest = goals
    disk = ours["sketch_bytes"] + 1e7 * ours["token_bytes"] / tokens
    return [
        ratio("tokens a CPU-s, beside delphi", tokens / ours["cpu_s"], tokens / cache["cpu_s"], fastest),
        most("peak memory, MB, beside delphi", ours["peak_bytes"] / 1e6, cache["peak_bytes"] / 1e6, leanest),
        most("disk at 10M tokens, MB, beside delphi", disk / 1e6, cache["disk_bytes"] / tokens * 10, 0.2),
    ]


def growth(where: Path) -> list[Row]:
    """How time and memory grow with tokens and with latents."""
    folder, sizes = inputs.make(where, 8_192, (1_024,), layer=0).resolve(), (16_384, 65_536, 131_072)
    rows = []
    with tempfile.TemporaryDirectory() as out:
        short = summary([run("ours", folder, 1_024, 100_000, f"{out}/{i}", 0) for i in range(SHORT)])
        long = run("ours", folder, 1_024, 2_000_000, f"{out}/long", 0)
    what = "1,024 latents: peak memory, MB, at 2M tokens beside 100k"
    rows.append(most(what, long["peak_bytes"] / 1e6, short["peak_bytes"] / 1e6, 1.05))
    what = "1,024 latents: memory kept between batches, MB, at 2M tokens beside 100k"
    rows.append(Row(what, long["kept_bytes"] / 1e6, short["kept_bytes"] / 1e6))
    folder = inputs.make(where, 8_192, sizes).resolve()
    for size in sizes:
        with tempfile.TemporaryDirectory() as out:
            found, floor = (
                run("ours", folder, size, 32_768, out, inputs.LAYER),
                run("floor", folder, size, 32_768, inputs.LAYER),
            )
        rows.append(Row(f"{size:,} latents: tokens a CPU-s, beside the floor", 32_768 / found["cpu_s"]))
        rows[-1] = replace(rows[-1], beside=32_768 / floor["cpu_s"], ratio=floor["cpu_s"] / found["cpu_s"])
        rows.append(Row(f"{size:,} latents: peak memory, MB", found["peak_bytes"] / 1e6))
        rows.append(Row(f"{size:,} latents: sketches, MB", found["sketch_bytes"] / 1e6))
    return rows


def ratio(what: str, figure: float, beside: float, least: float) -> Row:
    """Figure over what stands beside it, which is to be `least` at least."""
    return Row(what, figure, beside, ratio=figure / beside, goal=f"≥ {least:g}×", met=figure >= least * beside)


def most(what: str, figure: float, beside: float, largest: float) -> Row:
    """The same, `largest` at most."""
    return Row(what, figure, beside, ratio=figure / beside, goal=f"≤ {largest:g}×", met=figure <= largest * beside)


def run(part: str, *arguments: object) -> Result:
    """One part, in a process of its own."""
    return _json([sys.executable, "-m", "benchmarks.collect", "--part", part, *map(str, arguments)])


def run_delphi(python: str, *arguments: object) -> Result:
    return _json([python, "-m", "benchmarks.peers.run_delphi", *map(str, arguments)])


def _json(command: list[str]) -> Result:
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **ENVIRONMENT})
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    result: Result = json.loads(done.stdout.splitlines()[-1])
    return result


def floor(folder: str, size: str, tokens: str, layer: str) -> Result:
    """The forward pass up to the hookpoint and the encoder, and nothing kept."""
    import torch
    from safetensors.numpy import load_file
    from torch.nn.functional import linear

    from neurogloss.sources.subject import Subject

    torch.set_num_threads(1)
    subject = Subject.load(f"{folder}/model")
    at = subject.hookpoint(f"model.layers.{layer}")
    sae = load_file(f"{folder}/sae_{size}/layers.{layer}/sae.safetensors")
    weight, bias, mean = (torch.from_numpy(sae[name]) for name in ("encoder.weight", "encoder.bias", "b_dec"))
    rows = load_file(f"{folder}/tokens.safetensors")["tokens"][: int(tokens) // inputs.ROW].tolist()
    with torch.inference_mode():
        subject.vectors(rows[:16], [at])
        began = time.process_time()
        for i in range(0, len(rows), 16):
            vectors = subject.vectors(rows[i : i + 16], [at])[at].flatten(0, 1)
            for part in (vectors - mean).split(max(2**24 // int(size), 1)):
                linear(part, weight, bias).relu_().topk(inputs.K, sorted=False)
        return {"cpu_s": time.process_time() - began}


def ours(folder: str, size: str, tokens: str, out: str, layer: str) -> Result:
    """A whole collection, written."""
    import torch

    from neurogloss.folder import RunFolder
    from neurogloss.settings import CollectSettings
    from neurogloss.sources.collector import collect
    from neurogloss.sources.subject import Subject

    torch.set_num_threads(1)
    subject = Subject.load(f"{folder}/model")
    subject.vectors([[1] * inputs.ROW] * 16, [subject.hookpoint(f"model.layers.{layer}")])
    settings = CollectSettings(
        subject=f"{folder}/model",
        dictionaries=(f"{folder}/sae_{size}/layers.{layer}",),
        hookpoints=(f"model.layers.{layer}",),
        corpus=f"{folder}/tokens.safetensors",
        tokens=int(tokens),
        top=5,
        uniform=40,
    )
    run = RunFolder(Path(out) / "ours")
    forget()
    before, anonymous, began, clock = memory("VmRSS"), memory("RssAnon"), time.process_time(), Clock()
    collect(run, settings, subject, clock)
    result = {"cpu_s": time.process_time() - clock.started, "once_s": clock.started - began}
    result["peak_bytes"] = memory("VmHWM") - before
    result["kept_bytes"] = statistics.median(clock.kept) - anonymous
    sizes = {"sketch_bytes": _size(run.cache / "sketches"), "token_bytes": _size(run.cache / "contexts")}
    return {**result, **sizes}


def evidence(out: str) -> Result:
    """Evidence of units at random, of what `ours` wrote."""
    import numpy as np

    from neurogloss.folder import RunFolder
    from neurogloss.sources.cache import Cache
    from neurogloss.sources.evidence import evidence_of

    cache = Cache(RunFolder(Path(out) / "ours").cache)
    alive = cache.alive(10)
    drawn = [alive[i] for i in np.random.default_rng(0).permutation(len(alive))]
    deque(evidence_of(cache, drawn[:WARM], negatives=25), 0)
    found = []
    for start in range(WARM, len(drawn), UNITS)[:LOTS]:
        lot, began = drawn[start : start + UNITS], time.process_time()
        deque(evidence_of(cache, lot, negatives=25), 0)
        found.append((time.process_time() - began) / len(lot))
    return {"unit_s": min(found)}


class Clock(Quiet):
    """When the pass itself began, after what is done once whatever the number of tokens, and what it kept."""

    def __init__(self) -> None:
        self.started = 0.0
        self.kept: list[int] = []
        """Bytes of anonymous memory after each batch."""

    def start(self, task: str, total: int | None, unit: str, done: int = 0) -> None:
        if task == "collecting":
            self.started = time.process_time()

    def advance(self, n: int = 1) -> None:
        if self.started:
            self.kept.append(memory("RssAnon"))


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


PARTS: dict[str, Callable[..., Result]] = {"floor": floor, "ours": ours, "evidence": evidence}

if __name__ == "__main__":
    sys.exit(main())
