"""An experiment as it is worked with: distinct stimuli, mean responses, noise ceilings, regions. Checked strictly.

1. Rows of responses are held against the table of stimuli (`neurogloss.sources.brain.matrix`).
2. Voxels that were not measured are set apart. Where it is asked for, each is z-scored within each session.
3. Rows with the same stimulus are repeats: their mean is the response, their spread gives the noise ceiling (Allen
   et al. 2022, doi:10.1038/s41593-021-00962-x, methods, "noise ceiling estimation"):
4. The noise variance is the variance over repeats of a stimulus, pooled over stimuli. The signal variance is what
   the variance of the means over stimuli has beyond the noise that is left in them. ncsnr is the ratio of their
   standard deviations, 0 without signal.
5. Of means over n repeats, ncsnr^2 / (ncsnr^2 + 1 / n) of the variance is signal; if n differs by stimulus, the
   mean of 1 / n takes its place. A correlation with the means cannot be expected to exceed the root of that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neurogloss.errors import UserError
from neurogloss.ids import content_id
from neurogloss.protocols import Float32
from neurogloss.settings import ResponseSettings
from neurogloss.sources.brain.matrix import read_table
from neurogloss.sources.brain.reading import Row, is_nifti, read_array, read_named, read_rows

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


@dataclass(frozen=True, eq=False)
class Experiment:
    """S distinct stimuli and the mean responses of V voxels to them."""

    stimuli: tuple[Row, ...]
    responses: Float32
    """(S, V), finite; 0 throughout where a voxel is flawed."""
    repeats: Int
    """(S,): presentations in each mean."""
    ncsnr: Floats
    """(V,): signal-to-noise ratio of one presentation; NaN where unknown."""
    flaws: Mapping[int, str] = field(default_factory=dict)
    """Voxels that were not measured, and why."""
    rois: Mapping[str, Int] = field(default_factory=dict)
    """Regions by name: indices of their voxels."""
    pictures: str = ""
    """Folder that paths of images start from."""
    features: tuple[Float32, ...] = ()
    """(S, F) of each feature space that was given."""
    continuous: bool = False
    """Whether stimuli follow each other without a break: those of one session then stay in one half."""

    @property
    def fingerprint(self) -> str:
        """Hash of stimuli and responses."""
        digest = hashlib.blake2b(np.ascontiguousarray(self.responses).tobytes(), digest_size=16).hexdigest()
        return content_id([digest, [row.content for row in self.stimuli]])


def read_experiment(settings: ResponseSettings) -> Experiment:
    """What the settings name.

    Raises:
        UserError: what does not fit together: what was expected, what was found, and what to do.
    """
    listed, pictures = read_rows(settings.stimuli, settings.pictures)
    table = read_table(listed, settings)
    _check_splits(table.rows)
    responses, flaws = _mended(table.responses)
    if settings.standardize == "session":
        responses = zscored(responses, table.sessions)
    which, first = _distinct(table.rows)
    means, repeats = average(responses, which)
    return Experiment(
        tuple(table.rows[i] for i in first),
        means,
        repeats,
        _ceiling(settings, responses, which, repeats),
        flaws,
        read_rois(settings.rois, settings.mask, means.shape[1]) if settings.rois else {},
        pictures,
        tuple(each[first] for each in table.features),
        settings.tr is not None,
    )


def _distinct(rows: Sequence[Row]) -> tuple[Int, list[int]]:
    """Of each row its stimulus, numbered in the order in which they are first met; and where that is."""
    contents = np.array([row.content for row in rows], np.uint64)
    _, first, inverse = np.unique(contents, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return np.argsort(order)[inverse], first[order].tolist()


def _mended(responses: Float32) -> tuple[Float32, dict[int, str]]:
    """Finite responses, and the voxels that were not measured."""
    finite = np.isfinite(responses)
    if not finite.any():
        raise UserError("Expected numbers as responses, found NaN alone. Check the mask and the files.")
    missing = (~finite).sum(0)
    flaws = {int(v): f"not a number in {missing[v]} of {len(responses)} rows" for v in np.flatnonzero(missing)}
    constant = np.flatnonzero((missing == 0) & (np.ptp(np.where(finite, responses, 0), axis=0) == 0))
    flaws |= {int(v): "the same response to everything" for v in constant}
    mended = responses.copy()
    mended[:, list(flaws)] = 0
    return mended, dict(sorted(flaws.items()))


def zscored(responses: Float32, sessions: Sequence[str]) -> Float32:
    """(R, V) with mean 0 and standard deviation 1 a voxel within each session; constant ones are 0."""
    found = np.zeros_like(responses)
    names = np.array(sessions)
    for session in dict.fromkeys(sessions):
        mine = names == session
        part = responses[mine]
        spread = part.std(0)
        found[mine] = (part - part.mean(0)) / np.where(spread > 0, spread, 1)
    return found


def _check_splits(rows: Sequence[Row]) -> None:
    """Raise UserError where a stimulus is in both splits, or some have none."""
    found: dict[int, set[str]] = {}
    for row in rows:
        found.setdefault(row.content, set()).add(row.split)
    leaks = [row for row in rows if found[row.content] >= {"train", "test"}]
    if leaks:
        named = ", ".join(dict.fromkeys(row.id or row.path or repr(row.text[:40]) for row in leaks[:20]))
        raise UserError(
            f"Expected each stimulus in one split, found {len({row.content for row in leaks})} in train and test: "
            f"{named[:200]}. What is tested on must not be trained on: move or remove them."
        )
    if any("" in splits for splits in found.values()) and any(splits != {""} for splits in found.values()):
        raise UserError("Expected a split for every row or for none, found some without. Fill the column in.")


def _ceiling(settings: ResponseSettings, responses: Float32, which: Int, repeats: Int) -> Floats:
    if not settings.ceiling:
        return ncsnr(responses, which)
    given = np.asarray(read_array(settings.ceiling, "noise ceilings"), float)
    if given.ndim == 3 and settings.mask:
        given = given[np.asarray(read_array(settings.mask, "a mask")) > 0]
    if given.shape != (responses.shape[1],):
        raise UserError(
            f"Expected {responses.shape[1]} noise ceilings in {settings.ceiling}, one a voxel, found shape "
            f"{given.shape}. It may be of another participant or mask."
        )
    if settings.ceiling_kind == "ncsnr":
        if np.nanmax(given, initial=0) > 20 or np.nanmin(given, initial=0) < 0:
            raise UserError(
                f"Expected signal-to-noise ratios in {settings.ceiling}, found up to {np.nanmax(given):.3g}. "
                "Percentages are read with --ceiling-kind percent."
            )
        return given
    if np.nanmax(given, initial=0) > 100 or np.nanmin(given, initial=0) < 0:
        raise UserError(f"Expected 0 to 100 per cent in {settings.ceiling}, found other numbers.")
    return ncsnr_of(given / 100, repeats)


def read_rois(file: str, mask: str, n_voxels: int) -> dict[str, Int]:
    """Regions by name: indices of their voxels. Raises UserError where they are of other voxels."""
    if is_nifti(file):
        if not mask:
            raise UserError(f"Expected a mask beside the labels of {file}, found none. Give one with --mask.")
        labels, inside = read_array(file, "regions"), np.asarray(read_array(mask, "a mask")) > 0
        if labels.shape != inside.shape:
            raise UserError(f"Expected labels of shape {inside.shape} in {file}, found {labels.shape}.")
        values = np.asarray(labels)[inside]
        found = {f"{int(label)}": values == label for label in np.unique(values) if label > 0}
    else:
        found = dict(read_named(file, "regions"))
    rois: dict[str, Int] = {}
    for name, value in found.items():
        if value.dtype == bool and value.shape == (n_voxels,):
            rois[name] = np.flatnonzero(value)
        elif value.dtype.kind in "iu" and value.ndim == 1 and (value >= 0).all() and (value < n_voxels).all():
            rois[name] = np.unique(value.astype(np.int64))
        else:
            raise UserError(
                f"Expected indices below {n_voxels} or as many true and false values for the region {name!r} of "
                f"{file}, found {value.dtype} of shape {value.shape}, up to {value.max() if value.size else 0}. "
                "It may be of another participant or mask."
            )
    return rois
