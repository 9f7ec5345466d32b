"""Encoding models: responses of voxels predicted from features of the stimuli, by ridge regression (himalaya).

1. Features are centred on the training stimuli and scaled by one number, so that directions stay what they are.
2. Each voxel has its own regularisation, chosen by cross-validation over stretches of the training stimuli;
   several feature spaces each have their own as well (banded ridge: Nunez-Elizalde et al. 2019, Dupré la Tour et
   al. 2022).
3. What was fitted is tested on the held-out stimuli: r is the correlation of predicted with measured responses.
4. A voxel is predicted above chance where its r is, at a false discovery rate over all voxels (Benjamini &
   Hochberg 1995). p comes from the t distribution; of stimuli that follow each other without a break, from
   permutations of blocks, because neighbours are alike.
5. Of two feature spaces each is fitted by itself as well: a voxel is stable as far as both predict alike what it
   does on held-out stimuli (Singh et al. 2023, arXiv:2305.09863: of unstable voxels explanations hold less).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurogloss.errors import UserError
from neurogloss.protocols import Float32
from neurogloss.sources.brain.reading import package

ALPHAS = np.logspace(-2, 5, 15)
FOLDS = 5
AT_ONCE = 4096
"""Voxels in one product."""
BLOCK = 10
"""Scans in a block that is permuted as a whole (Huth et al. 2016)."""
PERMUTATIONS = 1000
FEWEST = 10
"""Stimuli of a split at least."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Encoding:
    """What predicts V voxels from F features, and how well."""

    weights: Float32
    """(F, V)"""
    intercept: Float32
    """(V,)"""
    mean: Float32
    """(F,) of the training stimuli."""
    r: Floats
    """(V,): correlation with held-out responses; NaN where a side does not vary."""
    p: Floats
    """(V,): the chance of such an r, one-sided."""
    q: Floats
    """(V,): the same, adjusted over voxels."""
    stability: Floats | None = None
    """(V,): correlation of held-out predictions from the first two feature spaces; None where there is one."""


def fit(
    spaces: Sequence[Float32], responses: Float32, train: NDArray[np.bool_], seed: int, continuous: bool = False
) -> Encoding:
    """Fit on the training stimuli, test on the others.

    Args:
        spaces: (S, F_i) of each feature space.
        responses: (S, V).
        train: (S,)
        continuous: whether neighbouring rows are alike.

    Raises:
        MissingExtra: himalaya is not installed.
        UserError: too few stimuli on a side, or features that are not finite.
    """
    n_train, n_test = int(train.sum()), int((~train).sum())
    if min(n_train, n_test) < FEWEST:
        raise UserError(
            f"Expected {FEWEST} stimuli or more to fit on and to test on, found {n_train} and {n_test}. Give "
            "more, or say --no-predict."
        )
    features = np.concatenate(spaces, 1)
    if not np.isfinite(features).all():
        raise UserError("Expected finite numbers as features, found NaN or infinity. Mend the features file.")
    weights, intercept, mean = _fitted(spaces, responses, train, seed)
    r, p = _tested(predict(features[~train], weights, intercept, mean), responses[~train], seed, continuous)
    stability = None
    if len(spaces) > 1:
        alone = [_fitted([space], responses, train, seed) for space in spaces[:2]]
        first, second = (predict(s[~train], *fitted) for s, fitted in zip(spaces[:2], alone, strict=True))
        stability = _tested(first, second, seed, continuous=False)[0]
    return Encoding(weights, intercept, mean, r, p, adjusted(p), stability)


def predict(features: Float32, weights: Float32, intercept: Float32, mean: Float32) -> Float32:
    """(n, F) features to (n, V) responses."""
    return ((features - mean) @ weights + intercept).astype(np.float32, copy=False)


def _fitted(
    spaces: Sequence[Float32], responses: Float32, train: NDArray[np.bool_], seed: int
) -> tuple[Float32, Float32, Float32]:
    """(F, V) weights, (V,) intercepts and the (F,) mean of the features."""
    features = np.concatenate([space[train] for space in spaces], 1)
    mean = features.mean(0)
    size = np.float32(np.sqrt(np.square(features - mean).sum(1).mean())) or np.float32(1)
    widths = [space.shape[1] for space in spaces]
    weights, intercept = _solve((features - mean) / size, responses[train], widths, seed)
    return weights / size, intercept, mean


def _solve(x: Float32, y: Float32, widths: Sequence[int], seed: int) -> tuple[Float32, Float32]:
    """(F, V) weights and (V,) intercepts."""
    ridge, kernel_ridge = package("himalaya.ridge"), package("himalaya.kernel_ridge")
    batches = {"n_targets_batch": AT_ONCE, "n_targets_batch_refit": AT_ONCE}
    centre = y.mean(0)
    if len(widths) > 1:
        groups = np.repeat(np.arange(len(widths)), widths)
        model = ridge.GroupRidgeCV(
            groups=groups,
            cv=FOLDS,
            random_state=seed % 2**32,
            solver_params={"n_iter": 20, "alphas": ALPHAS, "progress_bar": False, "warn": False, **batches},
        ).fit(x, y - centre)
        return np.asarray(model.coef_, np.float32), centre
    if x.shape[1] > len(x):
        kernel = kernel_ridge.KernelRidgeCV(alphas=ALPHAS, cv=FOLDS, solver_params=batches, warn=False).fit(
            x, y - centre
        )
        return np.asarray(kernel.get_primal_coef(x), np.float32), centre
    model = ridge.RidgeCV(alphas=ALPHAS, cv=FOLDS, solver_params={"warn": False, **batches}).fit(x, y - centre)
    return np.asarray(model.coef_, np.float32), centre


def _tested(predicted: Float32, measured: Float32, seed: int, continuous: bool) -> tuple[Floats, Floats]:
    """Correlations of columns, and the chances of them."""
    from scipy.stats import pearsonr

    varies = (np.ptp(predicted, axis=0) > 0) & (np.ptp(measured, axis=0) > 0)
    r, p = np.full(len(varies), np.nan), np.full(len(varies), np.nan)
    found = pearsonr(predicted[:, varies], measured[:, varies], alternative="greater", axis=0)
    r[varies], p[varies] = found.statistic, found.pvalue
    if continuous:
        p[varies] = _permuted(predicted[:, varies], measured[:, varies], r[varies], seed)
    return r, p


def _permuted(predicted: Float32, measured: Float32, r: Floats, seed: int) -> Floats:
    """The share of permutations of blocks that reach r, the one that was measured among them."""
    rng = np.random.default_rng(seed)
    x, y = (_standard(each) for each in (predicted, measured))
    blocks = np.array_split(np.arange(len(y)), max(len(y) // BLOCK, 2))
    reached = np.ones(len(r))
    for _ in range(PERMUTATIONS):
        order = np.concatenate([blocks[i] for i in rng.permutation(len(blocks))])
        reached += (x * y[order]).mean(0) >= r
    return reached / (PERMUTATIONS + 1)


def _standard(values: Float32) -> Float32:
    found: Float32 = (values - values.mean(0)) / values.std(0)
    return found


def adjusted(p: Floats) -> Floats:
    """p-values adjusted for the false discovery rate; NaN where undefined."""
    from scipy.stats import false_discovery_control

    q, known = np.full(len(p), np.nan), ~np.isnan(p)
    if known.any():
        q[known] = false_discovery_control(p[known])
    return q
