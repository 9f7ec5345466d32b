"""Text that was heard or read without a break: which words a scan answers to, and features at the times of scans.

1. The blood flow that a scan measures follows what was heard by 2 to 8 seconds: the text of the scan at time t is
   the words that began in [t - 8, t - 2).
2. Features of words are brought to the times of scans by a Lanczos filter that cuts off what is faster than scans
   can follow (Huth et al. 2016, doi:10.1038/nature17637).
3. For a regression they are given once for each of several delays, so that the shape of the hemodynamic response
   is fitted, and not assumed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurogloss.protocols import Float32

FROM, TO = 8.0, 2.0
"""Seconds before a scan in which the words begin that it answers to."""
DELAYS = (1, 2, 3, 4)
"""Scans; about 2 to 8 seconds at the usual rate."""


def windows(onsets: Sequence[float], words: Sequence[str], times: NDArray[np.float64]) -> list[str]:
    """The text of each scan.

    Args:
        onsets: of the words, in seconds, ascending.
        times: (T,) of the scans, in seconds.
    """
    first, last = np.searchsorted(onsets, times - FROM, "left"), np.searchsorted(onsets, times - TO, "left")
    return [" ".join(words[a:b]) for a, b in zip(first.tolist(), last.tolist(), strict=True)]


def lanczos(features: Float32, onsets: NDArray[np.float64], times: NDArray[np.float64], lobes: int = 3) -> Float32:
    """(W, F) features at `onsets` to (T, F) at `times`; the cutoff is half the rate of `times`' sampling theorem,
    1 / mean interval as the Huth lab has it.
    """
    rate = 1 / float(np.diff(times).mean())
    x = (times[:, None] - onsets[None, :]) * rate
    filtered = np.where(np.abs(x) < lobes, np.sinc(x) * np.sinc(x / lobes), 0.0)
    found: Float32 = (filtered @ features).astype(np.float32)
    return found


def delayed(features: Float32, delays: Sequence[int] = DELAYS) -> Float32:
    """(T, F) to (T, F x delays): row t holds those of t - d for each delay, 0 before the first."""
    parts = []
    for delay in delays:
        part = np.zeros_like(features)
        part[delay:] = features[: len(features) - delay]
        parts.append(part)
    return np.concatenate(parts, 1)
