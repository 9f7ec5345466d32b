"""Filling the index and asking it: the catalogue's exact path beside Chroma's graph, with filters and without.

    python -m benchmarks.store [--rows 10000] [--typed 100000] [--large] [--json]

Vectors are synthetic: 384 dimensions, around 1 centre for every 50 of them, as explanations of one subject lie.
Times are CPU milliseconds of one query, which other work on the machine hardly changes; both sides answer the
same queries in one process. `--large` is 1,000,000 rows of the catalogue alone, against the goals. The command
`neurogloss search` is timed from start to exit, imports and model included, on a run of `--typed` labels;
on a machine that does nothing else it takes its CPU seconds.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.table import Row, report
from neurogloss.engines.embedder import MiniLM
from neurogloss.folder import RunFolder
from neurogloss.ids import UnitId
from neurogloss.protocols import Float32, TokenVectors
from neurogloss.records import Explanation, UnitStatistics
from neurogloss.store.catalogue import Catalogue
from neurogloss.store.chroma import Chroma
from neurogloss.store.documents import Document
from neurogloss.store.documents import documents as documents_of
from neurogloss.store.ledger import Ledger
from neurogloss.store.search import By, search_contexts
from neurogloss.store.where import parse

KNOWN = Path(__file__).with_name("known_items.tsv")
"""An explanation and a query for it a line, written without looking at what finds them."""
DIMENSION, K, BATCH, LAYERS = 384, 10, 1000, 8
WORDS = "time place name word city day number code law food sport music river color animal money body war".split()
FILTERS = (
    ("", None),
    ("layer == 3", {"layer": 3}),
    ("detection > 0.9 and layer >= 2", {"$and": [{"detection": {"$gt": 0.9}}, {"layer": {"$gte": 2}}]}),
)
LATENCY, RECALL, MEMORY, TYPED = 150.0, 0.98, 4.0, 3.0
"""Goals: p95 of a filtered query in ms, recall@10, GB resident, seconds of a command."""
COMMANDS = (
    ("hybrid", ["river animals"]),
    ("hybrid, layer == 3", ["river animals", "--where", "layer == 3"]),
    ("lexical", ["river animals", "--by", "lexical"]),
)


class Named:
    """Stands for the embedding model: vectors are given."""

    name, dimension = "synthetic", DIMENSION

    def embed(self, texts: Sequence[str]) -> Float32:
        raise NotImplementedError

    def embed_tokens(self, texts: Sequence[str]) -> list[TokenVectors]:
        raise NotImplementedError


def vectors(n: int, seed: int) -> Iterator[Float32]:
    """Batches of (BATCH, DIMENSION) unit vectors, n in all."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((max(n // 50, 1), DIMENSION), np.float32)
    for start in range(0, n, BATCH):
        some = centres[rng.integers(len(centres), size=min(BATCH, n - start))]
        yield unit(some + 0.7 * rng.standard_normal(some.shape, np.float32))


def unit(rows: Float32) -> Float32:
    scaled: Float32 = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


def documents(n: int) -> Iterator[Document]:
    """As a run has them: two scores, a layer of 8, a text of six words."""
    rng = np.random.default_rng(1)
    for i in range(n):
        layer, detection, fuzzing = int(rng.integers(LAYERS)), float(rng.random()), float(rng.random())
        hookpoint = f"model.layers.{layer}.mlp"
        metadata = {
            "unit": f"org/subject/{hookpoint}/sae/{i}",
            "subject": "org/subject",
            "hookpoint": hookpoint,
            "layer": layer,
            "dictionary": "sae",
            "method": "llm-0123abcd",
            "state": ("accepted", "rejected")[i % 2],
            "side": "input",
            "density": float(f"{rng.random() / 10:.9g}"),
        }
        for name, value in (("detection", detection), ("fuzzing", fuzzing)):
            metadata |= {
                name: value,
                f"{name}.auroc": value,
                f"{name}.floor": 0.5,
                f"{name}.excess_low": value / 2,
            }
        yield Document(f"b2:{i:032x}", " ".join(rng.choice(WORDS, 6)), metadata)


def fill(part: Catalogue | Chroma, n: int) -> float:
    """CPU seconds."""
    rows, spent = documents(n), 0.0
    for some in vectors(n, 2):
        batch = list(islice(rows, len(some)))
        start = time.process_time()
        part.add(batch, some)
        spent += time.process_time() - start
    return spent


def milliseconds(ask: Callable[[Float32], object], queries: Float32) -> tuple[float, float]:
    """p50 and p95 of CPU time."""
    ask(queries[0])
    spent = []
    for query in queries:
        start = time.process_time()
        ask(query)
        spent.append(1e3 * (time.process_time() - start))
    return float(np.quantile(spent, 0.5)), float(np.quantile(spent, 0.95))


def truth(n: int, queries: Float32) -> list[set[int]]:
    """The K nearest by float32, without a filter."""
    best = np.full((len(queries), K), -np.inf, np.float32)
    rows = np.zeros((len(queries), K), np.int64)
    for i, some in enumerate(vectors(n, 2)):
        values = np.concatenate([best, queries @ some.T], axis=1)
        names = np.concatenate(
            [rows, np.broadcast_to(i * BATCH + np.arange(len(some)), (len(queries), len(some)))], 1
        )
        chosen = np.argpartition(-values, K - 1, axis=1)[:, :K]
        best, rows = np.take_along_axis(values, chosen, 1), np.take_along_axis(names, chosen, 1)
    return [set(row.tolist()) for row in rows]


def recall(found: Sequence[Sequence[int]], wanted: Sequence[set[int]]) -> float:
    return float(np.mean([len(set(some) & right) / K for some, right in zip(found, wanted, strict=True)]))


def measure(folder: Path, n: int, queries: Float32, large: bool) -> Iterator[Row]:
    """The rows of one size; of Chroma only where it is not `large`."""
    title = f"{n:,}"
    catalogue, chroma = Catalogue(folder, Named()), None if large else Chroma(folder, Named())
    spent = n / fill(catalogue, n)
    yield _beside(f"{title}: documents filled a CPU second", spent, n / fill(chroma, n) if chroma else np.nan)
    for text, where in FILTERS:
        condition = parse(text, catalogue.fields()) if text else None
        exact = milliseconds(lambda query, c=condition: catalogue.nearest(query, K, c), queries)
        other = (
            milliseconds(lambda query, w=where: chroma.nearest(query, K, w), queries) if chroma else (np.nan,) * 2
        )
        name = f"{title}: {text or 'no filter'}"
        yield _beside(f"{name}, p50 ms", exact[0], other[0])
        goal = {"goal": f"<= {LATENCY:.0f}", "met": exact[1] <= LATENCY} if text else {}
        yield _beside(f"{name}, p95 ms", exact[1], other[1], **goal)
    condition = parse("layer == 3", catalogue.fields())
    lexical = milliseconds(lambda _: catalogue.matching("river animal", K, condition), queries)
    yield Row(f"{title}: two words and layer == 3, p95 ms", lexical[1])
    wanted = truth(n, queries)
    found = recall([catalogue.nearest(query, K) for query in queries], wanted)
    graph = np.nan
    if chroma:
        ids = catalogue.rows_of
        graph = recall([[*ids(chroma.nearest(query, K)).values()] for query in queries], wanted)
    yield _beside(f"{title}: recall@10", found, graph, goal=f">= {RECALL}", met=found >= RECALL)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9
    yield Row(f"{title}: GB on disk", size)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    yield Row(f"{title}: GB resident at most", resident, goal=f"<= {MEMORY:.0f}", met=resident <= MEMORY)
    catalogue.close()
    if chroma:
        chroma.close()


def typed(folder: Path, n: int) -> Iterator[Row]:
    """The command, on a run of n labels: CPU and wall seconds, the middle of three."""
    run = RunFolder(folder)
    rng, statistics = np.random.default_rng(4), UnitStatistics(1000, 10, 0.0, 1.0, 1.0, (10,))
    units = [UnitId("org/subject", f"model.layers.{i % LAYERS}.mlp", "sae", i) for i in range(n)]
    with Ledger(run.ledger) as ledger:
        said = [Explanation(unit, " ".join(rng.choice(WORDS, 6)), "import-benchmark") for unit in units]
        ledger.record_imported({"import-benchmark": {}}, dict.fromkeys(units, statistics), said)
        catalogue, rows = Catalogue(run.index, MiniLM()), documents_of(ledger)
        for some in vectors(n, 2):
            catalogue.add(list(islice(rows, len(some))), some)
        catalogue.close()
    for name, arguments in COMMANDS:
        cpu, wall = [], []
        for _ in range(3):
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            command = [sys.executable, "-m", "neurogloss", "search", *arguments, "--run", str(folder), "--json"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            wall.append(time.perf_counter() - start)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        took = float(np.median(cpu))
        yield Row(f"{n:,}: neurogloss search, {name}: CPU s", took, goal=f"<= {TYPED:.0f}", met=took <= TYPED)
        yield Row(f"{n:,}: neurogloss search, {name}: wall s", float(np.median(wall)))


def quality(folder: Path) -> Iterator[Row]:
    """nDCG@10 of known items: explanations that are asked for, by each way to search."""
    pairs = [line.split("\t") for line in KNOWN.read_text(encoding="utf-8").splitlines()]
    embedder = MiniLM()
    catalogue = Catalogue(folder, embedder)
    catalogue.add([Document(text, text, {}) for text, _ in pairs], embedder.embed([text for text, _ in pairs]))
    asked = {
        "in other words": pairs,
        "by its longest word": [(text, max(text.split(), key=len)) for text, _ in pairs],
    }
    for how, queries in asked.items():
        for by in By:
            gains = []
            for text, query in queries:
                found = [hit.id for hit in search_contexts(catalogue, embedder, query, K, by=by)]
                gains.append(1 / np.log2(2 + found.index(text)) if text in found else 0.0)
            yield Row(f"nDCG@10 of {len(pairs)} known items, asked for {how}, {by}", float(np.mean(gains)))
    catalogue.close()


def _beside(what: str, figure: float, other: float, goal: str = "", met: bool | None = None) -> Row:
    return Row(what, figure, other, other / figure, goal=goal, met=met)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000])
    parser.add_argument("--typed", type=int, default=10_000, help="labels of the run that the command searches")
    parser.add_argument("--large", action="store_true", help="1,000,000 rows, without Chroma; --typed 100000")
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for n in [1_000_000] if options.large else options.rows:
        queries = next(vectors(n, 3))[: options.queries]
        with tempfile.TemporaryDirectory() as folder:
            rows.extend(measure(Path(folder), n, queries, options.large))
    with tempfile.TemporaryDirectory() as folder:
        rows.extend(typed(Path(folder), 100_000 if options.large else options.typed))
    with tempfile.TemporaryDirectory() as folder:
        rows.extend(quality(Path(folder)))
    return report("the catalogue, beside Chroma", rows, options.json)


if __name__ == "__main__":
    raise SystemExit(main())
