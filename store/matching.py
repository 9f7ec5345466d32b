"""Which unit of one set goes with which of another, from how alike they are.

Four matchings, each with units that go with none, because nothing is more alike to them than the limit that the
floor sets (the first three after Li et al. 2016, "Convergent Learning", arXiv:1511.07543, who match one to one and
in clusters):

1. `nearest`: each unit of A with the k of B that are most alike. One of B may be met often.
2. `mutual`: pairs that are each other's most alike.
3. `one-to-one`: no unit twice; the sum of (similarity - limit) is as large as can be, and a pair at or below the
   limit is not made. Exact (Jonker-Volgenant on the whole matrix) where it has at most EXACT_CELLS cells; beyond,
   the same on the edges of the nearest-neighbour graph of both directions, where each unit of A has a column of
   its own that stands for none.
4. `clusters`: many with many. Edges above the limit between units of which each is among the k most alike of the
   other, divided by Markov clustering (van Dongen 2000): a random walk on the graph is squared and its larger
   probabilities made larger, until what is left falls apart. Connected components alone would not do: with three
   neighbours a unit, most units hang together somehow.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array, diags_array
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching

from neurogloss.protocols import Float32
from neurogloss.store.measures import Edges, Int

Match = Literal["nearest", "mutual", "one-to-one", "clusters"]
EXACT_CELLS = 1 << 26
"""Of the whole matrix: 256 MiB of float32, and twice that in double precision while it is solved."""

INFLATION = 2.0
"""Of Markov clustering: larger makes smaller clusters."""
ROUNDS = 60
NEGLIGIBLE = 1e-4
"""Probability of a step that is left out."""


def nearest(edges: Edges, k: int) -> Int:
    """Which edges are among the k largest of their row: positions, by row, largest first, ties by column."""
    order = np.lexsort((edges.columns, -edges.values, edges.rows))
    rows = edges.rows[order]
    first = np.searchsorted(rows, rows)
    found: Int = order[np.arange(len(order)) - first < k]
    return found


def mutual(edges: Edges, k: int = 1) -> Int:
    """Which edges are among the k largest of their row and of their column: positions, by row."""
    of_row = nearest(edges, k)
    found: Int = of_row[np.isin(of_row, nearest(edges.swapped, k))]
    return found


def one_to_one(edges: Edges, shape: tuple[int, int], limit: float) -> Int:
    """Which edges make up the matching whose sum of (value - limit) is largest: positions, by row."""
    gains = edges.values.astype(np.float64) - limit
    kept = np.flatnonzero(gains > 0)
    if not len(kept):
        return kept
    n, width = shape
    none = np.arange(n)
    # Weights of 0 would count as no edge: costs lie in [1, 2], and to go with none costs 2.
    costs = np.concatenate([2 - gains[kept] / gains[kept].max(), np.full(n, 2.0)])
    rows = np.concatenate([edges.rows[kept], none])
    columns = np.concatenate([edges.columns[kept], width + none])
    graph = csr_array((costs, (rows, columns)), shape=(n, width + n))
    row, column = min_weight_full_bipartite_matching(graph)
    chosen = row[column < width] * width + column[column < width]
    found: Int = kept[np.isin(edges.take(kept).keys(width), chosen)]
    return found[np.argsort(edges.rows[found])]


def one_to_one_exact(similarities: Float32, limit: float) -> Edges:
    """The same over all pairs of a (A, B) matrix; -inf where a pair cannot be."""
    gains = np.maximum(similarities - np.float32(limit), 0)
    rows, columns = linear_sum_assignment(gains, maximize=True)
    kept = gains[rows, columns] > 0
    rows, columns = rows[kept], columns[kept]
    return Edges(rows, columns, similarities[rows, columns])


def clusters(edges: Edges, shape: tuple[int, int], k: int, limit: float) -> tuple[Int, Int]:
    """Positions of the edges inside clusters, and the number of the cluster of each, from 0 by first unit of A."""
    kept = mutual(edges, k)
    kept = kept[edges.values[kept] > limit]
    n = sum(shape)
    gains = edges.values[kept].astype(np.float64) - limit
    ends = edges.rows[kept], shape[0] + edges.columns[kept]
    graph = csr_array((gains, ends), shape=(n, n))
    component = connected_components(_settled(graph + graph.T), directed=False)[1]
    inside = component[ends[0]] == component[ends[1]]
    _, first, number = np.unique(component[ends[0]][inside], return_index=True, return_inverse=True)
    found: Int = np.argsort(np.argsort(first))[number]
    return kept[inside], found


def _settled(graph: Any) -> Any:
    """(n, n) sparse: where walks from each node end under Markov clustering."""
    # A node stays where it is as readily as it takes its best edge.
    strongest = graph.max(axis=1).toarray().ravel()
    walk = _normalised(graph + diags_array(np.where(strongest > 0, strongest, 1.0)))
    for _ in range(ROUNDS):
        before, walk = walk, walk @ walk
        walk.data **= INFLATION
        walk = _normalised(walk)
        walk.data[walk.data < NEGLIGIBLE] = 0
        walk.eliminate_zeros()
        walk = _normalised(walk)
        if abs(walk - before).max() < NEGLIGIBLE:
            break
    return walk


def _normalised(walk: Any) -> Any:
    """Each row by its sum."""
    return csr_array(diags_array(1 / walk.sum(1)) @ walk)
