"""Before a pass: whether each dictionary fits the subject, and what active means for units that are never zero.

1. The first contexts of the explain half are read.
2. Each dictionary encodes and decodes vectors of its hookpoint. FVU, the fraction of variance unexplained, is the
   squared error of the reconstruction by the squared distance of the targets from their mean: 0 is perfect, 1 no
   better than the mean. The same is measured after the best shift and scale of the reconstruction (1 - r^2): if
   that is low and FVU is not, the dictionary knows the directions, but not the lengths: a norm is missing.
   L0 is the mean number of active units a vector; dead is the share of units that are silent on all.
3. A dictionary that reconstructs worse than the mean, or is active where and as often as it cannot be, is refused.
4. Units that are never exactly zero get a threshold for each side: a quantile of the side's peaks.
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
from neurogloss.sources.dictionaries.activations import rows_at_once
from neurogloss.sources.hookpoints import Hookpoint
from neurogloss.sources.pairs import peaks_of_dense
from neurogloss.sources.reader import encode
from neurogloss.sources.source import Listener, Section, Source, listeners
from neurogloss.sources.subject import Subject
from neurogloss.sources.texts import Texts

if TYPE_CHECKING:
    import torch

    from neurogloss.sources.dictionaries import Dictionary

WORST_FVU = 1.1
"""From here a reconstruction is refused: clearly worse than the mean of the targets."""
SCALED_FVU = 0.7
"""Below this after shift and scale, the reconstruction has the right directions."""
L0_FACTOR = 2.0
"""How far L0 may be from the stated k."""
OUTLIER = 20.0
"""A vector this many median lengths long is one that dictionaries are not trained on (BOS, attention sinks)."""
VECTORS = 2_048
"""On which a dictionary is measured, at most."""
FEWEST = 256
"""The same, at least, where there are so many and whatever the number of units."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How a dictionary fits a sample of vectors."""

    n_vectors: int
    fvu: float | None
    """None where the dictionary does not reconstruct."""
    fvu_scaled: float | None
    """FVU after the best shift and scale of the reconstruction, in [0, 1]."""
    l0: float | None
    """Active units a vector; None where units are never exactly zero."""
    dead: float | None
    """Share of units that are silent on the sample, in [0, 1]; None where units are never exactly zero."""
    input_norm: float
    """Median length of the vectors."""
    longest: float
    """Length of the longest vector, in median lengths."""


def parity(dictionary: Dictionary, vectors: torch.Tensor, targets: torch.Tensor | None = None) -> Parity:
    """Measure a dictionary on (T, width) vectors, T at least 2.

    Args:
        targets: (T, width of the target), what it reconstructs at the same tokens; None: the vectors.

    Raises:
        UserError: fewer than two vectors, or values in them that are not finite.
    """
    import torch

    if len(vectors) < 2 or not torch.isfinite(vectors).all():
        raise UserError(
            f"Expected two or more vectors of finite numbers to measure {dictionary.name} on, found "
            f"{len(vectors)}, or NaN or infinity. Give more text, or load the subject in another precision."
        )
    codes = dictionary.encode(vectors)
    out = dictionary.decode(codes, vectors)
    lengths = vectors.double().norm(dim=1)
    median = float(lengths.median())
    fvu, scaled = (None, None) if out is None else _fvu(out, vectors if targets is None else targets)
    l0 = dead = None
    if dictionary.sparse:
        active = codes.values != 0
        l0 = float(active.sum(1).double().mean())
        seen = active.any(0) if codes.units is None else codes.units[active].unique()
        alive = int(seen.sum()) if codes.units is None else len(seen)
        dead = 1 - alive / dictionary.n_units
    return Parity(len(vectors), fvu, scaled, l0, dead, median, float(lengths.max()) / max(median, 1e-30))


def _fvu(out: torch.Tensor, targets: torch.Tensor) -> tuple[float, float]:
    """As it is, and after the best shift and scale."""
    out, targets = out.double(), targets.double()
    spread, made = targets - targets.mean(0), out - out.mean(0)
    total = float(spread.square().sum())
    if total == 0:
        return float("inf"), 1.0
    power = float(made.square().sum())
    explained = float((spread * made).sum()) ** 2 / power / total if power > 0 else 0.0
    return float((targets - out).square().sum()) / total, max(0.0, 1 - explained)


def check(measured: Parity, dictionary: Dictionary) -> None:
    """Raise UserError, with the reason and what would mend it, where the dictionary does not fit the vectors."""
    name, l0, k = dictionary.name, measured.l0, dictionary.provenance.get("k")
    if l0 == 0:
        raise UserError(
            f"Expected active units of {name}, found none on {measured.n_vectors} vectors of length "
            f"{measured.input_norm:.3g}. {_place(dictionary)}"
        )
    if l0 is not None and k is not None and not k / L0_FACTOR <= l0 <= k * L0_FACTOR:
        raise UserError(
            f"Expected about {k} active units of {name} a vector, as its settings say, found {l0:.3g}. "
            f"{_place(dictionary)}"
        )
    if measured.fvu is not None and not measured.fvu < WORST_FVU:
        raise UserError(
            f"Expected {name} to reconstruct (FVU below 1), found FVU {measured.fvu:.3g} on {measured.n_vectors} "
            f"vectors. {_reason(measured, dictionary)}"
        )


def _reason(measured: Parity, dictionary: Dictionary) -> str:
    """The likeliest cause, and what to do."""
    if measured.longest > OUTLIER:
        return (
            f"One vector is {measured.longest:.0f} times as long as the median: leave out BOS and special tokens, "
            "or put BOS first if the dictionary was trained so."
        )
    if measured.fvu_scaled is not None and measured.fvu_scaled < SCALED_FVU:
        return (
            f"With another shift and scale it would be {measured.fvu_scaled:.3g}: a centring or normalisation "
            "is missing from its settings, or the subject's weights are scaled otherwise than in its training."
        )
    if dictionary.width == dictionary.n_units:
        return "It has as many units as its vectors are wide: an encoder or decoder may be stored transposed."
    return _place(dictionary)


def _place(dictionary: Dictionary) -> str:
    source = dictionary.hookpoint or "the one that it was trained on"
    where = f"read at {source}" + (f" and reconstructed at {dictionary.target}" if dictionary.target else "")
    return f"Check the subject, that the vectors are {where}, and that they are scaled as in its training."


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
