"""Similarity of dictionaries: speed and memory of the k nearest, and of the sparse one-to-one matching.

    python -m benchmarks.similarity [--n 16384] [--one-to-one 4096] [--large] [--repeats 3] [--json]

The five nearest of n vectors among n (384 numbers each, as sentence embeddings have) beside the bare blocked
product with the same blocks and numpy's partition; the memory is what the process has had at most by then.
The sparse assignment on the graph of ten nearest neighbours beside the exact one on the whole matrix, of planted
twins of which half the vector is noise; both start from similarities that are there. The exact one grows faster
with the number of units: the goal for the time holds from 16,384 on. CPU seconds, one thread.

With --large 131,072 vectors; the nearest of an eighth of them are looked for: blocks of rows know nothing of each
other. The exact assignment of 32,768 units would take 12 GB and many minutes: it is made of 8,192 and of 16,384,
and its time at 32,768 is what it would be if it grew on by the same factor.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.table import Row, report
from neurogloss.protocols import Float32
from neurogloss.store import matching
from neurogloss.store.measures import Directions, Edges, Texts, blocks, nearest, unit_rows

K = 5
WIDTH = 384
LIMIT = 0.3
GOAL_FROM = 16_384
"""Units from which the sparse matching has to be ten times as fast."""


def bare(measure: Texts) -> None:
    """The product, block by block, and the k largest of each row."""
    for rows in blocks(measure):
        block = measure.a[rows] @ measure.b.T
        np.argpartition(block, -K, 1)[:, -K:]


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def peak() -> float:
    """The most memory that the process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def neighbours(n: int, asked: int, repeats: int) -> list[Row]:
    """Of n x n vectors, the nearest of the first `asked`."""
    rng = np.random.default_rng(0)
    a, b = (unit_rows(rng.standard_normal((n, WIDTH), np.float32)) for _ in range(2))
    measure = Texts("text", a[:asked], b)
    first = nearest(measure, K)
    memory = peak()
    check = measure.at(first.rows[: 64 * K], first.columns[: 64 * K])
    whole = -np.sort(-(a[:64] @ b.T), axis=1)[:, :K]
    assert np.allclose(check, whole.ravel(), atol=1e-5)
    pairs = [(seconds(lambda: nearest(measure, K)), seconds(lambda: bare(measure))) for _ in range(repeats)]
    ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    product = statistics.median(
        seconds(lambda: [measure.a[rows] @ b.T for rows in blocks(measure)]) for _ in range(repeats)
    )
    vectors = 2 * a.nbytes / 2**20
    return [
        Row(
            f"top {K} of {asked:,} x {n:,}, s; beside product and partition",
            ours,
            theirs,
            theirs / ours,
            goal="ratio 0.7",
            met=theirs / ours >= 0.7,
        ),
        Row("the same beside the product alone", ours, product, product / ours),
        Row("memory of the process, MB; beside the vectors", memory, vectors, goal="2,048", met=memory < 2048),
    ]


def graph(n: int) -> tuple[Directions, Edges]:
    """Planted twins, and the edges to the ten nearest of each, both ways."""
    rng = np.random.default_rng(1)
    a = unit_rows(rng.standard_normal((n, 64), np.float32))
    strength = rng.random(n, np.float32)
    twins = Directions("decoder", a, a).planted(np.arange(n), strength, 0).b[rng.permutation(n)]
    measure = Directions("decoder", a, twins)
    there, back = nearest(measure, 10), nearest(measure.swapped(), 10)
    keys = np.unique(np.concatenate([there.rows * n + there.columns, back.columns * n + back.rows]))
    rows, columns = np.divmod(keys, n)
    return measure, Edges(rows, columns, measure.at(rows, columns))


def sparse(edges: Edges, n: int) -> tuple[float, float]:
    """Seconds, and the sum of what lies above the limit."""
    start = time.process_time()
    found = matching.one_to_one(edges, (n, n), LIMIT)
    return time.process_time() - start, float((edges.values[found] - LIMIT).sum())


def exact(measure: Directions) -> tuple[float, float]:
    """The same, of the whole matrix."""
    whole: Float32 = np.concatenate([measure.block(part) for part in blocks(measure)])
    start = time.process_time()
    found = matching.one_to_one_exact(whole, LIMIT)
    return time.process_time() - start, float((found.values - LIMIT).sum())


def assignment(n: int) -> tuple[float, list[Row]]:
    """Seconds of the exact one, and rows."""
    measure, edges = graph(n)
    (quick, reached), (slow, best) = sparse(edges, n), exact(measure)
    return slow, [
        _faster(f"sparse one-to-one of {n:,}, s; beside exact", quick, slow, n),
        Row(
            "its objective beside the exact one",
            reached,
            best,
            reached / best,
            goal="ratio 0.99",
            met=reached / best >= 0.99,
        ),
    ]


def large_assignment() -> list[Row]:
    (small, rows), (slow, more) = assignment(8_192), assignment(16_384)
    quick, _ = sparse(graph(32_768)[1], 32_768)
    beyond = _faster(
        "sparse one-to-one of 32,768, s; beside exact, by its growth", quick, slow * slow / small, 32_768
    )
    return [*rows, *more, beyond]


def _faster(what: str, quick: float, slow: float, n: int) -> Row:
    ratio, goal = slow / quick, n >= GOAL_FROM
    return Row(what, quick, slow, ratio, goal="ratio 10" if goal else "", met=ratio >= 10 if goal else None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=16_384)
    parser.add_argument("--one-to-one", type=int, default=4_096)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with threadpool_limits(1):
        if options.large:
            rows = neighbours(131_072, 16_384, 1) + large_assignment()
        else:
            rows = neighbours(options.n, options.n, options.repeats) + assignment(options.one_to_one)[1]
    return report("similarity of dictionaries", rows, options.json)


if __name__ == "__main__":
    sys.exit(main())
