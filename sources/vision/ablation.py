"""What units do to a classifier: its accuracy and its logits with them taken out.

1. A unit's part in its module's output, at every position, is its activation on its side of 0 times its direction;
   that is taken out, and the value asked for is put in its place (0: nothing). A neuron's direction is its axis.
2. The classifier reads each image as it is, with the units ablated, and with as many others of the same sites
   ablated, drawn at random among those that are ever active, several times: the floor.
3. A drop in accuracy is given with the interval of a bootstrap over images, and the share of random draws that
   drop as much (after Hernandez et al. 2022, arXiv:2201.11114: units ablated by their descriptions).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neurogloss.errors import UserError
from neurogloss.ids import UnitId, derive_seed
from neurogloss.protocols import Float32, Progress, Quiet
from neurogloss.records import Interval
from neurogloss.sources.cache import Cache, Site
from neurogloss.sources.dictionaries import directions_of
from neurogloss.sources.hookpoints import Hookpoint
from neurogloss.sources.reader import CODES_AT_ONCE
from neurogloss.sources.sites import Listener, open_listener
from neurogloss.sources.vision.pictures import open_picture, read_folder
from neurogloss.sources.vision.subject import Edit, VisionSubject

if TYPE_CHECKING:
    import torch

BATCH = 32
"""Images decoded at once."""
RESAMPLES = 2_000


@dataclass(frozen=True, slots=True)
class Ablated:
    """A classifier with and without some units."""

    n_images: int
    n_units: int
    before: float
    """Accuracy, in [0, 1]."""
    after: float
    drop: Interval
    """Before minus after, with the 95 % interval over images."""
    random: tuple[float, ...]
    """The drop for each draw of as many random units."""
    p_value: float
    """Share of draws, this one among them, that drop at least as much; NaN without draws."""
    classes: tuple[tuple[str, float, float], ...]
    """Class, mean change of its logit, and change of the share of its own images that are told right; the class
    whose logit falls most first."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Images with the classes that they are of."""

    paths: tuple[Path, ...]
    classes: tuple[int, ...]
    """Rows of the classifier's logits."""


def labelled(folder: Path, subject: VisionSubject, images: int, progress: Progress | None = None) -> Labelled:
    """A random sample of the images of a folder with a subfolder a class.

    Raises:
        UserError: folders that are not the classes of the subject: by name, or all of them in sorted order.
    """
    found = read_folder(folder, {}, images, progress or Quiet())
    names = sorted({path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")})
    known = {name.casefold(): i for i, name in enumerate(subject.classes)}
    strange = [name for name in names if name.casefold() not in known]
    if strange and (len(strange) < len(names) or len(names) != len(known or names)):
        shown = ", ".join(strange)[:200]
        raise UserError(
            f"Expected a subfolder a class of {subject.name}, found others in {folder}: {shown}. "
            f"Its classes are {', '.join(subject.classes)[:300]}: name the folders so."
        )
    if strange:  # names of another kind, as ImageNet's numbers
        known = {name.casefold(): i for i, name in enumerate(names)}
    outside = next((picture.path for picture in found if "/" not in picture.path), None)
    if outside is not None:
        raise UserError(f"Expected each image in the subfolder of its class, found {outside} in {folder} itself.")
    return Labelled(
        tuple(folder / picture.path for picture in found),
        tuple(known[picture.path.split("/")[0].casefold()] for picture in found),
    )


def ablate(
    cache: Cache,
    subject: VisionSubject,
    units: Sequence[UnitId],
    images: Labelled,
    *,
    value: float = 0.0,
    draws: int = 20,
    seed: int = 0,
    progress: Progress | None = None,
) -> Ablated:
    """Ablate units together, and as many random ones `draws` times.

    Args:
        value: that each unit's activation is set to, everywhere.

    Raises:
        UserError: no unit, a unit that the run does not have or that has no direction, or no classifier.
    """
    if not units:
        raise UserError("Expected units to ablate, found none. Loosen what follows --where, or name some.")
    progress, bench = progress or Quiet(), _Bench(cache, subject, value)
    sets = [units, *(_random(cache, units, derive_seed(seed, "ablate", draw)) for draw in range(draws))]
    edits = [bench.edits(chosen) for chosen in sets]
    truth, right, logits = np.array(images.classes), [], []
    progress.start("ablating", len(images.paths), "images")
    for start in range(0, len(images.paths), BATCH):
        pixels = subject.preprocess([open_picture(path) for path in images.paths[start : start + BATCH]])
        clean = subject.logits(pixels)
        changed = [subject.logits(pixels, edit) for edit in edits]
        mine = truth[start : start + BATCH]
        right.append([(found.argmax(1) == mine) for found in (clean, *changed)])
        logits.append(changed[0] - clean)
        progress.advance(len(pixels))
    correct = np.concatenate(right, 1)
    before, after, *others = correct.mean(1).tolist()
    random = tuple(before - other for other in others)
    return Ablated(
        n_images=len(truth),
        n_units=len(units),
        before=before,
        after=after,
        drop=_interval(correct[0].astype(float) - correct[1], derive_seed(seed, "drop")),
        random=random,
        p_value=(1 + sum(drop >= before - after for drop in random)) / (1 + draws) if draws else float("nan"),
        classes=_by_class(subject, np.concatenate(logits).mean(0), truth, correct),
    )


class _Bench:
    """The sites of a run, opened on the subject as they are asked for."""

    def __init__(self, cache: Cache, subject: VisionSubject, value: float) -> None:
        self._cache, self._subject, self._value = cache, subject, value
        self._open: dict[Site, Listener] = {}

    def edits(self, units: Sequence[UnitId]) -> Mapping[Hookpoint, Edit]:
        """What takes the units out, one edit a hookpoint."""
        by_site: defaultdict[Site, list[UnitId]] = defaultdict(list)
        for unit in dict.fromkeys(units):
            self._cache.side(unit)
            by_site[self._cache.site(unit)].append(unit)
        edits: dict[Hookpoint, Edit] = {}
        for site, mine in by_site.items():
            listener = self._listener(site)
            if listener.hookpoint in edits or listener.target != listener.hookpoint:
                raise UserError(
                    f"Expected one dictionary that writes where it reads, found more at {site.hookpoint}, or a "
                    "transcoder. Ablate the units of one dictionary at a time."
                )
            edits[listener.hookpoint] = _edit(listener, mine, self._value, self._subject.device)
        return edits

    def _listener(self, site: Site) -> Listener:
        if site not in self._open:
            self._open[site] = open_listener(self._subject, site.hookpoint, site.spec)
        return self._open[site]


def _edit(listener: Listener, units: Sequence[UnitId], value: float, device: torch.device) -> Edit:
    """What takes the units out of a listener's vectors, reckoned in float32."""
    import torch

    dictionary = listener.dictionary
    indices = torch.tensor([unit.index for unit in units], device=device)
    signs = torch.tensor([float(unit.sign) for unit in units], device=device)
    directions = directions_of(dictionary).to(device)[indices]
    rows = max(CODES_AT_ONCE // dictionary.n_units, 1)

    def edit(flat: torch.Tensor) -> torch.Tensor:
        vectors = flat.reshape(-1, flat.shape[-1]).float()
        codes = torch.cat([dictionary.encode(part).dense()[:, indices] for part in vectors.split(rows)])
        part = (codes * signs).clamp_min(0) * signs
        return (vectors + (value * signs - part) @ directions).reshape(flat.shape).to(flat)

    return edit


def _random(cache: Cache, units: Sequence[UnitId], seed: int) -> list[UnitId]:
    """As many other units of each site, drawn among those that are ever active."""
    rng, taken = np.random.default_rng(seed), set(units)
    others: defaultdict[Site, list[UnitId]] = defaultdict(list)
    for unit in cache.alive(1):
        if unit not in taken:
            others[cache.site(unit)].append(unit)
    found = []
    for site in dict.fromkeys(map(cache.site, units)):
        wanted = sum(cache.site(unit) == site for unit in taken)
        if wanted > len(others[site]):
            raise UserError(
                f"Expected {wanted} other active units at {site.hookpoint} to draw at random, found "
                f"{len(others[site])}. Ablate fewer units, or leave out the random ones (--draws 0)."
            )
        found += [others[site][i] for i in rng.choice(len(others[site]), wanted, replace=False)]
    return found


def _interval(differences: Float32, seed: int) -> Interval:
    from scipy.stats import bootstrap

    mean = float(differences.mean())
    if np.ptp(differences) == 0:
        return Interval(mean, mean, mean)
    rng = np.random.default_rng(seed)
    limits = bootstrap((differences,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=rng)
    return Interval(mean, float(limits.confidence_interval.low), float(limits.confidence_interval.high))


def _by_class(
    subject: VisionSubject, change: Float32, truth: np.ndarray, correct: np.ndarray
) -> tuple[tuple[str, float, float], ...]:
    names = subject.classes if len(subject.classes) == len(change) else list(map(str, range(len(change))))
    found = []
    for i in np.argsort(change, kind="stable").tolist():
        mine = truth == i
        told = float((correct[1] * 1.0 - correct[0])[mine].mean()) if mine.any() else float("nan")
        found.append((names[i], float(change[i]), told))
    return tuple(found)
