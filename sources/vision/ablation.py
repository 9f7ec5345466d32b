"""What units do to a classifier: its accuracy, its logits and the images it finds alike, with them taken out.

1. A unit's part in its module's output, at every position, is its activation on its side of 0 times its direction;
   that is taken out, and the value asked for is put in its place (0: nothing). A neuron's direction is its axis.
2. The classifier reads each image as it is, with the units ablated, and with as many others of the same sites
   ablated, drawn at random among those that are ever active, several times: the floor.
3. The likeliest class of an image is its own or not, which makes the accuracy. Of what is found beside it, among
   the others as they are without ablation, some share is of its class, which makes the precision.
4. A drop in either is given with the interval of a bootstrap over images, and the share of random draws that
   drop as much (after Hernandez et al. 2022, arXiv:2201.11114: units ablated by their descriptions).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neurogloss.errors import UserError
from neurogloss.ids import UnitId, derive_seed
from neurogloss.protocols import Float32, Progress, Quiet
from neurogloss.records import Interval
from neurogloss.sources.cache import Cache, Site
from neurogloss.sources.dictionaries import directions_of
from neurogloss.sources.dictionaries.activations import rows_at_once
from neurogloss.sources.hookpoints import Hookpoint
from neurogloss.sources.source import Listener, opener
from neurogloss.sources.vision.pictures import read_folder
from neurogloss.sources.vision.retrieval import Gallery
from neurogloss.sources.vision.subject import BATCH, Edit, VisionSubject

if TYPE_CHECKING:
    import torch

NEAREST = 5
"""Images found beside an image."""
CHANGED = 5
"""Images of which it is told what is found beside them."""
RESAMPLES = 2_000


@dataclass(frozen=True, slots=True)
class Effect:
    """A mean over images, with and without some units."""

    before: float
    """In [0, 1]."""
    after: float
    drop: Interval
    """Before minus after, with the 95 % interval over images."""
    random: tuple[float, ...]
    """The drop for each draw of as many random units."""
    p_value: float
    """Share of draws, this one among them, that drop at least as much; NaN without draws."""


@dataclass(frozen=True, slots=True)
class ClassChange:
    """What becomes of a class, mean over all images but for `right`."""

    name: str
    logit: float
    right: float
    """Change of the share of its own images that are told right; NaN where there are none."""
    found: float
    """Change of its share among the images that are found."""


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What is found beside an image, the nearest first."""

    image: str
    """Path from the folder of all, as the others are."""
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ablated:
    """A classifier with and without some units."""

    n_images: int
    n_units: int
    accuracy: Effect
    precision: Effect
    """Of retrieval: share of the nearest others, five at most, that are of an image's own class."""
    kept: float
    """Share of the nearest others that are so without the units, too."""
    classes: tuple[ClassChange, ...]
    """The class whose logit falls most first."""
    retrievals: tuple[Retrieval, ...]
    """Of the images of which most others are found than before, those first; a few at most."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Images with the classes that they are of."""

    folder: Path
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
        folder,
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
    edits = [{}, *(bench.edits(chosen) for chosen in sets)]
    truth, batches = np.array(images.classes), []
    progress.start("ablating", len(images.paths), "images")
    for start in range(0, len(images.paths), BATCH):
        pixels = subject.pixels(images.paths[start : start + BATCH])
        batches.append([subject.outputs(pixels, edit) for edit in edits])
        progress.advance(len(pixels))
    logits, embeddings = (
        [np.concatenate([batch[i][part] for batch in batches]) for i in range(len(edits))] for part in (0, 1)
    )
    gallery, k = Gallery.of(embeddings[0]), min(NEAREST, len(truth) - 1)
    found = [gallery.others(each, k) for each in embeddings]
    kept = (found[0][:, :, None] == found[1][:, None, :]).any(2).mean(1)
    correct = np.stack([each.argmax(1) == truth for each in logits]).astype(np.float64)
    return Ablated(
        n_images=len(truth),
        n_units=len(units),
        accuracy=_effect(correct, seed),
        precision=_effect(np.stack([(truth[each] == truth[:, None]).mean(1) for each in found]), seed),
        kept=float(kept.mean()),
        classes=_by_class(subject, (logits[1] - logits[0]).mean(0), truth, correct, found),
        retrievals=_changed(images, kept, found),
    )


class _Bench:
    """The sites of a run, opened on the subject as they are asked for."""

    def __init__(self, cache: Cache, subject: VisionSubject, value: float) -> None:
        self._cache, self._subject, self._value = cache, subject, value
        self._open = opener(subject)

    def edits(self, units: Sequence[UnitId]) -> Mapping[Hookpoint, Edit]:
        """What takes the units out, one edit a hookpoint."""
        by_site: defaultdict[Site, list[UnitId]] = defaultdict(list)
        for unit in dict.fromkeys(units):
            self._cache.side(unit)
            by_site[self._cache.site(unit)].append(unit)
        edits: dict[Hookpoint, Edit] = {}
        for site, mine in by_site.items():
            listener = self._open(site)
            if listener.hookpoint in edits or listener.target != listener.hookpoint:
                raise UserError(
                    f"Expected one dictionary that writes where it reads, found more at {site.hookpoint}, or a "
                    "transcoder. Ablate the units of one dictionary at a time."
                )
            edits[listener.hookpoint] = _edit(listener, mine, self._value, self._subject.device)
        return edits


def _edit(listener: Listener, units: Sequence[UnitId], value: float, device: torch.device) -> Edit:
    """What takes the units out of a listener's vectors, reckoned in float32."""
    import torch

    dictionary = listener.dictionary
    indices = torch.tensor([unit.index for unit in units], device=device)
    signs = torch.tensor([float(unit.sign) for unit in units], device=device)
    directions = directions_of(dictionary).to(device)[indices]
    rows = rows_at_once(dictionary.n_units, device)

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


def _effect(right: NDArray[np.float64], seed: int) -> Effect:
    """From (sets, images): how right each is, without ablation, with the units ablated, with random ones."""
    before, after, *others = right.mean(1).tolist()
    random = tuple(before - other for other in others)
    return Effect(
        before,
        after,
        _interval(right[0] - right[1], derive_seed(seed, "drop")),
        random,
        (1 + sum(drop >= before - after for drop in random)) / (1 + len(random)) if random else float("nan"),
    )


def _interval(differences: NDArray[np.float64], seed: int) -> Interval:
    from scipy.stats import bootstrap

    mean = float(differences.mean())
    if np.ptp(differences) == 0:
        return Interval(mean, mean, mean)
    rng = np.random.default_rng(seed)
    limits = bootstrap((differences,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=rng)
    return Interval(mean, float(limits.confidence_interval.low), float(limits.confidence_interval.high))


def _by_class(
    subject: VisionSubject,
    change: Float32,
    truth: NDArray[np.int64],
    correct: NDArray[np.float64],
    found: Sequence[NDArray[np.int64]],
) -> tuple[ClassChange, ...]:
    n = len(change)
    names = subject.classes if len(subject.classes) == n else list(map(str, range(n)))
    before, after = (np.bincount(truth[each].ravel(), minlength=n) / each.size for each in found[:2])
    changes = []
    for i in np.argsort(change, kind="stable").tolist():
        mine = truth == i
        right = float((correct[1] - correct[0])[mine].mean()) if mine.any() else float("nan")
        changes.append(ClassChange(names[i], float(change[i]), right, float(after[i] - before[i])))
    return tuple(changes)


def _changed(
    images: Labelled, kept: NDArray[np.float64], found: Sequence[NDArray[np.int64]]
) -> tuple[Retrieval, ...]:
    names = [path.relative_to(images.folder).as_posix() for path in images.paths]
    before, after = found[:2]
    return tuple(
        Retrieval(names[i], tuple(names[j] for j in before[i]), tuple(names[j] for j in after[i]))
        for i in np.argsort(kept, kind="stable")[:CHANGED].tolist()
        if kept[i] < 1
    )
