"""Responses of voxels into a run: the source of a pass that has no model to run.

1. A stimulus is a context with one vector, its row of the responses, measured or predicted from features. It is in
   the explain half if the table says train, in the score half if it says test; without a split, its hash decides.
2. Of text that was heard without a break the sessions are documents, so that no scan is in another half than its
   neighbours.
3. Documents are read by their hash: the first of them, on which thresholds are set, are then a random sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurogloss.errors import UserError
from neurogloss.folder import RunFolder
from neurogloss.ids import derive_seed, hash64
from neurogloss.protocols import Embedder, Float32, Progress, Quiet
from neurogloss.settings import ResponseSettings
from neurogloss.sources.brain import voxels
from neurogloss.sources.brain.encoding import Encoding, fit
from neurogloss.sources.brain.experiment import Experiment, read_experiment
from neurogloss.sources.brain.reading import Row, read_array, read_rows
from neurogloss.sources.brain.voxels import Voxels
from neurogloss.sources.cache import Cache
from neurogloss.sources.collector import fill
from neurogloss.sources.corpus import Half, context_id, half_of
from neurogloss.sources.hookpoints import Hookpoint
from neurogloss.sources.loading import require_torch
from neurogloss.sources.pairs import Cut
from neurogloss.sources.source import Batch, Listener, SectionContext

if TYPE_CHECKING:
    import torch

AT_ONCE = 512
"""Stimuli in a batch."""
SHARD = 8192
"""Stimuli between two states on disk."""


@dataclass(frozen=True, slots=True)
class Stimuli:
    """A document: one stimulus, or those of a session. It is its only section."""

    id: int
    half: Half
    rows: tuple[int, ...]
    """Of the experiment."""
    contexts: tuple[SectionContext, ...]
    too_long: int = 0

    @property
    def size(self) -> int:
        return len(self.rows)


class Participant:
    """Implements `neurogloss.sources.source.Listened`: whose responses they are."""

    def __init__(self, name: str, place: str, experiment: Experiment) -> None:
        self.name, self.fingerprint = name, experiment.fingerprint
        self._place, self._experiment = place, experiment

    @property
    def device(self) -> torch.device:
        found: torch.device = require_torch().device("cpu")
        return found

    def hookpoint(self, name: str) -> Hookpoint:
        if name != self._place:
            raise UserError(f"Expected the hookpoint {self._place!r} of responses, found {name!r}.")
        return Hookpoint(name, at_input=False)

    def width(self, hookpoint: Hookpoint) -> int:
        return int(self._experiment.responses.shape[1])

    def grid(self, hookpoint: Hookpoint) -> tuple[int, int] | None:
        return (1, 1) if self._experiment.pictures else None


class Responses:
    """Implements `neurogloss.sources.source.Source`."""

    measure = "stimuli"

    def __init__(self, settings: ResponseSettings, experiment: Experiment) -> None:
        self._settings, self._experiment = settings, experiment
        place = "predicted" if settings.predicted_by else "measured"
        self.subject = Participant(settings.subject, place, experiment)

    @property
    def facts(self) -> Mapping[str, Any]:
        return {"name": self.subject.name, "fingerprint": self.subject.fingerprint, "kind": "responses"}

    @property
    def limit(self) -> int:
        return len(self._experiment.stimuli)

    @property
    def origin(self) -> str:
        return self._settings.stimuli

    @property
    def pictures(self) -> str:
        return self._experiment.pictures

    def shard_size(self, sides: int) -> int:
        return SHARD

    def documents(self) -> Iterator[Stimuli]:
        return iter(self._documents)

    def half(self, document: Stimuli) -> Half:
        return document.half

    def sections(self, document: Stimuli) -> list[Stimuli]:
        return [document]

    def batches(self, sections: Sequence[Stimuli]) -> Iterator[list[Stimuli]]:
        batch: list[Stimuli] = []
        for section in sections:
            batch.append(section)
            if sum(each.size for each in batch) >= AT_ONCE:
                yield batch
                batch = []
        if batch:
            yield batch

    def read(self, sections: Sequence[Stimuli], hookpoints: Sequence[Hookpoint]) -> Batch:
        import torch

        rows = [row for section in sections for row in section.rows]
        contexts = [context for section in sections for context in section.contexts]
        vectors = torch.from_numpy(self._experiment.responses[rows])
        n = len(rows)
        cut = Cut(np.array([c.digest for c in contexts], np.uint64), np.arange(n), np.ones(n, np.int64))
        return Batch(
            dict.fromkeys(hookpoints, vectors),
            dict.fromkeys(hookpoints, cut),
            np.array([c.half == "score" for c in contexts]),
            np.zeros(0, bool),
        )

    def write_outputs(self, cache: Path, listeners: Sequence[Listener], progress: Progress) -> None:
        """Voxels have no output tokens."""

    @cached_property
    def is_score(self) -> NDArray[np.bool_]:
        """(S,): whether each stimulus is in the score half."""
        found = np.zeros(len(self._experiment.stimuli), bool)
        for document in self._documents:
            found[list(document.rows)] = document.half == "score"
        return found

    @cached_property
    def _documents(self) -> list[Stimuli]:
        together: dict[object, list[int]] = {}
        for i, row in enumerate(self._experiment.stimuli):
            key = ("session", row.session, row.split) if self._experiment.continuous else row.content
            together.setdefault(key, []).append(i)
        return sorted(map(self._document, together.values()), key=lambda document: document.id)

    def _document(self, rows: list[int]) -> Stimuli:
        stimuli = [self._experiment.stimuli[i] for i in rows]
        first = stimuli[0]
        id = first.content if len(rows) == 1 else hash64("session", first.session, first.split)
        half: Half = half_of(id, self._settings.seed)
        if first.split:
            half = "score" if first.split == "test" else "explain"
        contexts = tuple(
            SectionContext(
                context_id(row.content, 0), half, row.text, slice(i, i + 1), (0,) if row.text else (), row.path
            )
            for i, row in enumerate(stimuli)
        )
        return Stimuli(id, half, tuple(rows), contexts)


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
