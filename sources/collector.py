"""One pass over a corpus that collects the evidence of all units of all hookpoints at once.

1. Documents are read in order, exact duplicates dropped, until the wanted number of tokens.
2. Each document is cut into sections that fit the subject, and each section into contexts, both at white space.
3. Units that are never exactly zero get a threshold for each side: a quantile of the side's peaks over the
   first contexts of the explain half.
4. The subject reads a batch of sections, up to the last hookpoint; each token's activations go to its context.
5. Each half of the documents has a sketch of its own, and a context goes to the half of its document.
6. After each shard of documents, contexts and sketches are written; a killed pass goes on from there, and the
   result is the same byte for byte.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
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
from neurogloss.sources.cache import (
    HALVES,
    VERSION,
    context_path,
    read_arrays,
    read_manifest,
    read_sketches,
    sketch_folder,
    write_sketches,
)
from neurogloss.sources.corpus import Document, Fingerprint, Half, half_of, read_documents
from neurogloss.sources.dictionaries import open_dictionary
from neurogloss.sources.hookpoints import Hookpoint
from neurogloss.sources.outputs import write_outputs
from neurogloss.sources.sections import (
    MAX_TOKENS,
    Section,
    SectionContext,
    batches,
    context_shard,
    sections_of,
)
from neurogloss.sources.sketch import Sketch
from neurogloss.sources.subject import Subject


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
            return done
        subject = subject or Subject.load(settings.subject, progress)
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
        # One hookpoint may have been named twice, by an alias.
        self.hookpoints = list(dict.fromkeys(subject.hookpoint(name) for name in settings.hookpoints))
        self.dictionaries = {
            hookpoint: open_dictionary(settings.dictionary, subject.width(hookpoint))
            for hookpoint in self.hookpoints
        }
        self.counts: dict[str, int] = done.get("counts") or {
            "documents": 0,
            "contexts": 0,
            "contexts_too_long": 0,
            "tokens": 0,
        }
        self.corpus = Fingerprint(**done.get("corpus", {}))
        self.shards_done: int = done.get("shards_done", 0)

    def run(self) -> dict[str, Any]:
        names = [str(hookpoint) for hookpoint in self.hookpoints]
        documents = read_documents(self.settings.corpus)
        self._tidy(names)
        if self.shards_done:
            self._pass_over(documents)
            thresholds = read_arrays(self.cache / "thresholds.safetensors")
            sketches = read_sketches(self.cache, self.shards_done, names)
        else:
            thresholds = self._thresholds()
            replace_file(self.cache / "thresholds.safetensors", save(thresholds))
            write_outputs(self.cache, self.subject, self.dictionaries, self.progress)
            sketches = {
                (str(hookpoint), half): Sketch.empty(
                    len(thresholds[str(hookpoint)]), self.settings.top, self.settings.uniform, MAX_TOKENS
                )
                for hookpoint in self.hookpoints
                for half in HALVES
            }
        self.progress.start("collecting", self.settings.tokens, "tokens", done=self.counts["tokens"])
        for shard in self._shards(documents):
            sketches = self._read_shard(shard, sketches, thresholds)
        return self._write_manifest(complete=True)

    def _tidy(self, names: Sequence[str]) -> None:
        """Delete what a killed pass left over."""
        for folder in self.cache.glob("sketches/*"):
            if folder != sketch_folder(self.cache, self.shards_done):
                shutil.rmtree(folder)
        for file in self.cache.glob("outputs/*.safetensors"):
            if file.stem not in names:
                file.unlink()
        for file in self.cache.rglob(".*.tmp"):
            file.unlink()

    def _pass_over(self, documents: Iterator[Document]) -> None:
        """Pass over what was read before. Raises UserError where the corpus has other documents now."""
        found = Fingerprint()
        for document in islice(documents, self.counts["documents"]):
            found = found.add(document.id)
        if found != self.corpus:
            raise UserError(
                f"{self.settings.corpus} has changed since the collection in {self.cache.parent} began. "
                "Bring back what was there, or use another run folder."
            )

    def _sections(self, document: Document) -> list[Section]:
        half = half_of(document.id, self.settings.seed)
        return sections_of(document, half, self.subject.tokenize, self.settings.context_chars)

    def _shards(self, documents: Iterator[Document]) -> Iterator[list[tuple[Document, list[Section]]]]:
        """Documents in groups of `shard_tokens` tokens, until the settings' tokens are reached."""
        shard: list[tuple[Document, list[Section]]] = []
        read, size = self.counts["tokens"], 0
        for document in documents:
            if read + size >= self.settings.tokens:
                break
            shard.append((document, self._sections(document)))
            size += sum(len(section.ids) for section in shard[-1][1])
            if size >= self.settings.shard_tokens:
                yield shard
                shard, read, size = [], read + size, 0
        if shard:
            yield shard

    def _thresholds(self) -> dict[str, NDArray[np.float32]]:
        """(sides,) by hookpoint: 0 where the dictionary is sparse, a quantile of peaks where it is not."""
        wanted = self.settings.calibration_contexts
        sections: list[Section] = []
        for document in read_documents(self.settings.corpus):
            if half_of(document.id, self.settings.seed) == "explain":
                sections += self._sections(document)
            if sum(len(section.contexts) for section in sections) >= wanted:
                break
        sections = [section for section in sections if section.contexts]
        total = sum(len(section.ids) for section in sections)
        self.progress.start("setting thresholds", total, "tokens")
        peaks: dict[str, list[NDArray[np.float32]]] = {str(hookpoint): [] for hookpoint in self.hookpoints}
        for batch in batches(sections):
            for hookpoint, _, activations in self._activations(batch):
                signed = self.dictionaries[hookpoint].signed
                low = [-activations.min(1)] if signed else []
                peaks[str(hookpoint)].append(np.concatenate([activations.max(1), *low], 1))
            self.progress.advance(sum(len(section.ids) for section in batch))
        thresholds = {}
        for hookpoint, dictionary in self.dictionaries.items():
            sides = dictionary.n_units * (2 if dictionary.signed else 1)
            thresholds[str(hookpoint)] = np.zeros(sides, np.float32)
            if not dictionary.sparse and peaks[str(hookpoint)]:
                found = np.quantile(np.concatenate(peaks[str(hookpoint)]), self.settings.active_quantile, axis=0)
                thresholds[str(hookpoint)] = np.maximum(found, 0).astype(np.float32)
        return thresholds

    def _read_shard(
        self,
        shard: Sequence[tuple[Document, list[Section]]],
        sketches: dict[tuple[str, Half], Sketch],
        thresholds: dict[str, NDArray[np.float32]],
    ) -> dict[tuple[str, Half], Sketch]:
        """The sketches after one more shard, which is on disk when this returns."""
        sections = [section for _, parts in shard for section in parts]
        sketches = dict(sketches)
        for batch in batches([section for section in sections if section.contexts]):
            for hookpoint, contexts, activations in self._activations(batch):
                hashes = np.array([context.digest for context in contexts], np.uint64)
                halves = np.array([context.half for context in contexts])
                for half in HALVES:
                    mine = np.flatnonzero(halves == half)
                    if len(mine):
                        key = (str(hookpoint), half)
                        sketches[key] = sketches[key].add(hashes[mine], activations[mine], thresholds[key[0]])
            self.progress.advance(sum(len(section.ids) for section in batch))
        contexts = [context for section in sections for context in section.contexts]
        context_shard(contexts).write(context_path(self.cache, self.shards_done))
        self.counts = {
            "documents": self.counts["documents"] + len(shard),
            "contexts": self.counts["contexts"] + len(contexts),
            "contexts_too_long": self.counts["contexts_too_long"] + sum(s.too_long for s in sections),
            "tokens": self.counts["tokens"] + sum(len(section.ids) for section in sections),
        }
        for document, _ in shard:
            self.corpus = self.corpus.add(document.id)
        self.shards_done += 1
        write_sketches(self.cache, self.shards_done, sketches)
        self._write_manifest(complete=False)
        shutil.rmtree(sketch_folder(self.cache, self.shards_done - 1), ignore_errors=True)
        return sketches

    def _activations(
        self, batch: Sequence[Section]
    ) -> Iterator[tuple[Hookpoint, list[SectionContext], NDArray[np.float32]]]:
        """For each hookpoint the batch's contexts and their activations (contexts, MAX_TOKENS, units)."""
        vectors = self.subject.vectors([section.ids for section in batch], self.hookpoints)
        contexts = [context for section in batch for context in section.contexts]
        rows = np.repeat(np.arange(len(batch)), [len(section.contexts) for section in batch])
        for hookpoint in self.hookpoints:
            found = vectors[hookpoint]
            codes = self.dictionaries[hookpoint].encode(found.flatten(0, 1)).dense().unflatten(0, found.shape[:2])
            activations = np.zeros((len(contexts), MAX_TOKENS, codes.shape[-1]), np.float32)
            for i, (row, context) in enumerate(zip(rows, contexts, strict=True)):
                part = codes[int(row), context.tokens].numpy()
                activations[i, : len(part)] = part
            yield hookpoint, contexts, activations

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
            "hookpoints": [
                {"name": str(hookpoint), "units": dictionary.n_units, "signed": dictionary.signed}
                for hookpoint, dictionary in self.dictionaries.items()
            ],
            "corpus": asdict(self.corpus),
            "counts": self.counts,
            "shards_done": self.shards_done,
        }
        replace_file(self.cache / "manifest.json", canonical_json(manifest).encode())
        return manifest
