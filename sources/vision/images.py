"""Images as a vision model reads them: the image source of a pass.

1. An image is a document, a section and a context at once; its cells are the vectors.
2. A batch of images is decoded, preprocessed and read up to the last hookpoint.
3. Before the pass, the quantile of each unit's cells above which masks are drawn is set on the first images of the
   explain half (`neurogloss.sources.vision.masks`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from neurogloss.errors import UserError
from neurogloss.folder import RunFolder, replace_file
from neurogloss.protocols import Progress, Quiet
from neurogloss.settings import ImageSettings
from neurogloss.sources.collector import fill
from neurogloss.sources.corpus import Half, context_id, half_of
from neurogloss.sources.hookpoints import Hookpoint
from neurogloss.sources.pairs import Cut
from neurogloss.sources.reader import encode
from neurogloss.sources.source import Batch, Listener, SectionContext
from neurogloss.sources.vision import geometry
from neurogloss.sources.vision.exemplars import Exemplars, Recorded
from neurogloss.sources.vision.loading import subject_of
from neurogloss.sources.vision.masks import FILE, Histogram
from neurogloss.sources.vision.pictures import Picture, find
from neurogloss.sources.vision.steering import write_class_effects
from neurogloss.sources.vision.subject import BATCH, VisionSubject

SHARD_IMAGES = 512
"""Least images between two states on disk."""
EXEMPLARS = "exemplars"
"""Subject, alone or before `:NAME`, whose pictures are a folder of exemplars."""
LISTED = 1e-9
"""Quantile of peaks above which lies all that a folder of exemplars lists."""
SIDES_PER_IMAGE = 4
"""Sides for each image between two states: then writing them costs little."""


@dataclass(frozen=True, slots=True)
class ImageSection:
    """One image, as the subject reads it."""

    contexts: tuple[SectionContext, ...]
    size: int = 1
    too_long: int = 0


class Images:
    """Implements `neurogloss.sources.source.Source`."""

    measure = "images"

    def __init__(
        self,
        settings: ImageSettings,
        subject: VisionSubject | Recorded,
        folder: Path,
        pictures: Sequence[Picture],
    ) -> None:
        """
        Args:
            folder: that the paths of pictures start from.
        """
        self._settings, self.subject = settings, subject
        self._folder, self._pictures = folder, pictures

    @property
    def facts(self) -> Mapping[str, Any]:
        return self.subject.facts

    @property
    def origin(self) -> str:
        return self._settings.pictures

    @property
    def pictures(self) -> str:
        return str(self._folder)

    @property
    def limit(self) -> int:
        return len(self._pictures)

    def shard_size(self, sides: int) -> int:
        return self._settings.shard_images or max(SHARD_IMAGES, sides // SIDES_PER_IMAGE)

    def documents(self) -> Iterator[Picture]:
        return iter(self._pictures)

    def half(self, document: Picture) -> Half:
        return half_of(document.id, self._settings.seed)

    def sections(self, document: Picture) -> list[ImageSection]:
        starts = (0,) if document.caption else ()
        context = SectionContext(
            context_id(document.id, 0),
            self.half(document),
            document.caption,
            slice(0, len(starts)),
            starts,
            document.path,
        )
        return [ImageSection((context,))]

    def batches(self, sections: Sequence[ImageSection]) -> Iterator[Sequence[ImageSection]]:
        return (sections[i : i + BATCH] for i in range(0, len(sections), BATCH))

    def read(self, sections: Sequence[ImageSection], hookpoints: Sequence[Hookpoint]) -> Batch:
        """Raises UserError where an image does not decode."""
        contexts = [context for section in sections for context in section.contexts]
        vectors = self.subject.seen([self._folder / context.picture for context in contexts], hookpoints)
        hashes, n = np.array([context.digest for context in contexts], np.uint64), len(contexts)

        def cut(cells: int) -> Cut:
            return Cut(hashes, np.arange(n) * cells, np.full(n, cells))

        return Batch(
            vectors,
            {hookpoint: cut(len(found) // n) for hookpoint, found in vectors.items()},
            np.array([context.half == "score" for context in contexts]),
            np.zeros(0, bool),
        )

    def write_outputs(self, cache: Path, listeners: Sequence[Listener], progress: Progress) -> None:
        """Write what masks are drawn by, and of a classifier with named classes those that units raise."""
        mine = (picture for picture in self._pictures if self.half(picture) == "explain")
        first = list(islice(mine, self._settings.mask_images))
        if isinstance(self.subject, VisionSubject) and self.subject.classes and first:
            images = self.subject.pixels([self._folder / picture.path for picture in first[:BATCH]])
            write_class_effects(cache, self.subject, images, listeners, progress)
        places = list(dict.fromkeys(listener.hookpoint for listener in listeners))
        if isinstance(self.subject, VisionSubject):
            geometry.write(cache, self.subject, places, progress)
        histograms = {each.site.name: Histogram.empty(each.site.units, each.site.signed) for each in listeners}
        progress.start("where masks are drawn", len(first), self.measure)
        for sections in self.batches([section for picture in first for section in self.sections(picture)]):
            batch = self.read(sections, places)
            for listener in listeners:
                for codes, _, _ in encode(listener, batch):
                    histograms[listener.site.name].take(codes)
            progress.advance(len(sections))
        found = {name: each.quantile(self._settings.mask_quantile) for name, each in histograms.items()}
        replace_file(cache / FILE, save(found))


def collect_images(
    run: RunFolder,
    settings: ImageSettings,
    subject: VisionSubject | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Fill the run's activation cache from images, or finish filling it.

    Args:
        subject: any torch vision model, loaded already; otherwise it is what the settings say: a model to load, or
            a folder of exemplars.

    Returns:
        The manifest: settings, subject, counts of documents, contexts and images.

    Raises:
        UserError: what the user can mend; also where the run was collected with other settings.
    """
    quiet, kind = progress or Quiet(), settings.subject.partition(":")[0]
    if subject is None and kind == EXEMPLARS:
        settings = settings.model_copy(update={"active_quantile": LISTED})
        return fill(run, settings, lambda: _recorded(run, settings, quiet), quiet)

    def source() -> Images:
        model = subject or subject_of(settings)
        for name, spec in zip(settings.hookpoints, settings.dictionaries * len(settings.hookpoints), strict=False):
            if spec != "neurons" and model.cells(model.hookpoint(name)).pooled:
                raise UserError(
                    f"Expected a map of at most 28 x 28 positions for the dictionary {spec}, found a larger one "
                    f"at {name}. A dictionary cannot read pooled vectors: use a later layer."
                )
        return Images(settings, model, *find(settings, run.cache, quiet))

    return fill(run, settings, source, quiet)


def _recorded(run: RunFolder, settings: ImageSettings, progress: Progress) -> Images:
    """What a folder of exemplars holds."""
    exemplars = Exemplars(Path(settings.pictures))
    progress.note("Silent means here: not among a unit's strongest images. A folder of exemplars says no more.")
    subject = Recorded(settings.subject.partition(":")[2] or EXEMPLARS, exemplars)
    return Images(settings, subject, *find(settings, run.cache, progress, exemplars.images()))
