"""A small disk that can be filled, and a clock that can be set."""

from __future__ import annotations

import errno
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def small_disk(path: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own in memory. Raises OSError where this user may not mount one."""
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode:
        raise PermissionError(errno.EPERM, mounted.stderr.strip(), str(path))
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def fill(disk: Path, left: int) -> Path:
    """Take the room of a disk but so many bytes; returns what to remove to give it back.

    Others may write there meanwhile: what they were faster to take, they keep.
    """
    ballast = disk / "ballast"
    with open(ballast, "wb") as file:
        taken, piece = 0, shutil.disk_usage(disk).free - left
        while piece > 0:
            try:
                os.posix_fallocate(file.fileno(), taken, piece)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                piece //= 2
            else:
                taken += piece
                piece = shutil.disk_usage(disk).free - left
    return ballast


def clock_library() -> Path | None:
    """libfaketime, of the package of that name; None where it is not installed."""
    found = importlib.util.find_spec("libfaketime")
    if found is None or found.origin is None:
        return None
    return Path(found.origin).with_name("vendor") / "libfaketime" / "src" / "libfaketime.so.1"


@contextmanager
def settable_clock(file: Path) -> Iterator[bool]:
    """Processes started inside take the time plus what `file` says (`+90000`, seconds). False: they cannot.

    Only the time of day: what measures durations goes on, as it does where an administrator sets a clock.
    """
    library = clock_library()
    if library is None:
        yield False
        return
    set_clock(file, 0)
    given = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DISABLE_SHM": "1",
    }
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield True
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def set_clock(file: Path, seconds: int) -> None:
    """Whole at any moment: processes read it as they ask for the time."""
    temporary = file.with_suffix(".new")
    temporary.write_text(f"{seconds:+d}\n", encoding="ascii")
    shutil.move(temporary, file)
