"""The runs that are served, open for reading by several threads at once.

1. A run's ledger is opened several times; each connection is kept open and lent to one request at a time. The
   index is opened once, and serves all requests.
2. If another file lies under the ledger's name, it is opened anew. The index looks after itself.
3. The embedding model is one for all, used by one thread at a time; the latest queries' vectors are kept.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from threading import Lock, Semaphore
from typing import Any

import numpy as np

from neurogloss.engines.embedder import MiniLM
from neurogloss.engines.embedders import load_embedder
from neurogloss.errors import UserError
from neurogloss.folder import RunFolder
from neurogloss.ids import UnitId
from neurogloss.protocols import Embedder, Float32, TokenVectors
from neurogloss.runs.run import Run
from neurogloss.sources.brain.voxels import Voxels
from neurogloss.sources.cache import Cache, read_manifest
from neurogloss.sources.contexts import HALVES
from neurogloss.store.index import Index
from neurogloss.store.ledger import Ledger
from neurogloss.web.problems import not_found

OPEN = 4
"""Requests that read one run at a time; others wait."""
QUERIES = 1_000
"""Vectors kept."""


class SharedEmbedder:
    """An embedder for several threads."""

    def __init__(self, embedder: Embedder) -> None:
        self.name, self.dimension = embedder.name, embedder.dimension
        self._embedder, self._lock = embedder, Lock()
        self._one = lru_cache(QUERIES)(lambda text: embedder.embed([text])[0])

    def embed(self, texts: Sequence[str]) -> Float32:
        with self._lock:
            return np.stack([self._one(text) for text in texts])

    def embed_tokens(self, texts: Sequence[str]) -> list[TokenVectors]:
        with self._lock:
            return self._embedder.embed_tokens(texts)


@dataclass(frozen=True)
class Opened:
    """A run's ledger and index."""

    ledger: Ledger
    index: Index


class Reader:
    """One run."""

    def __init__(self, name: str, path: Path, embedder: Embedder) -> None:
        self.name = name
        self.folder = RunFolder(path).require()
        self._embedder = embedder
        self._index = Index(self.folder.index, embedder)
        self._room, self._lock = Semaphore(OPEN), Lock()
        self._idle: list[tuple[object, Ledger]] = []
        self._collected: tuple[object, Run] | None = None
        self._remembered: dict[object, tuple[str, Any]] = {}
        self._making: dict[object, Lock] = {}
        """By key: what several threads want is made once, the others wait for it."""

    def state(self) -> str:
        """Changes with whatever is written to the run: ledger, index, cache."""
        ledger = self.folder.ledger
        files = (ledger, Path(f"{ledger}-wal"), self._index.pointer, self._manifest)
        return blake2b(repr([_stamp(path) for path in files]).encode(), digest_size=9).hexdigest()

    @contextmanager
    def opened(self) -> Iterator[Opened | None]:
        """Ledger and index, what is read of the ledger being of one moment; None where nothing was labelled."""
        with self._room, ExitStack() as stack:
            file = _stamp(self.folder.ledger)[:2]
            ledger = self._take(file)
            if ledger is None:
                yield None
                return
            try:
                stack.enter_context(ledger.reading())
                yield Opened(ledger, self._index)
                stack.close()
            except BaseException:
                stack.close()
                ledger.close()
                raise
            with self._lock:
                self._idle.append((file, ledger))

    def _take(self, file: object) -> Ledger | None:
        with self._lock:
            old, self._idle = self._idle, [each for each in self._idle if each[0] == file]
            found = self._idle.pop()[1] if self._idle else None
        for made_of, ledger in old:
            if made_of != file:
                ledger.close()
        if found is None and self.folder.ledger.is_file():
            found = Ledger(self.folder.ledger, read_only=True)
        return found

    @property
    def _manifest(self) -> Path:
        return self.folder.cache / "manifest.json"

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for _, ledger in idle:
            ledger.close()
        self._index.close()

    # --- what was collected -----------------------------------------------------------------------

    def manifest(self) -> Mapping[str, Any] | None:
        """Of the cache; None of a run that was only imported, or that has only begun to be collected."""
        return read_manifest(self.folder.cache) if self._manifest.is_file() else None

    @property
    def run(self) -> Run:
        """The run with its cache, as it is on disk now."""
        with self._lock:
            stamp = _stamp(self._manifest)
            if self._collected is None or self._collected[0] != stamp:
                self._collected = stamp, Run(self.folder.path, self._embedder)
                self._remembered = {}
            return self._collected[1]

    @property
    def cache(self) -> Cache | None:
        """None where collecting has not finished, or nothing was collected."""
        manifest = self.manifest()
        return self.run.cache if manifest and manifest.get("complete") else None

    @property
    def voxels(self) -> Voxels | None:
        return self.remember("voxels", lambda: Voxels.of(self.run.cache)) if self.cache else None

    def remember(self, key: object, make: Callable[[], Any], state: str = "") -> Any:
        """What `make` gives, made once while the cache, and that state, stay the same."""
        with self._making.setdefault(key, Lock()):
            run = self.run
            known = self._remembered.get(key)
            if known is None or known[0] != state:
                known = state, make()
                if run is self.run:
                    self._remembered[key] = known
            return known[1]

    def picture_id(self, path: str) -> str | None:
        """The context whose image that is."""
        cache = self.cache
        if not path or cache is None:
            return None
        known: Mapping[str, str] = self.remember("pictures", lambda: _pictures(cache))
        return known.get(path)

    def unit(self, text: str, opened: Opened | None) -> UnitId:
        """The unit that a text names. Raises Refusal where the run has none."""
        try:
            unit = UnitId.parse(text) if _is_full(text) else self.run.unit(text)
            known = opened is not None and not opened.ledger.unknown([unit])
            if not known:
                if self.cache is None:
                    raise UserError(f"Expected a unit of {self.name}, found {unit}. Search for one.")
                self.cache.side(unit)
        except UserError as error:
            raise not_found(str(error)) from None
        return unit


def readers(runs: Sequence[Path], embedder: str | None) -> dict[str, Reader]:
    """Each run by its folder's name, `-2` behind the second of one name.

    Raises:
        UserError: there is no run at a path, or no such embedder.
    """
    shared = SharedEmbedder(load_embedder(embedder) if embedder else MiniLM())
    found: dict[str, Reader] = {}
    for path in runs:
        base = name = RunFolder(path).name
        number = 1
        while name in found:
            number += 1
            name = f"{base}-{number}"
        found[name] = Reader(name, path, shared)
    return found


def _is_full(text: str) -> bool:
    try:
        return str(UnitId.parse(text)) == text
    except ValueError:
        return False


def _pictures(cache: Cache) -> dict[str, str]:
    """Context by path of its image."""
    contexts = (cache.context(digest) for half in HALVES for digest in cache.hashes(half).tolist())
    return {context.picture: context.id for context in contexts if context.picture}


def _stamp(path: Path) -> tuple[int, ...]:
    """Identity, time and size of a file; empty if it is missing or empty, as a new write-ahead log is."""
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size) if found.st_size else ()
