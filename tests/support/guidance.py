"""Fuzzing guided by coverage, with Atheris: inputs that reach new code are kept, and changed further.

1. A process is forked, since libFuzzer ends the one that it runs in.
2. Every function of neurogloss that is loaded by then is instrumented, in place.
3. Bytes are what Hypothesis draws from: its strategies make the damaged file of them.
"""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FunctionType

LARGEST = 4096
"""Bytes to draw from."""
SEEDS = 32
"""Inputs to begin with."""
SLOWEST = 60
"""Seconds after which one input counts as a hang."""
MEMORY_MB = 8192


def run(test_one_input: Callable[[bytes], object], seconds: int, watched: str = "neurogloss") -> None:
    """Give it inputs for so long, guided by the functions of the modules whose names begin so.

    Raises AssertionError where an input raised, hung or took too much memory.
    """
    with tempfile.TemporaryDirectory() as folder:
        child = os.fork()
        if not child:
            _fuzz(test_one_input, seconds, watched, folder)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        assert code == 0, f"the fuzzer ended with {code}: see what it printed, and the files that the test left"


def _fuzz(test_one_input: Callable[[bytes], object], seconds: int, watched: str, folder: str) -> None:
    """Does not return."""
    # The fuzzer's own, for inputs that hang: not that of pytest's timeout.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    try:
        import atheris

        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for seed in range(SEEDS):
            drawn = random.Random(seed).randbytes(LARGEST)
            (corpus / str(seed)).write_bytes(drawn)
            test_one_input(drawn)  # which loads what the parser imports when it is called
        for each in gc.get_objects():
            if isinstance(each, FunctionType) and (each.__module__ or "").startswith(watched):
                atheris.instrument_func(each)
        options = {
            "max_total_time": seconds,
            "max_len": LARGEST,
            "len_control": 0,
            "timeout": SLOWEST,
            "rss_limit_mb": MEMORY_MB,
            "artifact_prefix": f"{folder}/",
            "print_final_stats": 1,
        }
        atheris.Setup(
            [sys.argv[0], *(f"-{name}={value}" for name, value in options.items()), str(corpus)], test_one_input
        )
        atheris.Fuzz()
    except Exception:
        traceback.print_exc()
    finally:
        # Where an input raised, Atheris has said so and asks to exit; nothing of the forked process is to run.
        sys.stdout.flush()
        os._exit(1)
