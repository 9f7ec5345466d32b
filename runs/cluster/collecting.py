"""Collect a corpus in parts on the workers of a Ray cluster.

1. The driver sets the thresholds, reads the documents in order and cuts them into shards, as a local pass does.
   A part is some consecutive shards.
2. Each part is one task: a pass over its documents, with those thresholds, into its own folder. A complete folder
   moves to its final name. Ray retries the task if a worker or host is lost.
3. The driver joins the contexts of all parts in order, and merges their sketches.

The shards are those of a local pass and sketches do not depend on order, so the cache has the same bytes.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from itertools import count, islice
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from neurogloss.errors import UserError
from neurogloss.folder import RunFolder, replace_file
from neurogloss.protocols import Progress, Quiet
from neurogloss.runs.cluster.connection import Cluster, open_cluster, received_errors
from neurogloss.settings import CollectSettings
from neurogloss.sources.cache import Cache, read_manifest
from neurogloss.sources.collector import Pass, fill, parts_folder
from neurogloss.sources.corpus import Fingerprint
from neurogloss.sources.source import Document
from neurogloss.sources.subject import Subject
from neurogloss.sources.texts import Texts

PARTS = 64
"""Fewest parts, if there are enough shards: workers finish at different times."""
BEGUN = ("thresholds.safetensors", "manifest.json")
"""Files of a calibrated pass that has read nothing. Each part starts from them."""
MOST_SHARDS = 64
"""Most shards of a part. A worker that dies loses one part."""


def collect(
    run: RunFolder, settings: CollectSettings, engine: str, progress: Progress | None = None
) -> dict[str, Any]:
    """`neurogloss.sources.collector.collect` on the workers that `engine` names."""
    progress = progress or Quiet()
    with open_cluster(engine) as cluster:
        read = partial(_read, cluster)
        return fill(run, settings, lambda: Texts(settings, Subject.of(settings, progress)), progress, read)


def _read(cluster: Cluster, whole: Pass) -> dict[str, Any]:
    """Collects the parts and joins them. Returns the manifest."""
    if whole.shards_done:
        raise UserError(
            f"Expected a collection that workers began in {whole.cache.parent}, found one that a single process "
            "began. Finish it with --engine local, or use another run folder."
        )
    whole.begin()
    if not whole.begun:
        whole.write_manifest(complete=False)
    for leftover in parts_folder(whole.cache).glob(".*.tmp"):
        shutil.rmtree(leftover)
    whole.progress.start("collecting", whole.source.limit, whole.source.measure)
    caches = []
    for cache in _parts_read(cluster, whole):
        if cache.manifest["subject"] != dict(whole.source.facts):
            raise UserError(
                f"Expected one subject {whole.source.subject.name} on every host, found another in {cache.path}. "
                f"Put the same files everywhere, delete {cache.path.parent} and collect again."
            )
        caches.append(cache)
        whole.progress.advance(cache.manifest["counts"][whole.source.measure])
    return whole.join(sorted(caches, key=lambda cache: cache.path))


def _parts_read(cluster: Cluster, whole: Pass) -> Iterator[Cache]:
    """Yields each part when it is complete, in any order."""
    ray, folder = cluster.ray, parts_folder(whole.cache)
    folder.mkdir(exist_ok=True)
    n_shards = math.ceil(whole.source.limit / whole.shard_size)
    size = max(1, min(MOST_SHARDS, n_shards // PARTS))
    on_gpu = whole.settings.model_dump()["device"] != "cpu"
    task = ray.remote(**cluster.resources(on_gpu))(read_part)
    begun = ray.put({name: (whole.cache / name).read_bytes() for name in BEGUN})
    running: list[Any] = []
    shards = whole.shards(whole.source.documents())
    try:
        for number in count():
            documents = [document for shard in islice(shards, size) for document, _ in shard]
            if not documents:
                break
            part = folder / f"{number:06}"
            if part.is_dir():
                yield _checked(part, documents, whole)
                continue
            running.append(task.remote(cluster.home, part.resolve(), whole.settings, begun, documents))
            if len(running) > cluster.slots(on_gpu):
                yield _ended(ray, running)
        while running:
            yield _ended(ray, running)
    finally:
        for reference in running:
            ray.cancel(reference)


def _ended(ray: Any, running: list[Any]) -> Cache:
    """Waits for a part, and removes it from `running`."""
    (reference,), running[:] = ray.wait(running)
    with received_errors(ray):
        return Cache(ray.get(reference))


def _checked(part: Path, documents: Sequence[Document], whole: Pass) -> Cache:
    """A part of an earlier run. Raises UserError if its documents differ."""
    cache, found = Cache(part), Fingerprint()
    for document in documents:
        found = found.add(document.id)
    if Fingerprint(**cache.manifest["corpus"]) != found:
        raise UserError(
            f"{whole.source.origin} has changed since the collection in {whole.cache.parent} began. "
            "Bring back what was there, or use another run folder."
        )
    return cache


# --- on a worker ----------------------------------------------------------------------------------


class Some(Texts):
    """A source of some documents of a corpus."""

    def __init__(self, settings: CollectSettings, subject: Subject, documents: Sequence[Any]) -> None:
        super().__init__(settings, subject)
        self._documents = documents

    def documents(self) -> Iterator[Any]:
        return iter(self._documents)


def read_part(
    home: Path, part: Path, settings: CollectSettings, begun: dict[str, bytes], documents: Sequence[Any]
) -> Path:
    """Collects the documents into a cache at `part`. Returns the path."""
    os.chdir(home)
    # Ray may run a task twice if a host it declared dead comes back.
    folder = Path(mkdtemp(prefix=f".{part.name}.", suffix=".tmp", dir=part.parent))
    for name, data in begun.items():
        replace_file(folder / name, data)
    source = Some(settings, _subject(settings), documents)
    Pass(folder, settings, source, Quiet(), read_manifest(folder)).run()
    if not part.is_dir():
        folder.rename(part)
    return part


@lru_cache(1)
def _subject(settings: CollectSettings) -> Subject:
    """Loads the subject once per worker."""
    return Subject.of(settings, Quiet())
