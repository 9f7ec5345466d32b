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

import ctypes
import shutil
import sys
from collections.abc import Iterator
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
from neurogloss.settings import CollectSettings
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
from neurogloss.sources.calibration import calibrate, first_sections
from neurogloss.sources.contexts import HALVES
from neurogloss.sources.corpus import Document, Fingerprint
from neurogloss.sources.outputs import write_outputs
from neurogloss.sources.parity import check
from neurogloss.sources.reader import Reader, Sketches
from neurogloss.sources.sections import MAX_TOKENS, Section, batches, columns, documents_of, sections_in
from neurogloss.sources.sites import listeners
from neurogloss.sources.sketch import Sketch
from neurogloss.sources.subject import Subject
from neurogloss.sources.tokens import TokenRow

Shard = list[tuple[Document | TokenRow, list[Section]]]
"""Documents that are read between two states on disk."""
SHARD_TOKENS = 8_192
"""Least tokens between two states on disk."""
TOKENS_PER_SIDE = 4
"""Tokens between two states for each side: then writing them costs a few per cent of the pass at most."""


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
    with run.writing():
        done = _previous(run, settings)
        if done.get("complete"):
            _drop_states(run.cache, None)
            Cache(run.cache).verify()
            return done
        subject = subject or Subject.of(settings, progress)
        if done and done["subject"]["fingerprint"] != subject.fingerprint:
            raise UserError(
                f"The subject {subject.name} has changed since the collection in {run.path} began. "
                "Bring back the one that was there, or use another run folder."
            )
        return _Pass(run.cache, settings, subject, progress, done).run()


def _previous(run: RunFolder, settings: CollectSettings) -> dict[str, Any]:
    """The manifest of an earlier pass with the same settings, empty where there is none."""
    if not (run.cache / "manifest.json").is_file():
        return {}
    manifest = read_manifest(run.cache)
    given = settings.model_dump(mode="json")
    changed = [name for name, value in manifest["settings"].items() if given.get(name) != value]
    if changed:
        was = ", ".join(f"{name}={manifest['settings'][name]!r}" for name in changed)
        raise UserError(
            f"{run.path} was collected with other settings ({was}). "
            "Use those, or another run folder for the new ones."
        )
    return manifest


def _drop_states(cache: Path, shards_done: int | None) -> None:
    """Delete all sketches but those after so many shards; None: but the finished ones."""
    for folder in cache.glob("sketches/*"):
        if folder != sketch_folder(cache, shards_done):
            shutil.rmtree(folder)


def trim() -> None:
    """Give what was freed back to the system; nothing where the C library is not glibc.

    Left alone, glibc gives back the end of its heap only, and a pass would grow by the fragments before it.
    """
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        if hasattr(library, "malloc_trim"):  # not in musl
            library.malloc_trim(0)


class _Pass:
    def __init__(
        self,
        cache: Path,
        settings: CollectSettings,
        subject: Subject,
        progress: Progress,
        done: dict[str, Any],
    ) -> None:
        self.cache, self.settings, self.subject, self.progress = cache, settings, subject, progress
        self.listeners = listeners(settings, subject)
        self.counts: dict[str, int] = done.get("counts") or {
            "documents": 0,
            "contexts": 0,
            "contexts_too_long": 0,
            "tokens": 0,
        }
        self.columns: dict[str, int] = done.get("columns", {})
        self.corpus = Fingerprint(**done.get("corpus", {}))
        self.shards_done: int = done.get("shards_done", 0)
        self.parity: dict[str, Any] = done.get("parity", {})
        sides = sum(listener.site.sides for listener in self.listeners)
        self.shard_tokens = settings.shard_tokens or max(SHARD_TOKENS, TOKENS_PER_SIDE * sides)

    def run(self) -> dict[str, Any]:
        documents = documents_of(self.settings)
        self._tidy()
        if self.shards_done:
            self._pass_over(documents)
            thresholds = read_arrays(self.cache / "thresholds.safetensors")
            state = sketch_folder(self.cache, self.shards_done)
            sketches = read_sketches(state, [listener.site.name for listener in self.listeners])
        else:
            thresholds = self._calibrate()
            replace_file(self.cache / "thresholds.safetensors", save(thresholds))
            write_outputs(self.cache, self.subject, self.listeners, self.progress)
            sketches = self._empty()
        reader = Reader(self.subject, self.listeners, thresholds, sketches)
        self.progress.start("collecting", self.settings.tokens, "tokens", done=self.counts["tokens"])
        for shard in self._shards(documents):
            self._read_shard(shard, reader)
        for sketch in reader.sketches.values():
            sketch.sort()
        write_sketches(sketch_folder(self.cache, None), reader.sketches)
        table.write_order(self.cache / "contexts", self.columns)
        manifest = self._write_manifest(complete=True)
        _drop_states(self.cache, None)
        return manifest

    def _empty(self) -> Sketches:
        top, uniform = self.settings.top, self.settings.uniform
        return {
            (listener.site.name, half): Sketch.empty(listener.site.sides, top, uniform, MAX_TOKENS)
            for listener in self.listeners
            for half in HALVES
        }

    def _tidy(self) -> None:
        """Delete what a killed pass left over."""
        _drop_states(self.cache, self.shards_done)
        names = [listener.site.name for listener in self.listeners]
        for file in self.cache.glob("outputs/*.safetensors"):
            if file.stem not in names:
                file.unlink()
        for file in self.cache.rglob(".*.tmp"):
            file.unlink()
        table.cut_back(self.cache / "contexts", self.columns)

    def _pass_over(self, documents: Iterator[Document | TokenRow]) -> None:
        """Pass over what was read before. Raises UserError where the corpus has other documents now."""
        found = Fingerprint()
        for document in islice(documents, self.counts["documents"]):
            found = found.add(document.id)
        if found != self.corpus:
            raise UserError(
                f"{self.settings.corpus} has changed since the collection in {self.cache.parent} began. "
                "Bring back what was there, or use another run folder."
            )

    def _shards(self, documents: Iterator[Document | TokenRow]) -> Iterator[Shard]:
        """Documents in groups of `shard_tokens` tokens, until the settings' tokens are reached."""
        shard: Shard = []
        read, size = self.counts["tokens"], 0
        for document in documents:
            if read + size >= self.settings.tokens:
                break
            shard.append((document, sections_in(document, self.settings, self.subject)))
            size += sum(len(section.ids) for section in shard[-1][1])
            if size >= self.shard_tokens:
                yield shard
                shard, read, size = [], read + size, 0
        if shard:
            yield shard

    def _calibrate(self) -> dict[str, NDArray[np.float32]]:
        """The thresholds. Raises UserError where a dictionary does not fit."""
        found = calibrate(
            self.subject, self.listeners, first_sections(self.settings, self.subject), self.settings, self.progress
        )
        for listener in self.listeners:
            if listener.site.name in found.parity:
                check(found.parity[listener.site.name], listener.dictionary)
        self.parity = {site: asdict(parity) for site, parity in found.parity.items()}
        return found.thresholds

    def _read_shard(self, shard: Shard, reader: Reader) -> None:
        """Read one more shard, which is on disk when this returns."""
        sections = [section for _, parts in shard for section in parts]
        for batch in batches([section for section in sections if section.contexts]):
            reader.read(batch)
            trim()
            self.progress.advance(sum(len(section.ids) for section in batch))
        reader.finish()
        contexts = [context for section in sections for context in section.contexts]
        table.append(self.cache / "contexts", columns(contexts, self.columns))
        self.columns = table.lengths(self.cache / "contexts")
        self.counts = {
            "documents": self.counts["documents"] + len(shard),
            "contexts": self.counts["contexts"] + len(contexts),
            "contexts_too_long": self.counts["contexts_too_long"] + sum(s.too_long for s in sections),
            "tokens": self.counts["tokens"] + sum(len(section.ids) for section in sections),
        }
        for document, _ in shard:
            self.corpus = self.corpus.add(document.id)
        self.shards_done += 1
        write_sketches(sketch_folder(self.cache, self.shards_done), reader.sketches)
        self._write_manifest(complete=False)
        _drop_states(self.cache, self.shards_done)

    def _checksums(self) -> dict[str, str]:
        """Of what stays."""
        state = sketch_folder(self.cache, self.shards_done).relative_to(self.cache).as_posix()
        return {name: found for name, found in checksums(self.cache).items() if not name.startswith(f"{state}/")}

    def _write_manifest(self, complete: bool) -> dict[str, Any]:
        manifest = {
            "version": VERSION,
            "complete": complete,
            "settings": self.settings.model_dump(mode="json"),
            "subject": {
                "name": self.subject.name,
                "fingerprint": self.subject.fingerprint,
                "bos": self.subject.bos,
            },
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
