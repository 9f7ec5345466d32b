"""Units compared with the help of a cluster's workers: blocks of a product are computed there.

1. A measure is sent to each host once.
2. When a block of rows is asked for, those after it are begun, one for each worker. Ray tries one again where a
   worker or its host is lost.
3. Blocks come back whole, in order; what is made of them is made by the process that was started.

The rows of a block are those of one process: so are its bytes, where processors and thread counts are the same.
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
    """Gives what has measures computed by the cluster that `engine` names. Raises UserError as `open_cluster`."""
    with open_cluster(engine) as cluster:
        yield lambda measures: [Spread(cluster, measure) for measure in measures]


class Spread:
    """Implements `neurogloss.store.measures.Measure`: another one, with its blocks computed by workers."""

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
                # In a list: Ray would unpack a bare reference for every task.
                self._running[each.start, each.stop] = self._task.remote([self._sent], each)
        # What Ray hands out cannot be written to.
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
    """Of the measure that the one reference in the list is to."""
    return _kept(measure[0]).block(rows)


@lru_cache(2)
def _kept(reference: Any) -> Measure:
    """Unpacked once a worker, in both directions."""
    import ray

    measure: Measure = ray.get(reference)
    return measure
