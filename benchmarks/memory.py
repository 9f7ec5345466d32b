"""Memory of this process as the kernel counts it. Imports nothing else, so that peers' interpreters can use it."""

from __future__ import annotations

import ctypes
from pathlib import Path

PROCESS = Path("/proc/self")


def memory(field: str) -> int:
    """Bytes: VmRSS at present, RssAnon less what is mapped from files, VmHWM at most since `forget`."""
    status = (PROCESS / "status").read_text(encoding="utf-8")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith(field))) * 1024


def forget() -> None:
    """What loading left behind: memory that is free goes back to the system, and the peak begins anew."""
    ctypes.CDLL(None).malloc_trim(0)
    (PROCESS / "clear_refs").write_text("5", encoding="utf-8")
