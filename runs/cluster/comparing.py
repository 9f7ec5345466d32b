"""Compute blocks of a similarity matrix on the workers of a Ray cluster.

1. Ray sends a measure to each host once.
2. Asking for a block of rows also starts the next blocks, one per worker. Ray retries a block if a worker or host
   is lost.
3. Blocks come back in order. The driver does the matching.

Blocks have the same rows as in one process, so the bytes agree if processors and thread counts do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np

from neurogloss.protocols import Float32
from neurogloss.runs.cluster.connection import Cluster, open_cluster
from neurogloss.store.measures import Int, Measure, blocks


@contextmanager
def spreading(engine: str) -> Iterator[Callable[[Sequence[Measure]], Sequence[Measure]]]:
    """A function that moves measures to the cluster that `engine` names. Raises as `open_cluster`."""
    with open_cluster(engine) as cluster:
        yield lambda measures: [Spread(cluster, measure) for measure in measures]


class Spread:
    """Implements `neurogloss.store.measures.Measure`. Workers compute the blocks of another measure."""

    def __init__(self, cluster: Cluster, measure: Measure) -> None:
        self.name, self.shape, self.floor_is = measure.name, measure.shape, measure.floor_is
        self._cluster, self._measure = cluster, measure
        self._sent = cluster.ray.put(measure)
        self._task = cluster.ray.remote(**cluster.resources(on_gpu=False))(block)
        self._running: dict[tuple[int, int], Any] = {}

    def block(self, rows: slice) -> Float32:
        after = (each for each in blocks(self._measure) if each.start >= rows.stop)
        for each in (rows, *islice(after, self._cluster.slots(on_gpu=False))):
            if (each.start, each.stop) not in self._running:
                # In a list, because Ray would unpack a bare reference for every task.
                self._running[each.start, each.stop] = self._task.remote([self._sent], each)
        # A copy: arrays from Ray are read only.
        return np.array(self._cluster.ray.get(self._running.pop((rows.start, rows.stop))))

    def at(self, rows: Int, columns: Int) -> Float32:
        return self._measure.at(rows, columns)

    def swapped(self) -> Spread:
        return Spread(self._cluster, self._measure.swapped())

    def floor(self, seed: int, twins: Int | None = None) -> Float32:
        return self._measure.floor(seed, twins)

    def planted(self, rows: Int, strength: Float32, seed: int) -> Measure | None:
        return self._measure.planted(rows, strength, seed)


# --- on a worker ----------------------------------------------------------------------------------


def block(measure: list[Any], rows: slice) -> Float32:
    """A block of the measure that the reference in the list points to."""
    return _kept(measure[0]).block(rows)


@lru_cache(2)
def _kept(reference: Any) -> Measure:
    """Unpacks the measure and its transpose once per worker."""
    import ray

    measure: Measure = ray.get(reference)
    return measure
