from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from neurogloss.store import overlaps
from neurogloss.store.measures import nearest
from neurogloss.store.overlaps import ENOUGH, Overlap, Samples

FREE = 2**64 - 1


def sampled(peaks: NDArray[np.float32], slots: int, halves: int = 2) -> Samples:
    """(S, C) peaks by context, to what is kept of them: in each half the active contexts of smallest hash."""
    hashes = np.arange(peaks.shape[1], dtype=np.uint64) * np.uint64(1000)
    kept = []
    for half in range(halves):
        tables = np.full((len(peaks), slots), FREE, np.uint64), np.zeros((len(peaks), slots), np.float32)
        for unit, row in enumerate(peaks):
            active = [c for c in np.flatnonzero(row).tolist() if c % halves == half][:slots]
            tables[0][unit, : len(active)], tables[1][unit, : len(active)] = hashes[active], row[active]
        kept.append(tables)
    return Samples.of(kept, hashes)


def units(seed: int, n: int, contexts: int, shares: tuple[float, float] = (0.05, 0.6)) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    active = rng.random((n, contexts)) < rng.uniform(*shares, (n, 1))
    return (active * rng.exponential(1, (n, contexts))).astype(np.float32)


def all_at(measure: Overlap) -> NDArray[np.float32]:
    rows, columns = (part.ravel() for part in np.indices(measure.shape))
    return measure.at(rows, columns).reshape(measure.shape)


def test_what_is_known_of_all_contexts_is_exact() -> None:
    a, b = units(0, 20, 300), units(1, 30, 300)
    one, other = sampled(a, 300), sampled(b, 300)
    jaccard = [[((x > 0) & (y > 0)).sum() / ((x > 0) | (y > 0)).sum() for y in b] for x in a]
    assert all_at(Overlap("coactivation", one, other)) == pytest.approx(np.array(jaccard), abs=1e-6)
    correlation = np.corrcoef(a, b)[:20, 20:]
    assert all_at(Overlap("correlation", one, other)) == pytest.approx(correlation, abs=1e-5)


def test_of_full_samples_only_what_lies_below_both_bounds_counts() -> None:
    a, b = units(0, 25, 2_000), units(1, 25, 2_000)
    one, other = sampled(a, 16), sampled(b, 16)
    estimates = {name: all_at(Overlap(name, one, other)) for name in ("coactivation", "correlation")}  # type: ignore[arg-type]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            tau = min(one.bounds[i], other.bounds[j])
            known = (x[:tau] > 0).sum(), (y[:tau] > 0).sum()
            if min(known) < ENOUGH:
                assert np.isnan(estimates["coactivation"][i, j]) and np.isnan(estimates["correlation"][i, j])
                continue
            both, either = ((x > 0) & (y > 0))[:tau].sum(), ((x > 0) | (y > 0))[:tau].sum()
            assert estimates["coactivation"][i, j] == pytest.approx(both / either, abs=1e-6)
            expected = np.corrcoef(x[:tau], y[:tau])[0, 1]
            assert estimates["correlation"][i, j] == pytest.approx(expected, abs=1e-4)
    assert 0 < np.isnan(estimates["coactivation"]).mean() < 0.9


@pytest.mark.parametrize("name", ["coactivation", "correlation"])
def test_a_block_holds_what_single_pairs_have(name: overlaps.Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = Overlap(name, sampled(units(0, 30, 900), 12), sampled(units(1, 20, 900), 12))
    monkeypatch.setattr(overlaps, "CELLS", 70)
    single = all_at(measure)[4:17]
    block = measure.block(slice(4, 17))
    assert ((block == -np.inf) == np.isnan(single)).all()
    assert block[block > -np.inf] == pytest.approx(single[~np.isnan(single)], abs=1e-5)
    swapped = all_at(measure.swapped()).T[4:17]
    assert swapped[~np.isnan(single)] == pytest.approx(single[~np.isnan(single)], abs=1e-6)


def test_contexts_that_one_run_has_not_read_do_not_count() -> None:
    hashes = np.array([[1, 2, 3, 4, 5, 6, FREE]], np.uint64)
    peaks = np.array([[1, 1, 1, 1, 1, 1, 0]], np.float32)
    known = Samples.of([(hashes, peaks)], np.array([2, 4, 5, 7], np.uint64))
    assert known.ranks.tolist() == [0, 1, 2] and known.bounds.tolist() == [4]


@pytest.mark.parametrize("name", ["coactivation", "correlation"])
def test_the_floor_is_what_strangers_reach(name: overlaps.Kind) -> None:
    """Units that fire independently of one another lie at the floor, copies far above it."""
    a = sampled(units(0, 200, 4_000, (0.05, 0.2)), 40)
    strangers = Overlap(name, a, sampled(units(1, 200, 4_000, (0.05, 0.2)), 40))
    copies = strangers.planted(np.arange(200), np.full(200, 0.3, np.float32), 0)
    best = {which: nearest(measure, 1).values.mean() for which, measure in (("s", strangers), ("c", copies))}
    floor = strangers.floor(0)
    assert best["s"] == pytest.approx(floor.mean(), rel=0.1)
    assert best["c"] > np.quantile(copies.floor(0), 0.95) > best["s"]


def test_a_copy_keeps_the_contexts_that_are_not_noise() -> None:
    a = sampled(units(0, 100, 3_000, (0.05, 0.1)), 400)
    strength = np.linspace(0, 1, 100, dtype=np.float32)
    copies = Overlap("coactivation", a, a).planted(np.arange(100), strength, 0)
    found = copies.at(np.arange(100), np.arange(100))
    # Of n contexts (1 - s) n are shared, of 2 n - (1 - s) n in either.
    assert found == pytest.approx((1 - strength) / (1 + strength), abs=0.12)
    assert found[0] == 1
