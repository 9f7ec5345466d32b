"""The command `neurogloss`. Results on stdout, progress on stderr; errors become exit codes.

0 done · 1 finished, but some units failed · 2 something the user can fix · 130 interrupted
"""

from __future__ import annotations

import ctypes
import io
import os
import sys

LARGE = 2**22
"""Bytes of a block that glibc maps by itself; mapping smaller ones takes time that shows."""
M_MMAP_THRESHOLD = -3
"""Of glibc's malloc.h."""


def main() -> None:
    """Entry point of the command."""
    # What libraries would otherwise print or send: bars of their own, traces to a service, look-ups at a hub.
    for name, value in (("TQDM_DISABLE", "1"), ("LANGSMITH_TRACING", "false"), ("HF_HUB_OFFLINE", "1")):
        os.environ.setdefault(name, value)
    # Large tensors of torch on huge pages, where the system has them: fewer page faults, fewer gaps in memory.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    map_large_blocks()
    # A terminal that cannot show a sign gets a substitute for it, not a traceback.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    from neurogloss.cli.app import run

    sys.exit(run(sys.argv[1:]))


def map_large_blocks() -> None:
    """Have glibc map each block of LARGE bytes and more, as MALLOC_MMAP_THRESHOLD_ would from the start.

    glibc returns a mapped block to the system when it is freed, but only the end of its heap: while a pass reads a
    long corpus, blocks of changing sizes would fragment the heap. Does nothing without glibc, or if the variable
    is set.
    """
    if sys.platform == "linux" and "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        library = ctypes.CDLL(None)
        if hasattr(library, "mallopt"):  # not in musl
            library.mallopt(M_MMAP_THRESHOLD, LARGE)
