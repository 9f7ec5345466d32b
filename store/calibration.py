"""How probable it is that two units are the same, from several kinds of evidence.

1. Planted pairs, of which the truth is known: up to UNITS units of A beside a copy of each. A share of every copy
   is noise, drawn uniformly from 0 to 1 and the same for all kinds; a copy's text is another explanation of it.
2. The pairs asked about are those that a comparison would look at: of every kind the most alike, and each unit
   with its own copy. A pair is the same where it is a unit and its copy.
3. Logistic regression on the kinds (scikit-learn, standardised), one for each set of kinds that pairs have.
4. How good it is: a second regression on half of the units, asked about the other half; Brier score beside that of
   saying the share of same pairs for all.

A probability is only as good as the copies are like real twins: of two pairs it says which is more probably the
same, and where the planted pairs part. Without enough same pairs of a kind there is none: NaN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurogloss.ids import derive_seed
from neurogloss.protocols import Float32
from neurogloss.store.measures import Measure, nearest

UNITS = 2_048
"""Planted at most."""
CANDIDATES = 5
"""Most alike units of each, of every kind."""
ENOUGH = 20
"""Same pairs that a regression takes at least, and others."""


@dataclass(frozen=True)
class Calibration:
    """Regressions by the kinds that they use."""

    kinds: tuple[str, ...]
    """In the order of columns."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Kinds that say nothing of the probability, and why."""
    pairs: int = 0
    """Planted pairs that it was made from."""
    brier: float = math.nan
    """Mean squared error on the units that were held out; NaN where there is no regression."""
    brier_floor: float = math.nan
    """Of saying the share of same pairs for all."""
    values: Float32 | None = None
    """(pairs, kinds) of planted pairs."""
    same: NDArray[np.bool_] | None = None
    """(pairs,)"""

    def probability(self, values: Float32) -> Float32:
        """(P, kinds) to (P,) in [0, 1]; NaN where no regression fits."""
        found = np.full(len(values), np.nan, np.float32)
        if self.values is None or self.same is None:
            return found
        usable = ~np.isnan(values) & np.array([kind not in self.missing for kind in self.kinds])
        for pattern in np.unique(usable, axis=0):
            rows = (usable == pattern).all(1)
            whole = ~np.isnan(self.values[:, pattern]).any(1)
            model = _fit(self.values[whole][:, pattern], self.same[whole])
            if model is not None:
                found[rows] = model.predict_proba(values[rows][:, pattern])[:, 1]
        return found


def calibrate(measures: Sequence[Measure], seed: int) -> Calibration:
    """From copies of the units of A."""
    kinds = tuple(measure.name for measure in measures)
    n = measures[0].shape[0]
    rng = np.random.default_rng(derive_seed(seed, "planted"))
    rows = np.sort(rng.permutation(n)[:UNITS])
    strength = rng.random(len(rows), np.float32)
    planted = [measure.planted(rows, strength, seed) for measure in measures]
    missing = {
        kind: "no second explanation of a unit is at hand"
        for kind, p in zip(kinds, planted, strict=True)
        if p is None
    }
    found = [each for each in planted if each is not None]
    if not found:
        return Calibration(kinds, missing)
    own = np.arange(len(rows)) * (len(rows) + 1)
    pairs = [nearest(measure, CANDIDATES).keys(len(rows)) for measure in found]
    i, j = np.divmod(np.unique(np.concatenate([own, *pairs])), len(rows))
    values = np.stack([np.full(len(i), np.nan, np.float32) if p is None else p.at(i, j) for p in planted], 1)
    same = i == j
    for column, kind in enumerate(kinds):
        known = int((same & ~np.isnan(values[:, column])).sum())
        if kind not in missing and known < ENOUGH:
            missing[kind] = f"{known} planted pairs, fewer than {ENOUGH}"
    first = rng.random(len(rows))[i] < 0.5
    made = Calibration(kinds, missing, len(i), values=values[first], same=same[first])
    says = made.probability(values[~first])
    asked = ~np.isnan(says)
    truth = same[~first][asked]
    brier = float(np.mean((says[asked] - truth) ** 2)) if asked.any() else math.nan
    floor = float(np.mean((truth.mean() - truth) ** 2)) if asked.any() else math.nan
    return Calibration(kinds, missing, len(i), brier, floor, values, same)


def _fit(values: Float32, same: NDArray[np.bool_]) -> Any:
    """None where there is too little to learn from."""
    if not values.shape[1] or min(same.sum(), (~same).sum()) < ENOUGH:
        return None
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression()).fit(values, same)
