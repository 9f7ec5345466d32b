"""What is known of a voxel beside its evidence: how it responds to held-out stimuli, and how it is predicted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurogloss.ids import UnitId

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One side of a voxel's measured responses to the stimuli of the score half."""

    texts: tuple[str, ...]
    """S captions or sentences."""
    responses: Float32
    """(S,), along the unit's sign, averaged over repeats."""
    region: Float32
    """(n, S): the same of other voxels of its region, drawn by a seed; of any, where it has no region."""
    ceiling: float
    """The largest correlation with these responses that noise allows, in [0, 1]; NaN where unknown."""
    stability: float = math.nan
    """Correlation of what two encoding models with features of two kinds predict for it; NaN where unknown."""


@dataclass(frozen=True, slots=True, eq=False)
class Readout:
    """One side of a voxel as a direction in the space of an embedder."""

    embedder: str
    """Name of the embedder that made the features."""
    weights: Float32
    """(F,): what each feature adds to the predicted response."""
    mean: Float32
    """(F,): mean feature of the stimuli that it was fitted on."""


MeasuredOf = Callable[[UnitId], Measured]
"""Raises UserError where the unit is no voxel of the run."""
ReadoutOf = Callable[[UnitId], Readout]
