"""Collect evidence into a run folder: from texts, images or brain responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from neurogloss.engines.embedder import MiniLM
from neurogloss.folder import RunFolder
from neurogloss.keywords import CollectKeywords, ImageKeywords, ResponseKeywords
from neurogloss.protocols import Embedder, Progress
from neurogloss.runs.cluster import collecting
from neurogloss.runs.cluster.connection import LOCAL
from neurogloss.settings import CollectSettings, ImageSettings, ResponseSettings, make
from neurogloss.sources import collector


def collect(
    run: str | Path,
    settings: CollectSettings | None = None,
    *,
    engine: str = "local",
    progress: Progress | None = None,
    **values: Unpack[CollectKeywords],
) -> Mapping[str, Any]:
    """Read a corpus with the subject, and keep the evidence of every unit in the run folder.

    A run that was interrupted continues.

    Args:
        settings: settings as one object.
        values: settings by name, which override those in `settings` (`hookpoints=[…]`, `tokens=100_000`).
        engine: `local` is this process, `ray` a Ray cluster, `ray:ADDRESS` the cluster at that address.

    Returns:
        The manifest: settings, subject, counts.

    Raises:
        UserError: the user can fix something. Nothing was written.
    """
    folder, chosen = RunFolder(Path(run)), make(CollectSettings, values, settings)
    if engine != LOCAL:
        return collecting.collect(folder, chosen, engine, progress)
    return collector.collect(folder, chosen, progress=progress)


def collect_images(
    run: str | Path,
    settings: ImageSettings | None = None,
    *,
    progress: Progress | None = None,
    **values: Unpack[ImageKeywords],
) -> Mapping[str, Any]:
    """`collect` for images and a vision model."""
    from neurogloss.sources.vision import images

    return images.collect_images(RunFolder(Path(run)), make(ImageSettings, values, settings), progress=progress)


def collect_responses(
    run: str | Path,
    settings: ResponseSettings | None = None,
    *,
    embedder: Embedder | None = None,
    progress: Progress | None = None,
    **values: Unpack[ResponseKeywords],
) -> Mapping[str, Any]:
    """`collect` for responses to stimuli, such as those of voxels.

    Args:
        embedder: embeds the texts of the stimuli if no features are given. Defaults to MiniLM.
    """
    from neurogloss.sources.brain import collect as brain

    chosen = make(ResponseSettings, values, settings)
    return brain.collect_responses(RunFolder(Path(run)), chosen, embedder or MiniLM(), progress)


def merge(run: str | Path, others: Sequence[str | Path]) -> Mapping[str, Any]:
    """Merge finished runs that were collected with the same settings from different documents.

    Returns:
        The manifest.

    Raises:
        UserError: the runs do not fit together. Nothing was written.
    """
    from neurogloss.sources import merging

    return merging.merge(RunFolder(Path(run)), [RunFolder(Path(other)) for other in others])
