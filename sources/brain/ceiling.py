"""How well the responses of a voxel could be predicted at all: its noise ceiling (Allen et al. 2022, doi:10.1038/
s41593-021-00962-x, methods, "noise ceiling estimation").

1. The noise variance is the variance over repeats of a stimulus, pooled over stimuli.
2. The signal variance is what the variance of the means over stimuli has beyond the noise that is left in them.
3. ncsnr is the ratio of their standard deviations, 0 where there is no signal.
4. Of means over n repeats, ncsnr^2 / (ncsnr^2 + 1 / n) of the variance is signal; where n differs by stimulus, the
   mean of 1 / n takes its place. A correlation with the means cannot be expected to exceed the root of that.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Int = NDArray[np.int64]


def ncsnr(responses: NDArray[np.float32], stimulus: Int) -> Floats:
    """Signal-to-noise ratio of each voxel.

    Args:
        responses: (R, V), one row a presentation.
        stimulus: (R,): which stimulus, from 0.

    Returns:
        (V,), NaN where no stimulus was repeated or fewer than two are there.
    """
    means, repeats = average(responses, stimulus)
    spare = int((repeats - 1).sum())
    if not spare or len(repeats) < 2:
        return np.full(responses.shape[1], np.nan)
    noise = np.square(responses - means[stimulus]).sum(0, dtype=np.float64) / spare
    signal = np.maximum(means.var(0, ddof=1, dtype=np.float64) - noise * (1 / repeats).mean(), 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = np.sqrt(signal / noise)
    return found


def average(responses: NDArray[np.float32], stimulus: Int) -> tuple[NDArray[np.float32], Int]:
    """(S, V) means of each stimulus, and (S,) how many rows are in each."""
    repeats = np.bincount(stimulus)
    sums = np.zeros((len(repeats), responses.shape[1]), np.float32)
    np.add.at(sums, stimulus, responses)
    return (sums / repeats[:, None]).astype(np.float32), repeats


def explainable(ratio: Floats, repeats: Int) -> Floats:
    """(V,) ncsnr to the share of the variance of means over `repeats` that is signal, in [0, 1]."""
    squared = np.square(ratio)
    with np.errstate(invalid="ignore"):
        found: Floats = np.where(np.isinf(squared), 1.0, squared / (squared + (1 / repeats).mean()))
    return found


def ncsnr_of(share: Floats, repeats: Int) -> Floats:
    """The inverse of `explainable`: from shares in [0, 1) to ncsnr."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.sqrt(share / (1 - share) * (1 / repeats).mean())
    return found
