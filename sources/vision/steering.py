"""What units do to what a vision model says of images: the classes that it names, the images that it finds.

1. At first order a unit raises a logit by its direction times the logit's gradient where it writes, summed over
   positions, mean over images of the explain half. The classes at both ends are the unit's output tokens.
2. On an image, a unit is raised by adding strength times its direction at every position, prefix tokens included.
3. The strength is found by bisection in log10 on the tuning images, until the mean KL divergence of the classes,
   clean against raised, is within a tenth of the target: the scale of steering a text (Paulo et al. 2024,
   arXiv:2410.13928). Tuning images are never scored.
4. What the model says of an image is its likeliest classes, where they have names, and what is said of the images
   of a gallery that are nearest to it, clean and with the unit raised. Without names the strength is set by the
   distribution over the gallery (`neurogloss.sources.vision.retrieval`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from neurogloss.folder import replace_file
from neurogloss.ids import UnitId, canonical_json
from neurogloss.protocols import Float32, Progress, SteeredText, Steering
from neurogloss.records import Context
from neurogloss.sources.cache import Cache, Site
from neurogloss.sources.dictionaries import directions_of
from neurogloss.sources.hookpoints import Hookpoint
from neurogloss.sources.outputs import KEPT, bisected, extremes
from neurogloss.sources.source import Listener, opener
from neurogloss.sources.vision.pictures import open_picture
from neurogloss.sources.vision.retrieval import Gallery
from neurogloss.sources.vision.subject import BATCH, Edit, VisionSubject

if TYPE_CHECKING:
    from PIL.Image import Image

WHOLE = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of an image by itself, or in the place that it has there inside of another image."""

    picture: str
    """Path of the image that it is of."""
    box: tuple[float, float, float, float] = WHOLE
    """Left, top, right and bottom, as shares of width and height."""
    into: str | None = None
    """Path of the other image; None: by itself, over all of the subject's input."""
    painted_over: bool = False
    """The image without the part instead, the mean colour of the image in its place."""


def made(cut: Cut) -> Image:
    """The image that the cut is, RGB. Raises UserError where an image does not decode."""
    from PIL import Image as Pillow
    from PIL import ImageStat

    image: Image = open_picture(Path(cut.picture))
    if cut.painted_over:
        mean = tuple(round(value) for value in ImageStat.Stat(image).mean)
        image.paste(mean, _pixels(cut.box, image))
        return image
    part = image.crop(_pixels(cut.box, image))
    if cut.into is None:
        return part
    ground: Image = open_picture(Path(cut.into))
    place = _pixels(cut.box, ground)
    size = (place[2] - place[0], place[3] - place[1])
    ground.paste(part.resize(size, Pillow.Resampling.BILINEAR), place[:2])
    return ground


def _pixels(box: Sequence[float], image: Image) -> tuple[int, int, int, int]:
    """At least one pixel."""
    left, top = (min(int(share * side), side - 1) for share, side in zip(box[:2], image.size, strict=True))
    right, bottom = (round(share * side) for share, side in zip(box[2:], image.size, strict=True))
    return left, top, max(right, left + 1), max(bottom, top + 1)


class ImageReader:
    """Reads the activations of units on any image."""

    def __init__(self, subject: VisionSubject, sites: Sequence[Site]) -> None:
        self._subject = subject
        self._sites = {(site.hookpoint, site.dictionary): site for site in sites}
        self._open = opener(subject)

    def peaks(self, unit: UnitId, pictures: Sequence[Cut | Image]) -> list[float]:
        """The unit's largest activation on each, along its sign, at least 0. Images are RGB.

        Raises:
            UserError: an image does not decode.
        """
        import torch

        listener = self._open(self._sites[unit.hookpoint, unit.dictionary])
        images = self._subject.preprocess([made(each) if isinstance(each, Cut) else each for each in pictures])
        vectors = self._subject.vectors(images, [listener.hookpoint])[listener.hookpoint]
        with torch.inference_mode():
            values = listener.dictionary.encode(vectors).dense()[:, unit.index].float().cpu() * unit.sign
        found: list[float] = values.reshape(len(pictures), -1).clamp_min(0).amax(1).tolist()
        return found


LIKELY = 0.05
"""Probability from which a class is said."""
SAID = 5
"""Classes said of an image at most."""
FOUND = 3
"""Images found beside an image."""
GALLERY = 512
"""Images of a run that are looked among."""

Edits = Mapping[Hookpoint, Edit]


class Says(Protocol):
    """A way in which a vision model says something of images, that a unit can change."""

    def log_p(self, images: Float32, edits: Edits) -> NDArray[np.float64]:
        """(n, things) log probabilities, of preprocessed images, with what modules pass on edited."""
        ...

    def text(self, log_p: NDArray[np.float64]) -> str:
        """One row of them in words."""
        ...


class Classes:
    """The likeliest classes, the first one in any case."""

    def __init__(self, subject: VisionSubject) -> None:
        self._subject = subject

    def log_p(self, images: Float32, edits: Edits) -> NDArray[np.float64]:
        from scipy.special import log_softmax

        logits = self._subject.logits(images, edits)
        self._subject.class_names(logits.shape[1])
        found: NDArray[np.float64] = log_softmax(logits.astype(np.float64), axis=1)
        return found

    def text(self, log_p: NDArray[np.float64]) -> str:
        order = np.argsort(-log_p, kind="stable")[:SAID].tolist()
        likely = [i for n, i in enumerate(order) if n == 0 or log_p[i] >= np.log(LIKELY)]
        return ", ".join(self._subject.classes[i] for i in likely)


class Nearest:
    """What is said of the images of a gallery that are the most alike, the nearest first."""

    def __init__(self, subject: VisionSubject, gallery: Sequence[Context]) -> None:
        self._subject, self._contexts = subject, gallery

    def log_p(self, images: Float32, edits: Edits) -> NDArray[np.float64]:
        return self._gallery.log_p(self._subject.embeddings(images, edits))

    def text(self, log_p: NDArray[np.float64]) -> str:
        order = np.argsort(-log_p, kind="stable")[:FOUND].tolist()
        return "; ".join(dict.fromkeys(self._contexts[i].text for i in order))

    @cached_property
    def _gallery(self) -> Gallery:
        paths = [Path(context.picture) for context in self._contexts]
        parts = (paths[at : at + BATCH] for at in range(0, len(paths), BATCH))
        return Gallery.of(np.concatenate([self._subject.embeddings(self._subject.pixels(part)) for part in parts]))


def gallery(cache: Cache) -> list[Context]:
    """Images of the explain half, drawn by hash, of which something is said; none where there is no model."""
    if "preprocess" not in cache.manifest["subject"]:
        return []
    # Silent images, on which the strength is set, are those of the smallest hashes: none of these finds itself.
    found = (cache.context(digest) for digest in cache.hashes("explain")[::-1].tolist())
    return list(islice((context for context in found if context.picture and context.text.strip()), GALLERY))


class LiveClassifier(ImageReader):
    """A vision model whose units can be read and raised, and what it then says of images."""

    def __init__(
        self, subject: VisionSubject, sites: Sequence[Site], kl: float = 1.0, gallery: Sequence[Context] = ()
    ) -> None:
        """`gallery`: images that others are found among; none: what is found is not looked at."""
        super().__init__(subject, sites)
        self.kl = kl
        """Target of the strength search, nats."""
        self._says: list[Says] = [Classes(subject)] if subject.classes or not gallery else []
        if gallery:
            self._says.append(Nearest(subject, gallery))

    def steer(
        self,
        unit: UnitId,
        prompts: Sequence[str],
        tuning_prompts: Sequence[str],
        seed: int = 0,
        kl: float | None = None,
    ) -> Steering:
        """What the model says of images, clean and with the unit raised along its sign: classes, then those found.

        Args:
            prompts, tuning_prompts: paths of images.
            kl: target of the strength search, nats; None: what the subject was set to.

        Raises:
            UserError: an image does not decode, or the subject is no classifier with named classes and there is
                no gallery.
        """
        tuning, scored = (self._subject.pixels(list(map(Path, paths))) for paths in (tuning_prompts, prompts))
        strength, reached = self._tune(unit, tuning, self.kl if kl is None else kl)
        raised, texts = self._raised(unit, strength), list[SteeredText]()
        for says in self._says:
            both = zip(says.log_p(scored, {}), says.log_p(scored, raised), strict=True)
            # An image is no text to go on from.
            texts += [SteeredText("", *map(says.text, rows)) for rows in both]
        return Steering(strength, reached, tuple(texts))

    def _tune(self, unit: UnitId, images: Float32, target: float) -> tuple[float, float]:
        """The strength, and the KL divergence that it gives."""
        says = self._says[0]
        clean = says.log_p(images, {})

        def reached(strength: float) -> float:
            changed = says.log_p(images, self._raised(unit, strength))
            return float((np.exp(clean) * (clean - changed)).sum(1).mean())

        return bisected(reached, target)

    def _raised(self, unit: UnitId, strength: float) -> Edits:
        """What raises a unit."""
        listener = self._open(self._sites[unit.hookpoint, unit.dictionary])
        delta = directions_of(listener.dictionary)[unit.index].float() * unit.sign * strength
        return {listener.target: lambda flat: flat + delta.to(flat)}


def write_class_effects(
    cache: Path, subject: VisionSubject, pixels: Float32, listeners: Sequence[Listener], progress: Progress
) -> None:
    """Write `outputs/` and `vocabulary.json` of a cache, by the gradients on some images (n, C, H, W); nothing of
    units without directions.

    Raises:
        UserError: the subject is no classifier, or its classes have no names.
    """
    import torch

    progress.start("classes that units raise", len(listeners), "sites")
    gradients: Mapping[Hookpoint, Float32] = subject.gradients(pixels, list({each.target for each in listeners}))
    for listener in listeners:
        directions = listener.dictionary.directions()
        if directions is None:
            continue
        effects = directions.float().cpu() @ torch.from_numpy(gradients[listener.target]).T
        kept = min(KEPT, max(effects.shape[1] // 2, 1))
        replace_file(cache / "outputs" / f"{listener.site.name}.safetensors", save(extremes(effects, kept)))
        progress.advance()
    names = subject.class_names(len(next(iter(gradients.values()))))
    replace_file(cache / "vocabulary.json", canonical_json({str(i): n for i, n in enumerate(names)}).encode())
