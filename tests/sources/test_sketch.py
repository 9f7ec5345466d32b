from __future__ import annotations

import math
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from neurogloss.sources import reader
from neurogloss.sources.dictionaries.activations import Codes
from neurogloss.sources.pairs import Cut, Entries, Pairs, pairs_of_dense, pairs_of_entries
from neurogloss.sources.reader import Gathered
from neurogloss.sources.sketch import BINS, EMPTY, FIXED_POINT, Sketch, certified_below, histogram_edges

LARGEST = 2**64 - 2


def cut_of(hashes: NDArray[np.uint64], tokens: int) -> Cut:
    """Contexts of as many tokens each, one after another."""
    return Cut(hashes, np.arange(len(hashes)) * tokens, np.full(len(hashes), tokens))


def codes_of(activations: NDArray[np.float32]) -> Codes:
    """(C, W, N), one context after another."""
    return Codes(torch.from_numpy(activations.reshape(-1, activations.shape[2])), None, activations.shape[2])


def read(
    sketch: Sketch,
    hashes: NDArray[np.uint64],
    activations: NDArray[np.float32],
    thresholds: NDArray[np.float32],
) -> Sketch:
    """The sketch itself, after (C, W, N) activations."""
    width = activations.shape[1]
    sketch.take(pairs_of_dense(codes_of(activations), cut_of(hashes, width), thresholds, width), len(hashes))
    return sketch


@dataclass(frozen=True)
class Reading:
    """What one half of a corpus gave: C contexts, W tokens, N units, S sides."""

    hashes: NDArray[np.uint64]
    activations: NDArray[np.float32]
    thresholds: NDArray[np.float32]

    def sketch(self, top: int, uniform: int, rows: list[int] | None = None) -> Sketch:
        """All of it (or those rows) in one batch."""
        rows = list(range(len(self.hashes))) if rows is None else rows
        empty = Sketch.empty(len(self.thresholds), top, uniform, self.activations.shape[1])
        sketch = read(empty, self.hashes[rows], self.activations[rows], self.thresholds)
        sketch.sort()
        return sketch

    def along(self, side: int) -> NDArray[np.float32]:
        """(C, W): the activations of one side, 0 where it is the other side that is active."""
        units = self.activations.shape[2]
        return np.maximum(self.activations[:, :, side % units] * (1 if side < units else -1), 0)

    def active(self, side: int) -> dict[int, float]:
        """Peak by hash, of the contexts in which the side is active."""
        peaks = [max(window) for window in self.along(side).tolist()]
        limit = float(self.thresholds[side])
        return {int(h): peak for h, peak in zip(self.hashes, peaks, strict=True) if peak > limit}


VALUES = st.one_of(
    st.sampled_from([0.0, -0.0, 0.5, 1.0, -1.0, 2.0, 1024.0]),  # ties, and edges of the histogram
    st.floats(-2, 2, width=32, allow_subnormal=False),
    st.floats(-1e6, 1e6, width=32, allow_subnormal=False),
)
SLOTS = st.integers(1, 4)


@st.composite
def readings(draw: st.DrawFn) -> Reading:
    contexts, tokens, units = draw(st.integers(0, 9)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    sides = units * draw(st.sampled_from([1, 2]))
    hashes = st.lists(
        st.integers(0, 12) | st.integers(0, LARGEST), min_size=contexts, max_size=contexts, unique=True
    )
    n = contexts * tokens * units
    values = draw(st.lists(VALUES, min_size=n, max_size=n))
    limits = st.lists(st.sampled_from([0.0, 0.5, 1.5]), min_size=sides, max_size=sides)
    return Reading(
        np.array(draw(hashes), np.uint64),
        np.array(values, np.float32).reshape(contexts, tokens, units),
        np.array(draw(limits), np.float32),
    )


def parts(draw: st.DataObject, rows: list[int]) -> list[list[int]]:
    """A random division of the rows into consecutive parts, some of them empty."""
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(rows)), max_size=3)))
    return [rows[a:b] for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]


def stored(sketch: Sketch) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    return {name: (str(a.dtype), a.shape, a.tobytes()) for name, a in sketch.arrays().items()}


@settings(max_examples=200)
@given(readings(), SLOTS, SLOTS, st.data())
def test_order_batches_and_shards_do_not_change_a_byte(
    reading: Reading, top: int, uniform: int, data: st.DataObject
) -> None:
    sides, width = len(reading.thresholds), reading.activations.shape[1]
    order = data.draw(st.permutations(range(len(reading.hashes))))
    shards = []
    for shard in parts(data, list(order)):
        sketch = Sketch.empty(sides, top, uniform, width)
        for batch in parts(data, shard):
            read(sketch, reading.hashes[batch], reading.activations[batch], reading.thresholds)
        shards.append(sketch)
    first, *others = data.draw(st.permutations(shards))
    for other in others:
        before = stored(other)
        first.merge(other)
        assert stored(other) == before
    first.sort()
    assert stored(first) == stored(reading.sketch(top, uniform))


def listed(pairs: Pairs) -> list[tuple[int, int, float, list[float]]]:
    windows = pairs.windows(np.arange(len(pairs.sides)))
    return list(
        zip(pairs.sides.tolist(), pairs.hashes.tolist(), pairs.peaks.tolist(), windows.tolist(), strict=True)
    )


@given(readings(), st.data())
def test_sparse_codes_give_the_pairs_of_dense_ones(reading: Reading, data: st.DataObject) -> None:
    units, width = reading.activations.shape[2], reading.activations.shape[1]
    signed = len(reading.thresholds) == 2 * units
    codes, cut = codes_of(reading.activations), cut_of(reading.hashes, width)
    wanted = pairs_of_dense(codes, cut, np.zeros_like(reading.thresholds), width)
    gathered = Gathered()
    for spare in data.draw(st.permutations([0, 1_000])):
        gathered.clear()
        with patch.object(reader, "ENTRIES", spare):
            for batch in parts(data, list(range(len(reading.hashes)))):
                entries = Entries.of_codes(codes_of(reading.activations[batch]))
                gathered.add(entries, cut_of(reading.hashes[batch], width), np.zeros(len(batch), bool))
        joined = gathered.entries()
        assert listed(pairs_of_entries(joined, cut, units, signed, width)) == listed(wanted)
    top = torch.topk(codes.values, units, dim=1)
    kept = Entries.of_codes(Codes(top.values, top.indices, units))
    assert listed(pairs_of_entries(kept, cut, units, signed, width)) == listed(wanted)


def test_contexts_of_unlike_lengths_by_hand() -> None:
    """Five vectors: one before the first context, two in it, one in the second, one after."""
    values = torch.tensor([[9.0, 9], [0, 2], [4, 1], [3, 0], [9, 9]])
    cut = Cut(np.array([50, 20], np.uint64), np.array([1, 3]), np.array([2, 1]))
    wanted = [(0, 20, 3, [1, 0, 0]), (0, 50, 4, [0, 1, 0]), (1, 50, 2, [1, 0.5, 0])]
    codes = Codes(values, None, 2)
    assert listed(pairs_of_dense(codes, cut, np.zeros(2, np.float32), 3)) == wanted
    assert listed(pairs_of_entries(Entries.of_codes(codes), cut, 2, False, 3)) == wanted


def test_a_negative_value_is_inactive_where_there_is_one_side() -> None:
    codes = Codes(torch.tensor([[-3.0, 1.0]]), torch.tensor([[1, 0]]), 2)
    cut = Cut(np.array([5], np.uint64), np.array([0]), np.array([1]))
    assert listed(pairs_of_entries(Entries.of_codes(codes), cut, 2, False, 1)) == [(0, 5, 1, [1])]
    both = listed(pairs_of_entries(Entries.of_codes(codes), cut, 2, True, 1))
    assert both == [(0, 5, 1, [1]), (3, 5, 3, [1])]


@given(readings(), SLOTS, SLOTS)
def test_samples_are_what_sorting_everything_gives(reading: Reading, top: int, uniform: int) -> None:
    sketch = reading.sketch(top, uniform)
    for side in range(len(reading.thresholds)):
        active = reading.active(side)
        by_peak = sorted(active, key=lambda h: (-active[h], h))[:top]
        by_hash = sorted(active)[:uniform]
        for hashes, peaks, wanted, slots in (
            (sketch.top.hashes[side], sketch.top.peaks[side], by_peak, top),
            (sketch.uniform.hashes[side], sketch.uniform.peaks[side], by_hash, uniform),
        ):
            free = slots - len(wanted)
            assert hashes.tolist() == [*wanted, *[int(EMPTY)] * free]
            assert peaks.tolist() == [*(active[h] for h in wanted), *[0.0] * free]


@given(readings(), SLOTS, SLOTS)
def test_windows_are_the_kept_contexts_activations(reading: Reading, top: int, uniform: int) -> None:
    sketch = reading.sketch(top, uniform)
    row_of = {int(h): row for row, h in enumerate(reading.hashes)}
    for side in range(len(reading.thresholds)):
        along = reading.along(side)
        for hashes, peaks, windows in (
            (sketch.top.hashes[side], sketch.top.peaks[side], sketch.top.windows[side]),
            (sketch.uniform.hashes[side], sketch.uniform.peaks[side], sketch.uniform.windows[side]),
        ):
            for digest, peak, window in zip(hashes.tolist(), peaks, windows, strict=True):
                if digest == EMPTY:
                    assert not window.any()
                    continue
                wanted = along[row_of[digest]]
                assert window.max() == 1  # the peak itself comes back exactly
                np.testing.assert_allclose(window * peak, wanted, rtol=2**-10, atol=2**-20 * peak)


@given(readings(), SLOTS)
def test_certified_are_exactly_the_silent_contexts_below_tau(reading: Reading, uniform: int) -> None:
    sketch = reading.sketch(1, uniform)
    everything = {int(h) for h in reading.hashes}
    for side in range(len(reading.thresholds)):
        active = sorted(reading.active(side))
        tau = active[uniform - 1] if len(active) >= uniform else math.inf
        kept = sketch.uniform.hashes[side]
        certified = {h for h in everything if h < certified_below(kept) and h not in kept}
        assert certified == {h for h in everything if h < tau and h not in active}


@given(readings())
def test_statistics_are_what_counting_gives(reading: Reading) -> None:
    sketch = reading.sketch(1, 1)
    assert sketch.n_contexts.tolist() == [len(reading.hashes)]
    edges = histogram_edges().tolist()
    for side in range(len(reading.thresholds)):
        peaks = list(reading.active(side).values())
        assert sketch.n_active[side] == len(peaks)
        assert sketch.peak_sum[side] == sum(round(peak * FIXED_POINT) for peak in peaks)
        inner = [sum(peak >= edge for edge in edges[1:-1]) for peak in peaks]
        assert sketch.histogram[side].tolist() == [inner.count(b) for b in range(BINS)]


def test_both_sides_of_a_signed_unit_by_hand() -> None:
    # Three contexts of two tokens; unit 0 and unit 1 of a signed dictionary, active above 0.5 (1- above 2).
    activations = np.array([[[1, 0], [-2, 0.5]], [[3, -1], [0, -4]], [[-2, 0], [-1, -2]]], np.float32)
    hashes = np.array([30, 10, 20], np.uint64)
    sketch = read(Sketch.empty(4, 2, 2, 2), hashes, activations, np.array([0.5, 0.5, 0.5, 2], np.float32))
    free = int(EMPTY)
    sketch.sort()
    assert sketch.top.hashes.tolist() == [[10, 30], [free, free], [20, 30], [10, free]]  # 20 before 30: a tie
    assert sketch.top.peaks.tolist() == [[3, 1], [0, 0], [2, 2], [4, 0]]
    assert sketch.uniform.hashes.tolist() == [[10, 30], [free, free], [20, 30], [10, free]]
    assert sketch.top.windows.tolist() == [
        [[1, 0], [1, 0]],
        [[0, 0], [0, 0]],
        [[1, 0.5], [0, 1]],
        [[0.25, 1], [0, 0]],
    ]
    assert sketch.n_active.tolist() == [2, 0, 2, 1]
    assert sketch.peak_sum.tolist() == [4 * FIXED_POINT, 0, 4 * FIXED_POINT, 4 * FIXED_POINT]
    # Half octaves from 2^-8: 1 = 2^0 opens bin 16, 2 bin 18, 3 lies in bin 19 (2.83 to 4), 4 opens bin 20.
    assert [np.flatnonzero(row).tolist() for row in sketch.histogram] == [[16, 19], [], [18], [20]]


def test_certified_negatives_by_hand() -> None:
    # Active at 10, 30 and 50, two slots: 20 is certified below 30, while of 40 nothing is known.
    values = np.array([1, 0, 1, 0, 1], np.float32).reshape(5, 1, 1)
    hashes = np.array([10, 20, 30, 40, 50], np.uint64)
    sketch = read(Sketch.empty(1, 1, 2, 1), hashes, values, np.zeros(1, np.float32))
    assert certified_below(sketch.uniform.hashes[0]) == 30
    roomy = read(Sketch.empty(1, 1, 4, 1), hashes, values, np.zeros(1, np.float32))
    assert certified_below(roomy.uniform.hashes[0]) == EMPTY  # every context that is not in it


def test_peaks_beyond_half_precision_survive() -> None:
    values = np.array([[[1e6], [65_504], [3e-3]]], np.float32)
    sketch = read(Sketch.empty(1, 1, 1, 3), np.array([7], np.uint64), values, np.zeros(1, np.float32))
    assert sketch.top.peaks[0, 0] == np.float32(1e6)
    np.testing.assert_allclose(sketch.top.windows[0, 0] * np.float32(1e6), values[0, :, 0], rtol=1e-3, atol=0.1)
    tiny = np.array([[[3e-38], [1.5e-38]]], np.float32)
    sketch = read(Sketch.empty(1, 1, 1, 2), np.array([7], np.uint64), tiny, np.zeros(1, np.float32))
    assert sketch.top.windows[0, 0].tolist() == [1, 0.5]


@pytest.mark.parametrize("edge", [2.0**-7, 1.0, 1024.0])
def test_a_peak_just_below_an_edge_is_in_the_lower_bin(edge: float) -> None:
    values = np.array([edge, np.nextafter(np.float32(edge), np.float32(0))], np.float32).reshape(2, 1, 1)
    sketch = read(Sketch.empty(1, 1, 1, 1), np.array([1, 2], np.uint64), values, np.zeros(1, np.float32))
    at = histogram_edges().tolist().index(edge)
    assert np.flatnonzero(sketch.histogram[0]).tolist() == [at - 1, at]


def test_arrays_come_back() -> None:
    values = np.array([1.5, -2], np.float32).reshape(2, 1, 1)
    sketch = read(Sketch.empty(2, 1, 3, 1), np.array([4, 5], np.uint64), values, np.zeros(2, np.float32))
    assert stored(Sketch.of_arrays(sketch.arrays())) == stored(sketch)


@pytest.mark.parametrize("other", [(1, 2, 4, 2), (1, 3, 3, 2), (1, 3, 4, 1), (2, 3, 4, 2)])
def test_sketches_of_other_shapes_do_not_merge(other: tuple[int, int, int, int]) -> None:
    # A shorter uniform sample, taken for a full one, would certify contexts that it has forgotten.
    with pytest.raises(ValueError, match="same shape"):
        Sketch.empty(1, 3, 4, 2).merge(Sketch.empty(*other))
