"""Responses as a matrix, each row beside what it answers to.

1. Each file gives (rows, voxels), scaled where that is asked for; those of all files come one after another.
2. A row belongs to the row of the table in its place.
3. Where rows are scans and the table holds words, a scan's stimulus is the words that it answers to: blood flow
   follows what was heard by 2 to 8 seconds, so the text of the scan at time t is the words that began in
   [t - 8, t - 2).
4. Features of words are brought to the times of scans by a Lanczos filter that cuts off what is faster than scans
   can follow (Huth et al. 2016, doi:10.1038/nature17637), and given once for each of several delays, so that a
   regression fits the shape of the hemodynamic response, and does not assume it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurogloss.errors import UserError
from neurogloss.ids import hash64
from neurogloss.protocols import Float32
from neurogloss.settings import ResponseSettings
from neurogloss.sources.brain.reading import Row, is_nifti, read_array

NSD_SCALE = 300.0
"""Volume betas of the Natural Scenes Dataset are percent signal change times this."""
HUGE = 100.0
"""Spread of responses from which on they are no percentages and no z-scores."""

SOME = 2000
"""Rows on which the spread is measured."""
FROM, TO = 8.0, 2.0
"""Seconds before a scan in which the words begin that it answers to."""
DELAYS = (1, 2, 3, 4)
"""Scans; about 2 to 8 seconds at the usual rate."""
Parts = Sequence[NDArray[np.generic]]


@dataclass(frozen=True, eq=False)
class Table:
    """R presentations."""

    rows: tuple[Row, ...]
    responses: Float32
    """(R, V)"""
    sessions: list[str]
    """Of each row; the file's name where the table says nothing."""
    features: list[Float32]
    """(R, F) of each feature space that was given."""


def read_table(listed: tuple[Row, ...], settings: ResponseSettings) -> Table:
    """The responses of the settings' files beside the table's rows. Raises UserError where they do not fit."""
    parts = _parts(settings)
    features = [np.asarray(read_array(file, "features"), np.float32) for file in settings.features]
    for file, each in zip(settings.features, features, strict=True):
        if each.ndim != 2 or len(each) != len(listed):
            raise UserError(
                f"Expected features as ({len(listed)}, F) in {file}, one row for each of the table, found shape "
                f"{each.shape}."
            )
    if settings.tr is not None:
        table = _scans(listed, parts, features, settings)
    else:
        files = [Path(file).stem for file, part in zip(settings.responses, parts, strict=True) for _ in part]
        responses = _aligned(parts, len(listed), settings)
        sessions = [row.session or file for row, file in zip(listed, files, strict=True)]
        table = Table(listed, responses, sessions, features)
    _check_scale(table.responses, settings)
    return table


def _parts(settings: ResponseSettings) -> Parts:
    """What each file holds, of the same voxels."""
    parts = [_responses(file, settings) for file in settings.responses]
    if not parts:
        raise UserError("Expected files of responses, found none. Give them with --responses.")
    if len({part.shape[1] for part in parts}) > 1:
        found = zip(settings.responses, parts, strict=True)
        counts = ", ".join(f"{file}: {part.shape[1]}" for file, part in found)
        raise UserError(
            f"Expected the same voxels in all files, found {counts}. One may be of another participant or mask."
        )
    return parts


def _responses(file: str, settings: ResponseSettings) -> NDArray[np.generic]:
    """(rows, voxels) of one file."""
    array = read_array(file, "responses")
    if is_nifti(file) or array.ndim == 4:
        array = _masked(array, file, settings.mask)
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise UserError(
            f"Expected numbers as (rows, voxels) in {file}, found {array.dtype} of shape {array.shape}. "
            "Save one row a stimulus."
        )
    if settings.scale == "nsd":
        return np.asarray(array, np.float32) / np.float32(NSD_SCALE)
    if array.dtype.kind in "iu" and settings.standardize == "none":
        raise UserError(
            f"Expected percent signal change or z-scores in {file}, found whole numbers ({array.dtype}), as "
            "volume betas are stored. Say --scale nsd (divides by 300), or --standardize session."
        )
    return array


def _masked(volume: NDArray[np.generic], file: str, mask: str) -> NDArray[np.generic]:
    """(X, Y, Z, rows) and a mask to (rows, voxels), the voxels in the mask's own order.

    HDF5 that MATLAB wrote, as of NSD, reads as (rows, Z, Y, X).
    """
    if not mask:
        raise UserError(f"Expected a mask for the volumes of {file}, found none. Give one with --mask.")
    inside = np.asarray(read_array(mask, "a mask")) > 0
    if volume.ndim == 4 and volume.shape[:3] != inside.shape == volume.shape[:0:-1]:
        volume = volume.T
    if volume.ndim != 4 or inside.shape != volume.shape[:3]:
        raise UserError(
            f"Expected a mask of shape {volume.shape[:3]}, that of the volumes in {file}, found {inside.shape} in "
            f"{mask}. It may be of another participant, or of another resolution."
        )
    return volume[inside].T


def _aligned(parts: Parts, n: int, settings: ResponseSettings) -> Float32:
    """All rows one after another. Raises UserError where there are not as many as stimuli."""
    rows = sum(len(part) for part in parts)
    if rows == n:
        return np.concatenate([np.asarray(part, np.float32) for part in parts])
    if len(parts) == 1 and parts[0].shape[1] == n:
        raise UserError(
            f"Expected (rows, voxels) = ({n}, …) in {settings.responses[0]}, found {parts[0].shape}: the axes are "
            "swapped. Save the transpose."
        )
    raise UserError(
        f"Expected as many rows of responses as rows in {settings.stimuli} ({n}), found {rows} rows of "
        f"{parts[0].shape[1]} voxels. Does the table list every presentation, in order?"
    )


def _scans(
    words: Sequence[Row],
    parts: Parts,
    features: Sequence[Float32],
    settings: ResponseSettings,
) -> Table:
    """Each scan with words before it as a stimulus; scans in silence are left out."""
    assert settings.tr is not None
    names = [Path(file).stem for file in settings.responses]
    told = {word.session for word in words}
    if told - {""} and set(names) != told:
        raise UserError(
            f"Expected a file of responses for each session of {settings.stimuli} ({', '.join(sorted(told))}), "
            "named "
            f"after it, found {', '.join(names)}."
        )
    if any(np.isnan(word.onset) for word in words):
        raise UserError(
            f"Expected an onset for every word in {settings.stimuli}, found rows without. Fill them in."
        )
    rows: list[Row] = []
    kept: list[Float32] = []
    spaces: list[list[Float32]] = [[] for _ in features]
    for name, part in zip(names, parts, strict=True):
        mine = np.array([i for i, word in enumerate(words) if word.session in ("", name)])
        onsets = np.array([words[i].onset for i in mine])
        mine, onsets = mine[np.argsort(onsets, kind="stable")], np.sort(onsets)
        times: NDArray[np.float64] = (settings.first_tr + np.arange(len(part), dtype=np.float64)) * settings.tr
        texts = windows(onsets.tolist(), [words[i].text for i in mine], times)
        heard = [i for i, text in enumerate(texts) if text]
        rows += [
            Row(texts[i], id=f"{name}:{i}", split=words[mine[0]].split, session=name, onset=float(times[i]),
                content=hash64(name, i, texts[i]))
            for i in heard
        ]  # fmt: skip
        kept.append(np.asarray(part, np.float32)[heard])
        for space, each in zip(spaces, features, strict=True):
            space.append(delayed(lanczos(each[mine], onsets, times))[heard])
    return Table(
        tuple(rows), np.concatenate(kept), [row.session for row in rows], [np.concatenate(s) for s in spaces]
    )


def _check_scale(responses: Float32, settings: ResponseSettings) -> None:
    """Raise UserError where responses are neither percentages nor z-scores, and will not become any."""
    spreads = np.nan_to_num(responses[:SOME]).std(0)
    spread = float(np.median(spreads[spreads > 0])) if spreads.any() else 0.0
    if settings.standardize != "session" and spread > HUGE:
        raise UserError(
            f"Expected percent signal change or z-scores, found responses that spread by {spread:.4g}: betas as "
            "they are stored, or raw signal. Say --scale nsd (divides by 300) or --standardize session."
        )


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
