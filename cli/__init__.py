"""The command `neurogloss`. Results on stdout, progress on stderr; errors become exit codes.

0 done · 1 finished, but some units failed · 2 something the user can fix · 130 interrupted
"""

from __future__ import annotations

import io
import os
import sys


def main() -> None:
    """Entry point of the command."""
    # What libraries would otherwise print or send: bars of their own, traces to a service, look-ups at a hub.
    for name, value in (("TQDM_DISABLE", "1"), ("LANGSMITH_TRACING", "false"), ("HF_HUB_OFFLINE", "1")):
        os.environ.setdefault(name, value)
    # Large tensors of torch on huge pages, where the system has them: fewer page faults, fewer gaps in memory.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    # A terminal that cannot show a sign gets a substitute for it, not a traceback.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    from neurogloss.cli.app import run

    sys.exit(run(sys.argv[1:]))
