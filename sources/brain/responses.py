"""Stimuli with the responses of voxels to them: the source of a pass that has nothing to run.

1. A stimulus is a context with one vector, its row of the responses. It is in the explain half where the table
   says train and in the score half where it says test; without a split, its hash decides.
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
from neurogloss.ids import hash64
from neurogloss.protocols import Progress
from neurogloss.settings import ResponseSettings
from neurogloss.sources.brain.experiment import Experiment
from neurogloss.sources.corpus import Half, context_id, half_of
from neurogloss.sources.hookpoints import Hookpoint
from neurogloss.sources.loading import require_torch
from neurogloss.sources.pairs import Cut
from neurogloss.sources.sites import Listener
from neurogloss.sources.source import Batch, SectionContext

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
