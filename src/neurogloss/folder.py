"""The run folder: where each part of a run lies, who may write to it, and how a file is replaced."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import platformdirs
from filelock import FileLock, Timeout

from neurogloss.errors import UserError


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths of one run. Making this object touches nothing."""

    path: Path

    @property
    def cache(self) -> Path:
        """What the pass over the corpus collected."""
        return self.path / "cache"

    @property
    def ledger(self) -> Path:
        """The SQLite file that is the truth."""
        return self.path / "ledger.sqlite"

    @property
    def answers(self) -> Path:
        """What servers answered: a cache, which can be deleted."""
        return self.path / "answers.sqlite"

    @property
    def index(self) -> Path:
        """The Chroma folder, which can be rebuilt from the ledger."""
        return self.path / "index"

    @property
    def name(self) -> str:
        return self.path.resolve().name

    def require(self) -> RunFolder:
        """This folder, or a UserError where there is no run in it."""
        if not self.cache.is_dir() and not self.ledger.is_file():
            found = "no run in it" if self.path.exists() else "nothing"
            raise UserError(
                f"Expected a run folder at {self.path}, found {found}. "
                f"Make one with:  neurogloss collect {self.path} --hookpoint HOOKPOINT"
            )
        return self

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the run's lock. Raises UserError where another process holds it."""
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise UserError(
                f"Another process is writing to {self.path}. Wait until it ends, or use another run folder."
            ) from None
        try:
            yield
        finally:
            lock.release()


def user_cache() -> Path:
    """Where converted models are kept; NEUROGLOSS_CACHE overrides it."""
    return Path(os.environ.get("NEUROGLOSS_CACHE") or platformdirs.user_cache_dir("neurogloss"))


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that becomes `path` when it is whole: a kill at any moment leaves the old or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with open(temporary, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def replace_file(path: Path, data: bytes) -> None:
    """Write `data` to `path`, all of it or nothing."""
    with replacing(path) as file:
        file.write(data)
