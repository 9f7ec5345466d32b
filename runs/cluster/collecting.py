"""A corpus read by the workers of a cluster, in parts.

1. The process that started the run sets the thresholds, reads the documents in order and cuts them into shards, as
   a pass in one process does. Some shards one after another are a part.
2. A part is one task, which Ray tries again where a worker or its host is lost: a pass over its documents, with
   those thresholds, into a folder of its own. That folder is moved to its place when it is complete.
3. When all parts are there, their contexts are put one after another, and their sketches merged.

Shards are those of a pass in one process, and a sketch does not depend on the order: the cache has the same bytes.
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
from neurogloss.runs.cluster.connection import Cluster, open_cluster, received_errors, sent_errors
from neurogloss.settings import CollectSettings
from neurogloss.sources.cache import Cache, read_manifest
from neurogloss.sources.collector import Pass, fill, parts_folder
from neurogloss.sources.corpus import Fingerprint
from neurogloss.sources.source import Document
from neurogloss.sources.subject import Subject
from neurogloss.sources.texts import Texts

PARTS = 64
"""At least, if there are shards enough: workers end at different times."""
BEGUN = ("thresholds.safetensors", "manifest.json")
"""What a part starts from: a pass that is calibrated, and has read nothing."""
MOST_SHARDS = 64
"""Of a part, which is what a worker loses when it dies."""


def collect(
    run: RunFolder, settings: CollectSettings, engine: str, progress: Progress | None = None
) -> dict[str, Any]:
    """As `neurogloss.sources.collector.collect`, by the workers that `engine` names. Raises as that, too."""
    progress = progress or Quiet()
    with open_cluster(engine) as cluster:
        read = partial(_read, cluster)
        return fill(run, settings, lambda: Texts(settings, Subject.of(settings, progress)), progress, read)


def _read(cluster: Cluster, whole: Pass) -> dict[str, Any]:
    """Has the parts read, and puts them together. Returns the manifest."""
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
    """Each part when it is there, in any order."""
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
    """The first part to end, which is taken from those that run."""
    (reference,), running[:] = ray.wait(running)
    with received_errors(ray):
        return Cache(ray.get(reference))


def _checked(part: Path, documents: Sequence[Document], whole: Pass) -> Cache:
    """A part of an earlier run. Raises UserError where it was of other documents."""
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
    """Some documents of a corpus as a source."""

    def __init__(self, settings: CollectSettings, subject: Subject, documents: Sequence[Any]) -> None:
        super().__init__(settings, subject)
        self._documents = documents

    def documents(self) -> Iterator[Any]:
        return iter(self._documents)


def read_part(
    home: Path, part: Path, settings: CollectSettings, begun: dict[str, bytes], documents: Sequence[Any]
) -> Path:
    """Read the documents into a cache at `part`, and return that. Raises UserError."""
    os.chdir(home)
    # Two of a task may run at once, where a host that counted as lost is not.
    folder = Path(mkdtemp(prefix=f".{part.name}.", suffix=".tmp", dir=part.parent))
    for name, data in begun.items():
        replace_file(folder / name, data)
    with sent_errors():
        source = Some(settings, _subject(settings), documents)
        Pass(folder, settings, source, Quiet(), read_manifest(folder)).run()
    if not part.is_dir():
        folder.rename(part)
    return part


@lru_cache(1)
def _subject(settings: CollectSettings) -> Subject:
    """Loaded once a worker."""
    return Subject.of(settings, Quiet())
