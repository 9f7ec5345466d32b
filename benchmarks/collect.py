"""What collecting costs beside the forward pass itself, and beside delphi.

    python -m benchmarks.collect [--delphi PYTHON] [--sizes 4096,16384] [--tokens 65536] [--repeats 3] [--json]

Every figure is from a process of its own with one thread; the programs that are compared run in turn, and the
median over the repeats is shown. `--delphi` names an interpreter that has eai-delphi 0.1.3; without it those rows
are left out. The floor is the forward pass up to the hookpoint, the encoder's product, ReLU and torch's top-k.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import inputs
from benchmarks.table import Row, report

Result = Mapping[str, float]
UNITS = 1_000
"""Units whose evidence is read: 90 examples and 50 negatives each, over both halves, as delphi's records have."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delphi", help="interpreter with eai-delphi installed")
    parser.add_argument("--sizes", default="4096,16384", help="latents of the SAEs")
    parser.add_argument("--tokens", type=int, default=65_536)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--inputs", type=Path, default=Path("build/bench"))
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.part:
        name, *arguments = options.part
        print(json.dumps(PARTS[name](*arguments)))
        return 0
    sizes = [int(size) for size in options.sizes.split(",")]
    folder = inputs.make(options.inputs, 1_024, tuple(sizes)).resolve()
    rows = [
        row for size in sizes for row in compare(folder, size, options.tokens, options.repeats, options.delphi)
    ]
    return report("collecting, CPU-seconds with one thread", rows, options.json)


def compare(folder: Path, size: int, tokens: int, repeats: int, delphi: str | None) -> list[Row]:
    """The rows for one size of dictionary."""
    found: dict[str, list[Result]] = {"floor": [], "ours": [], "delphi": [], "delphi load": []}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as out:
            found["floor"].append(run("floor", folder, size, tokens))
            found["ours"].append(run("ours", folder, size, tokens, out))
            if delphi:
                latents = f"{out}/delphi/latents"
                found["delphi"].append(run_delphi(delphi, "cache", folder, latents, size, tokens))
                found["delphi load"].append(run_delphi(delphi, "load", folder, latents, size, tokens, UNITS))
    middle = {
        name: {key: statistics.median(each[key] for each in results) for key in results[0]}
        for name, results in found.items()
        if results
    }
    ours, floor = middle["ours"], middle["floor"]
    label = f"{size:,} latents: "
    rows = [
        ratio(label + "floor / ours, tokens a CPU-s", tokens / ours["cpu_s"], tokens / floor["cpu_s"], 0.85),
        Row(label + "units of evidence a CPU-s", ours["units"] / ours["evidence_s"], goal="≥ 2000")
        if not delphi
        else ratio(
            label + "units of evidence a CPU-s",
            ours["units"] / ours["evidence_s"],
            middle["delphi load"]["records"] / middle["delphi load"]["cpu_s"],
            200,
        ),
        Row(label + "cache, bytes a token", ours["token_bytes"] / tokens),
        Row(label + "sketches, MB", ours["sketch_bytes"] / 1e6),
    ]
    if delphi:
        peer = middle["delphi"]
        goal = 1.8 if size <= 4_096 else 2.2
        rows.insert(1, ratio(label + "tokens a CPU-s", tokens / ours["cpu_s"], tokens / peer["cpu_s"], goal))
        rows.insert(2, most(label + "peak memory, MB", ours["peak_bytes"] / 1e6, peer["peak_bytes"] / 1e6, 0.25))
        disk = ours["sketch_bytes"] + 1e7 * ours["token_bytes"] / tokens
        rows.append(
            most(label + "disk at 10M tokens, MB", disk / 1e6, peer["disk_bytes"] / tokens * 1e7 / 1e6, 0.2)
        )
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
    return _json([python, str(Path(__file__).parent / "peers" / "run_delphi.py"), *map(str, arguments)])


def _json(command: list[str]) -> Result:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    result: Result = json.loads(done.stdout.splitlines()[-1])
    return result


def floor(folder: str, size: str, tokens: str) -> Result:
    """The forward pass up to the hookpoint and the encoder, and nothing kept."""
    import torch
    from safetensors.numpy import load_file
    from torch.nn.functional import linear

    from neurogloss.sources.subject import Subject

    torch.set_num_threads(1)
    subject = Subject.load(f"{folder}/model")
    at = subject.hookpoint(inputs.HOOKPOINT)
    sae = load_file(f"{folder}/sae_{size}/layers.{inputs.LAYER}/sae.safetensors")
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


def ours(folder: str, size: str, tokens: str, out: str) -> Result:
    """A whole collection, written; then evidence of units at random."""
    import numpy as np
    import torch

    from neurogloss.folder import RunFolder
    from neurogloss.settings import CollectSettings
    from neurogloss.sources.cache import Cache
    from neurogloss.sources.collector import collect
    from neurogloss.sources.evidence import evidence
    from neurogloss.sources.subject import Subject

    torch.set_num_threads(1)
    subject = Subject.load(f"{folder}/model")
    subject.vectors([[1] * inputs.ROW] * 16, [subject.hookpoint(inputs.HOOKPOINT)])
    settings = CollectSettings(
        subject=f"{folder}/model",
        dictionaries=(f"{folder}/sae_{size}/layers.{inputs.LAYER}",),
        hookpoints=(inputs.HOOKPOINT,),
        corpus=f"{folder}/tokens.safetensors",
        tokens=int(tokens),
        top=5,
        uniform=40,
    )
    run = RunFolder(Path(out) / f"ours-{size}")
    before, cpu, wall = _resident(), time.process_time(), time.perf_counter()
    collect(run, settings, subject)
    result = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
    result["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    cache = Cache(run.cache)
    alive = cache.alive(10)
    chosen = [alive[i] for i in np.random.default_rng(0).permutation(len(alive))[:UNITS]]
    cpu = time.process_time()
    for unit in chosen:
        evidence(cache, unit, negatives=25)
    result |= {"evidence_s": time.process_time() - cpu, "units": len(chosen)}
    sketches = _size(run.cache / "sketches")
    shutil.rmtree(run.cache / "outputs", ignore_errors=True)
    return {**result, "sketch_bytes": sketches, "token_bytes": _size(run.cache / "contexts")}


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * resource.getpagesize()


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


PARTS: dict[str, Callable[..., Result]] = {"floor": floor, "ours": ours}

if __name__ == "__main__":
    sys.exit(main())
