from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurogloss.protocols import Float32
from neurogloss.store import matching
from neurogloss.store.measures import Edges, Int

ALIKE = np.array([[0.9, 0.8, 0.1], [0.8, 0.2, 0.1], [0.3, 0.2, 0.2]], np.float32)


def edges(matrix: Float32) -> Edges:
    rows, columns = (part.ravel() for part in np.indices(matrix.shape))
    return Edges(rows, columns, matrix.ravel())


def chosen(all_of: Edges, positions: Int) -> list[tuple[int, int]]:
    return list(zip(all_of.rows[positions].tolist(), all_of.columns[positions].tolist(), strict=True))


def test_the_matchings_of_one_example() -> None:
    every = edges(ALIKE)
    assert chosen(every, matching.nearest(every, 1)) == [(0, 0), (1, 0), (2, 0)]
    assert chosen(every, matching.nearest(every, 2))[:2] == [(0, 0), (0, 1)]
    assert chosen(every, matching.mutual(every)) == [(0, 0)]
    # 0.8 + 0.8 is more than 0.9 + 0.2; what is left, 0.2, is not above the limit.
    assert chosen(every, matching.one_to_one(every, (3, 3), 0.25)) == [(0, 1), (1, 0)]
    exact = matching.one_to_one_exact(ALIKE, 0.25)
    assert list(zip(exact.rows.tolist(), exact.columns.tolist(), strict=True)) == [(0, 1), (1, 0)]
    assert len(matching.one_to_one(every, (3, 3), 1.0)) == 0
    assert len(matching.one_to_one_exact(ALIKE, 1.0).rows) == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 7), st.integers(1, 7), st.floats(-1, 1))
def test_the_sparse_assignment_of_all_edges_is_as_good_as_the_exact_one(
    seed: int, n: int, width: int, limit: float
) -> None:
    matrix = np.random.default_rng(seed).uniform(-1, 1, (n, width)).astype(np.float32)
    every = edges(matrix)
    sparse = matching.one_to_one(every, (n, width), limit)
    exact = matching.one_to_one_exact(matrix, limit)
    assert len(set(every.rows[sparse])) == len(set(every.columns[sparse])) == len(sparse)
    assert (every.values[sparse] > limit).all() and (exact.values > limit).all()
    assert float((every.values[sparse] - limit).sum()) == pytest.approx(
        float((exact.values - limit).sum()), abs=1e-4
    )


def test_clusters_are_groups_and_not_whatever_hangs_together() -> None:
    """Two groups of three with three, held together by one weak edge."""
    matrix = np.full((6, 6), -1.0, np.float32)
    matrix[:3, :3] = matrix[3:, 3:] = 0.9
    matrix[2, 3] = 0.3
    every = edges(matrix)
    positions, numbers = matching.clusters(every, (6, 6), 4, 0.0)
    assert chosen(every, positions) == [(i, j) for i in range(6) for j in range(6) if i // 3 == j // 3]
    assert numbers.tolist() == [0] * 9 + [1] * 9
    assert len(matching.clusters(every, (6, 6), 4, 0.95)[0]) == 0


def test_a_unit_without_mutual_neighbours_is_in_no_cluster() -> None:
    every = edges(ALIKE)
    positions, _ = matching.clusters(every, (3, 3), 2, 0.15)
    assert 2 not in every.rows[positions]
