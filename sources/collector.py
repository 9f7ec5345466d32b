"""One pass over a corpus that collects the evidence of all units of all sites at once.

1. Documents are read in order, exact duplicates dropped, until the wanted number of tokens.
2. Each document is cut into sections that fit the subject, and each section into contexts, both at white space.
3. On the first contexts of the explain half each dictionary is held against its subject, and units that are
   never exactly zero get a threshold (`neurogloss.sources.calibration`).
4. The subject reads a batch of sections, up to the last hookpoint; each token's activations go to its context.
5. Each half of the documents has a sketch of its own, and a context goes to the half of its document.
6. After each shard of documents, contexts and sketches are written; a killed pass goes on from there, and the
   result is the same byte for byte.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from neurogloss.errors import UserError
from neurogloss.folder import RunFolder, replace_file
from neurogloss.ids import canonical_json
from neurogloss.protocols import Progress, Quiet
from neurogloss.settings import CollectSettings, PassSettings
from neurogloss.sources import contexts as table
from neurogloss.sources.cache import (
    VERSION,
    Cache,
    checksums,
    read_arrays,
    read_manifest,
    read_sketches,
    sketch_folder,
    write_sketches,
)
from neurogloss.sources.calibration import calibrate, check
from neurogloss.sources.contexts import HALVES
from neurogloss.sources.corpus import Fingerprint
from neurogloss.sources.merging import combine
from neurogloss.sources.reader import Reader, Sketches
from neurogloss.sources.sketch import Sketch
from neurogloss.sources.source import Document, Section, Source, columns, listeners
from neurogloss.sources.subject import Subject
from neurogloss.sources.texts import Texts

Shard = list[tuple[Document, Sequence[Section]]]
"""Documents that are read between two states on disk."""


def collect(
    run: RunFolder,
    settings: CollectSettings,
    subject: Subject | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Fill the run's activation cache, or finish filling it.

    Args:
        subject: loaded already; otherwise it is loaded as the settings say.

    Returns:
        The manifest: settings, subject, counts of documents, contexts and tokens.

    Raises:
        UserError: what the user can mend, and nothing is written; also where the run was collected with
            other settings.
    """
    progress = progress or Quiet()
    return fill(run, settings, lambda: Texts(settings, subject or Subject.of(settings, progress)), progress)


def fill(
    run: RunFolder,
    settings: PassSettings,
    source: Callable[[], Source],
    progress: Progress,
    read: Callable[[Pass], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Fill the run's cache from a source, which is opened only where something is left to read.

    Args:
        read: makes the pass, and gives the manifest; by default `Pass.run`.

    Returns and raises as `collect`.
    """
    with run.writing():
        done = _previous(run, settings)
        if done.get("complete"):
            drop_states(run.cache, None)
            Cache(run.cache).verify()
            return done
        opened = source()
        if done and done["subject"]["fingerprint"] != opened.subject.fingerprint:
            raise UserError(
                f"The subject {opened.subject.name} has changed since the collection in {run.path} began. "
                "Bring back the one that was there, or use another run folder."
            )
        found = Pass(run.cache, settings, opened, progress, done)
        return read(found) if read else found.run()


def _previous(run: RunFolder, settings: PassSettings) -> dict[str, Any]:
    """The manifest of an earlier pass with the same settings, empty where there is none."""
    if not (run.cache / "manifest.json").is_file():
        return {}
    manifest = read_manifest(run.cache)
    given = settings.model_dump(mode="json")
    names = given.keys() | manifest["settings"].keys()
    changed = sorted(name for name in names if given.get(name) != manifest["settings"].get(name))
    if changed:
        was = ", ".join(f"{name}={manifest['settings'].get(name)!r}" for name in changed)
        raise UserError(
            f"{run.path} was collected with other settings ({was}). "
            "Use those, or another run folder for the new ones."
        )
    return manifest


def drop_states(cache: Path, shards_done: int | None) -> None:
    """Delete all sketches but those after so many shards; None: but the finished ones."""
    for folder in cache.glob("sketches/*"):
        if folder != sketch_folder(cache, shards_done):
            shutil.rmtree(folder)
    if shards_done is None:
        shutil.rmtree(parts_folder(cache), ignore_errors=True)


def parts_folder(cache: Path) -> Path:
    """Where parts of a corpus that workers have read wait to be put together."""
    return cache.with_name("parts")


class Pass:
    """A pass that was begun, or is about to be."""

    def __init__(
        self,
        cache: Path,
        settings: PassSettings,
        source: Source,
        progress: Progress,
        done: dict[str, Any],
    ) -> None:
        """`done`: the manifest that it goes on from, empty where nothing was done."""
        self.cache, self.settings, self.source, self.progress = cache, settings, source, progress
        self.listeners = listeners(settings, source.subject)
        self.counts: dict[str, int] = done.get("counts") or {
            "documents": 0,
            "contexts": 0,
            "contexts_too_long": 0,
            source.measure: 0,
        }
        self.columns: dict[str, int] = done.get("columns", {})
        self.corpus = Fingerprint(**done.get("corpus", {}))
        self.shards_done: int = done.get("shards_done", 0)
        self.parity: dict[str, Any] = done.get("parity", {})
        self.begun = bool(done)
        sides = sum(listener.site.sides for listener in self.listeners)
        self.shard_size = source.shard_size(sides)

    def run(self) -> dict[str, Any]:
        """Read what is left, and return the manifest. Raises UserError."""
        documents = self.source.documents()
        self.begin()
        self._pass_over(documents)
        thresholds = read_arrays(self.cache / "thresholds.safetensors")
        beside = self.source.subject.device.type != "cpu"
        reader = Reader(self.listeners, thresholds, self._sketches(), beside)
        measure = self.source.measure
        self.progress.start("collecting", self.source.limit, measure, done=self.counts[measure])
        for shard in self.shards(documents):
            self._read_shard(shard, reader)
        for sketch in reader.sketches.values():
            sketch.sort()
        write_sketches(sketch_folder(self.cache, None), reader.sketches)
        table.write_order(self.cache / "contexts", self.columns)
        return self.finish()

    def begin(self) -> None:
        """Delete what a killed pass left over, and set the thresholds where that was not done."""
        self._tidy()
        if self.begun:
            return
        replace_file(self.cache / "thresholds.safetensors", save(self._calibrate()))
        self.source.write_outputs(self.cache, self.listeners, self.progress)

    def join(self, parts: Sequence[Cache]) -> dict[str, Any]:
        """Put together what other passes read, in the order of their documents. Returns the manifest."""
        found = combine(self.cache, parts)
        self.counts, self.columns, self.corpus = found["counts"], found["columns"], Fingerprint(**found["corpus"])
        self.shards_done = sum(part.manifest["shards_done"] for part in parts)
        return self.finish()

    def finish(self) -> dict[str, Any]:
        """Say that the cache is complete, which has to be so. Returns the manifest."""
        manifest = self.write_manifest(complete=True)
        drop_states(self.cache, None)
        return manifest

    def _sketches(self) -> Sketches:
        if not self.shards_done:
            return self._empty()
        state = sketch_folder(self.cache, self.shards_done)
        return read_sketches(state, [listener.site.name for listener in self.listeners])

    def _empty(self) -> Sketches:
        top, uniform = self.settings.top, self.settings.uniform
        return {
            (listener.site.name, half): Sketch.empty(listener.site.sides, top, uniform, listener.site.window)
            for listener in self.listeners
            for half in HALVES
        }

    def _tidy(self) -> None:
        """Delete what a killed pass left over."""
        drop_states(self.cache, self.shards_done)
        names = [listener.site.name for listener in self.listeners]
        for file in self.cache.glob("outputs/*.safetensors"):
            if file.stem not in names:
                file.unlink()
        for file in self.cache.rglob(".*.tmp"):
            file.unlink()
        table.cut_back(self.cache / "contexts", self.columns)

    def _pass_over(self, documents: Iterator[Document]) -> None:
        """Pass over what was read before. Raises UserError where the corpus has other documents now."""
        found = Fingerprint()
        for document in islice(documents, self.counts["documents"]):
            found = found.add(document.id)
        if found != self.corpus:
            raise UserError(
                f"{self.source.origin} has changed since the collection in {self.cache.parent} began. "
                "Bring back what was there, or use another run folder."
            )

    def shards(self, documents: Iterator[Document]) -> Iterator[Shard]:
        """Documents in groups of `shard_size`, until the source's limit is reached."""
        shard: Shard = []
        read, size = self.counts[self.source.measure], 0
        for document in documents:
            if read + size >= self.source.limit:
                break
            shard.append((document, self.source.sections(document)))
            size += sum(section.size for section in shard[-1][1])
            if size >= self.shard_size:
                yield shard
                shard, read, size = [], read + size, 0
        if shard:
            yield shard

    def _calibrate(self) -> dict[str, NDArray[np.float32]]:
        """The thresholds. Raises UserError where a dictionary does not fit."""
        found = calibrate(self.source, self.listeners, self.settings, self.progress)
        for listener in self.listeners:
            if listener.site.name in found.parity:
                check(found.parity[listener.site.name], listener.dictionary)
        self.parity = {site: asdict(parity) for site, parity in found.parity.items()}
        return found.thresholds

    def _read_shard(self, shard: Shard, reader: Reader) -> None:
        """Read one more shard, which is on disk when this returns."""
        sections = [section for _, parts in shard for section in parts]
        hookpoints = [listener.hookpoint for listener in self.listeners]
        for batch in self.source.batches(sections):
            reader.take(self.source.read(batch, hookpoints))
            self.progress.advance(sum(section.size for section in batch))
        reader.finish()
        contexts = [context for section in sections for context in section.contexts]
        table.append(self.cache / "contexts", columns(contexts, self.columns))
        self.columns = table.lengths(self.cache / "contexts")
        measure = self.source.measure
        self.counts = {
            "documents": self.counts["documents"] + len(shard),
            "contexts": self.counts["contexts"] + len(contexts),
            "contexts_too_long": self.counts["contexts_too_long"] + sum(s.too_long for s in sections),
            measure: self.counts[measure] + sum(section.size for section in sections),
        }
        for document, _ in shard:
            self.corpus = self.corpus.add(document.id)
        self.shards_done += 1
        write_sketches(sketch_folder(self.cache, self.shards_done), reader.sketches)
        self.write_manifest(complete=False)
        drop_states(self.cache, self.shards_done)

    def _checksums(self) -> dict[str, str]:
        """Of what stays."""
        state = sketch_folder(self.cache, self.shards_done).relative_to(self.cache).as_posix()
        return {name: found for name, found in checksums(self.cache).items() if not name.startswith(f"{state}/")}

    def write_manifest(self, complete: bool) -> dict[str, Any]:
        """What was done so far. Returns it."""
        manifest = {
            "version": VERSION,
            "complete": complete,
            "settings": self.settings.model_dump(mode="json"),
            "subject": dict(self.source.facts),
            "measure": self.source.measure,
            "limit": self.source.limit,
            "pictures": self.source.pictures,
            "sites": [asdict(listener.site) for listener in self.listeners],
            "dictionaries": {each.site.name: dict(each.dictionary.provenance) for each in self.listeners},
            "parity": self.parity,
            "corpus": asdict(self.corpus),
            "counts": self.counts,
            "columns": self.columns,
            "shards_done": self.shards_done,
            "files": self._checksums() if complete else {},
        }
        replace_file(self.cache / "manifest.json", canonical_json(manifest).encode())
        return manifest
