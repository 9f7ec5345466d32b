"""Responses into a run: read and checked, predicted from features, and collected by the pass all sources share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neurogloss.errors import UserError
from neurogloss.folder import RunFolder
from neurogloss.ids import derive_seed
from neurogloss.protocols import Embedder, Float32, Progress, Quiet
from neurogloss.settings import ResponseSettings
from neurogloss.sources.brain import voxels
from neurogloss.sources.brain.arrays import read_array
from neurogloss.sources.brain.encoding import Encoding, fit
from neurogloss.sources.brain.experiment import Experiment, read_experiment
from neurogloss.sources.brain.responses import Responses
from neurogloss.sources.brain.stimuli import Row, read_rows
from neurogloss.sources.brain.voxels import Voxels
from neurogloss.sources.cache import Cache
from neurogloss.sources.collector import fill


def collect_responses(
    run: RunFolder, settings: ResponseSettings, embedder: Embedder | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Fill the run's cache with measured responses, or with predicted ones to other stimuli.

    Args:
        embedder: makes features of texts where no features are given.

    Returns:
        The manifest.

    Raises:
        UserError: what the user can mend, and nothing is written.
    """
    progress = progress or Quiet()
    return fill(run, settings, lambda: _open(settings, embedder, progress), progress)


def collect_experiment(
    run: RunFolder,
    settings: ResponseSettings,
    experiment: Experiment,
    embedder: Embedder | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The same of an experiment that is in memory; the settings then name no files that are read."""
    progress = progress or Quiet()
    return fill(run, settings, lambda: _Measured(settings, experiment, embedder, progress), progress)


def _open(settings: ResponseSettings, embedder: Embedder | None, progress: Progress) -> Responses:
    if settings.predicted_by:
        return _Predicted(
            settings, Cache(RunFolder(Path(settings.predicted_by)).require().cache), embedder, progress
        )
    return _Measured(settings, read_experiment(settings), embedder, progress)


class _Measured(Responses):
    """Fits the encoding model before anything is collected, so that nothing is written where it cannot be."""

    def __init__(
        self, settings: ResponseSettings, experiment: Experiment, embedder: Embedder | None, progress: Progress
    ) -> None:
        super().__init__(settings, experiment)
        self._encoding: Encoding | None = None
        self._space = "given" if experiment.features else embedder.name if embedder else ""
        if settings.predict:
            spaces = experiment.features or (_embedded(experiment.stimuli, embedder, progress),)
            progress.start("fitting encoding models", experiment.responses.shape[1], "voxels")
            seed = derive_seed(settings.seed, "encoding")
            self._encoding = fit(spaces, experiment.responses, ~self.is_score, seed, experiment.continuous)

    def write_outputs(self, cache: Path, listeners: object, progress: Progress) -> None:
        """The voxels' own tables."""
        voxels.write(cache, self._experiment, self.is_score, self._encoding, self._space, self._settings.alpha)


class _Predicted(Responses):
    """Responses that another run's encoding model predicts to other stimuli (LaVCa's evidence)."""

    def __init__(
        self, settings: ResponseSettings, measured: Cache, embedder: Embedder | None, progress: Progress
    ) -> None:
        known = Voxels.of(measured)
        if known is None:
            raise UserError(f"Expected measured responses in {settings.predicted_by}, found another kind of run.")
        rows, pictures = read_rows(settings.stimuli, settings.pictures)
        held_out = set(known.about["contents"])
        distinct = {row.content: row for row in rows if f"{row.content:016x}" not in held_out}
        stimuli = tuple(distinct.values())
        if settings.features:
            features = _given(settings, rows, stimuli)
        elif embedder is not None and embedder.name == known.about["space"]:
            features = _embedded(stimuli, embedder, progress)
        else:
            raise UserError(
                f"Expected features of the kind of {settings.predicted_by}, found none. Give --features."
            )
        super().__init__(
            settings,
            Experiment(
                stimuli,
                known.predict(features),
                np.ones(len(stimuli), np.int64),
                known.table["ncsnr"],
                pictures=pictures,
            ),
        )
        self._source = measured.path

    def write_outputs(self, cache: Path, listeners: object, progress: Progress) -> None:
        """The tables of the run with the measured responses: labels are scored against those."""
        voxels.copy(self._source, cache)


def _given(settings: ResponseSettings, rows: Sequence[Row], stimuli: Sequence[Row]) -> Float32:
    """(S, F): the rows of the features files that are of these stimuli."""
    number = {row.content: i for i, row in enumerate(rows)}
    spaces = [np.asarray(read_array(file, "features"), np.float32) for file in settings.features]
    if any(space.ndim != 2 or len(space) != len(rows) for space in spaces):
        found = ", ".join(str(space.shape) for space in spaces)
        raise UserError(f"Expected features as ({len(rows)}, F), one row for each of the table, found {found}.")
    return np.concatenate(spaces, 1)[[number[row.content] for row in stimuli]]


def _embedded(stimuli: tuple[Row, ...], embedder: Embedder | None, progress: Progress) -> Float32:
    missing = sum(not row.text.strip() for row in stimuli)
    if embedder is None or missing:
        raise UserError(
            f"Expected a text for every stimulus to predict responses from, found {missing} of {len(stimuli)} "
            "without. Give captions, or --features, or --no-predict."
        )
    progress.start("embedding stimuli", None, "texts")
    return embedder.embed([row.text for row in stimuli])


def summary(run: RunFolder) -> str:
    """How many voxels there are, and how many of them are predicted above chance."""
    found = Voxels.of(Cache(run.cache))
    assert found is not None
    n, flawed = len(found.table["ncsnr"]), len(found.about["flaws"])
    parts = [f"{n:,} voxels"]
    if "q" in found.table:
        parts.append(f"{int((found.table['q'] <= found.about['alpha']).sum()):,} of them predicted above chance")
    if flawed:
        parts.append(f"{flawed:,} not measured")
    return ", ".join(parts)
