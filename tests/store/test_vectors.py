"""The float16 matrix, with numpy's own conversion as the judge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurogloss.store.vectors import Vectors


@pytest.fixture
def vectors(tmp_path: Path) -> tuple[Vectors, np.ndarray]:
    """1,000 unit vectors in two writes; some entries are so small that float16 has no full precision for them."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((1000, 24)).astype(np.float32)
    rows[:, ::5] *= 1e-6
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = Vectors(tmp_path / "v.f16", 24)
    assert len(found) == 0
    found.write(0, rows[:300])
    found.write(300, rows[300:])
    return found, rows


@pytest.mark.parametrize("chosen", ["all", "none", "some", "a stretch", "one"])
def test_cosines_are_those_of_the_stored_numbers(vectors: tuple[Vectors, np.ndarray], chosen: str) -> None:
    stored, rows = vectors
    some = np.sort(np.random.default_rng(1).choice(1000, 400, replace=False))
    wanted = {
        "all": np.arange(1000),
        "none": np.arange(0),
        "some": some,
        "a stretch": np.arange(250, 600),
        "one": np.array([999]),
    }[chosen]
    query = rows[7]
    exact = rows.astype(np.float16).astype(np.float64)[wanted] @ query.astype(np.float64)
    found = stored.cosines(query, wanted)
    assert found.dtype == np.float32 and found.shape == exact.shape
    np.testing.assert_allclose(found, exact, atol=2e-7)
    np.testing.assert_allclose(found, rows[wanted] @ query, atol=1e-3)
    np.testing.assert_array_equal(stored.rows(wanted), rows.astype(np.float16)[wanted].astype(np.float32))


def test_rows_are_written_over(vectors: tuple[Vectors, np.ndarray]) -> None:
    stored, rows = vectors
    stored.write(998, rows[:3])
    assert len(stored) == 1001
    assert stored.cosines(rows[0], np.array([997, 998])).argmax() == 1
