"""What the sketches hold of some units of one site, read in one go, for less than one by one.

1. The rows of all units are taken out of each mapped array at once.
2. Both samples are put into the order of their peaks; the uniform one lies by hash.
3. Windows hold activations as shares of the peak, nearly all of them zero: only the others are multiplied out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, repeat
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neurogloss.records import Activity, Context, Example, OutputTokens, UnitStatistics
from neurogloss.sources.corpus import Half
from neurogloss.sources.pairs import Int
from neurogloss.sources.sketch import FIXED_POINT, PARTS

DENSE = 0.5
"""A unit that is active in a larger share of contexts is dense."""

Kind = Literal["top", "uniform"]
KINDS: tuple[Kind, Kind] = ("top", "uniform")


@dataclass(frozen=True, slots=True)
class Block:
    """B units of one site."""

    sides: Int
    """(B,): their rows in the arrays."""
    halves: Mapping[Half, Mapping[str, NDArray[Any]]]
    """The site's sketches."""
    thresholds: NDArray[np.float32]
    """Of all the site's sides."""
    context: Callable[[int], Context]
    """By hash."""
    grid: tuple[int, int] | None
    units: int
    """Of the site; the sides of negative signs come after as many."""
    logits: Mapping[str, NDArray[Any]] | None
    """What `neurogloss.sources.outputs` wrote of the site; None where it has no way to the logits."""
    words: Mapping[int, str]
    """The text of the tokens in it."""

    def statistics(self) -> list[UnitStatistics]:
        """Counts over both halves, a unit."""
        n_active, peak_sum, histogram = (self._sum(name) for name in ("n_active", "peak_sum", "histogram"))
        maxima = np.maximum(*(arrays["top_peaks"][self.sides, 0] for arrays in self.halves.values()))
        means = peak_sum / FIXED_POINT / np.maximum(n_active, 1)
        columns = (n_active, self.thresholds[self.sides], maxima, means, histogram)
        *counts, histograms = (column.tolist() for column in columns)
        return list(map(UnitStatistics, repeat(self._n_contexts), *counts, map(tuple, histograms)))

    def activities(self) -> list[Activity]:
        """How often each unit fires: see `neurogloss.records.Activity`; dense comes before rare."""
        full = self.halves["explain"]["uniform_hashes"].shape[1]
        fewest = np.minimum(*(arrays["n_active"][self.sides] for arrays in self.halves.values()))
        dense = DENSE * self._n_contexts

        def activity(n_active: int, fewest: int) -> Activity:
            if not n_active:
                return Activity.DEAD
            if n_active > dense:
                return Activity.DENSE
            return Activity.RARE if fewest < full else Activity.USUAL

        return list(map(activity, self._sum("n_active").tolist(), fewest.tolist()))

    def output_tokens(self, n: int = 10) -> list[OutputTokens | None]:
        """What each unit's side promotes and suppresses; None where its direction has no way to the logits."""
        if self.logits is None:
            return [None] * len(self.sides)
        rows, is_negative = self.sides % self.units, (self.sides >= self.units)[:, None]
        ends = {
            end: (self.logits[end][rows, :n], self.logits[f"{end}_logits"][rows, :n]) for end in ("high", "low")
        }

        def end(of_positive: str, of_negative: str) -> Iterator[tuple[tuple[str, float], ...]]:
            (tokens, logits), (others, theirs) = ends[of_positive], ends[of_negative]
            columns = np.where(is_negative, others, tokens), np.where(is_negative, -theirs, logits)
            for ids, values in zip(*(column.tolist() for column in columns), strict=True):
                yield tuple(zip(map(self.words.__getitem__, ids), values, strict=True))

        kurtosis = self.logits["kurtosis"][rows].tolist()
        return list(map(OutputTokens, end("high", "low"), end("low", "high"), kurtosis))

    def uniform_hashes(self, half: Half) -> NDArray[np.uint64]:
        """(B, U) hashes of the uniform samples, ascending, EMPTY in free slots."""
        hashes: NDArray[np.uint64] = self.halves[half]["uniform_hashes"][self.sides]
        return hashes

    def samples(self, half: Half, kind: Kind, n: int | None = None) -> Iterator[list[Example]]:
        """The kept contexts of one sample of each unit, by descending peak, the first n at most."""
        hashes, peaks, windows = (self.halves[half][f"{kind}_{part}"] for part in PARTS)
        slots, width = windows.shape[1:]
        order = np.argsort(-peaks[self.sides], 1, kind="stable")[:, :n]
        at = self.sides[:, None] * slots + order
        filled = peaks.ravel()[at] != 0
        at = at[filled]
        return self._examples(
            filled.sum(1), hashes.ravel()[at], peaks.ravel()[at], windows.reshape(-1, width).take(at, 0)
        )

    def _examples(
        self, counts: Int, hashes: NDArray[np.uint64], peaks: NDArray[np.float32], windows: NDArray[np.float16]
    ) -> Iterator[list[Example]]:
        """(B,) how many a unit, then (n,), (n,), (n, W) of all units: to each unit's examples."""
        cells, width = self.grid and self.grid[0] * self.grid[1], windows.shape[1]
        at = (windows.view(np.uint16) != 0).ravel().nonzero()[0]
        row, token = np.divmod(at, width)
        values = windows.ravel()[at] * peaks[row]
        ends = counts.cumsum()
        row -= np.repeat(ends - counts, counts)[row]
        contexts = map(self.context, hashes.tolist())
        active = zip(row.tolist(), token.tolist(), values.tolist(), strict=True)
        n_active = np.diff(at.searchsorted(ends * width), prepend=0)
        for count, n in zip(counts.tolist(), n_active.tolist(), strict=True):
            there = list(islice(contexts, count))
            rows = [[0.0] * (cells or len(context.tokens)) for context in there]
            for i, j, value in islice(active, n):
                rows[i][j] = value
            yield list(map(Example, there, map(tuple, rows), repeat(self.grid)))

    @property
    def _n_contexts(self) -> int:
        return sum(int(arrays["n_contexts"][0]) for arrays in self.halves.values())

    def _sum(self, name: str) -> NDArray[np.int64]:
        """(B, …): a count over both halves."""
        total: NDArray[np.int64] = sum(arrays[name][self.sides] for arrays in self.halves.values())  # type: ignore[assignment]
        return total
