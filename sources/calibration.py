"""Before a pass: whether each dictionary fits the subject, and what active means for units that are never zero.

1. The first contexts of the explain half are read.
2. Each dictionary is measured on vectors of its hookpoint, and refused where it does not reconstruct.
3. Units that are never exactly zero get a threshold for each side: a quantile of the side's peaks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neurogloss.errors import UserError
from neurogloss.protocols import Progress, Quiet
from neurogloss.settings import CollectSettings, PassSettings
from neurogloss.sources.cache import Site
from neurogloss.sources.codes import rows_at_once
from neurogloss.sources.hookpoints import Hookpoint
from neurogloss.sources.pairs import peaks_of_dense
from neurogloss.sources.parity import Parity, check, parity
from neurogloss.sources.reader import encode
from neurogloss.sources.sites import Listener, listeners
from neurogloss.sources.source import Section, Source
from neurogloss.sources.subject import Subject
from neurogloss.sources.texts import Texts

if TYPE_CHECKING:
    import torch

VECTORS = 2_048
"""On which a dictionary is measured, at most."""
FEWEST = 256
"""The same, at least, where there are so many and whatever the number of units."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a pass starts from, by site."""

    thresholds: dict[str, NDArray[np.float32]]
    """(sides,): 0 where the dictionary is sparse."""
    parity: dict[str, Parity]


def calibrate(
    source: Source, listeners: Sequence[Listener], settings: PassSettings, progress: Progress
) -> Calibration:
    """Read the first sections of the explain half: all where some units are never zero, otherwise VECTORS.

    Raises:
        UserError: the sections hold too few vectors to measure a dictionary on.
    """
    import torch

    dense = [listener for listener in listeners if not listener.dictionary.sparse]
    # The longest sections first: they fill a batch with the most vectors.
    parts = list(source.batches(_first_sections(source, settings.calibration_contexts)))[::-1]
    places = list(dict.fromkeys(place for each in listeners for place in (each.hookpoint, each.target)))
    peaks: dict[str, list[NDArray[np.float32]]] = {listener.site.name: [] for listener in dense}
    vectors: dict[Hookpoint, torch.Tensor] = {}
    size = sum(section.size for part in parts for section in part)
    progress.start("calibrating", size if dense else None, source.measure)
    for part in parts:
        enough = bool(vectors) and all(len(found) >= VECTORS for found in vectors.values())
        if enough and not dense:
            break
        batch = source.read(part, places)
        if not enough:
            vectors = {at: torch.cat([vectors[at], new]) if vectors else new for at, new in batch.vectors.items()}
        for listener in dense:
            for codes, cut, _ in encode(listener, batch):
                peaks[listener.site.name].append(
                    peaks_of_dense(codes, cut, listener.dictionary.signed).cpu().numpy()
                )
        progress.advance(sum(section.size for section in part))
    thresholds = {each.site.name: np.zeros(each.site.sides, np.float32) for each in listeners}
    for name, found in peaks.items():
        if found:
            limits = np.quantile(np.concatenate(found, 1), settings.active_quantile, axis=1)
            thresholds[name] = limits.astype(np.float32)
    return Calibration(thresholds, {each.site.name: _measure(each, vectors) for each in listeners if vectors})


@dataclass(frozen=True, slots=True)
class Fit:
    """How one dictionary fits its subject."""

    site: Site
    parity: Parity
    reason: str
    """Why the dictionary is refused; empty where it fits."""


def fit(settings: CollectSettings, progress: Progress | None = None) -> list[Fit]:
    """Measure each dictionary of the settings on its subject, and write nothing."""
    progress = progress or Quiet()
    subject = Subject.of(settings, progress)
    found = listeners(settings, subject)
    measured = calibrate(Texts(settings, subject), found, settings, progress).parity
    fits = []
    for listener in found:
        reason = ""
        try:
            check(measured[listener.site.name], listener.dictionary)
        except UserError as error:
            reason = str(error)
        fits.append(Fit(listener.site, measured[listener.site.name], reason))
    return fits


def _first_sections(source: Source, contexts: int) -> list[Section]:
    """Sections with the first contexts of the explain half."""
    sections: list[Section] = []
    for document in source.documents():
        if source.half(document) == "explain":
            sections += source.sections(document)
        if sum(len(section.contexts) for section in sections) >= contexts:
            break
    return sections


def _measure(listener: Listener, found: Mapping[Hookpoint, torch.Tensor]) -> Parity:
    import torch

    device = found[listener.hookpoint].device
    n = max(FEWEST, min(VECTORS, rows_at_once(listener.dictionary.n_units, device)))
    with torch.inference_mode():
        vectors, targets = (found[place][:n] for place in (listener.hookpoint, listener.target))
        return parity(listener.dictionary, vectors, targets)
