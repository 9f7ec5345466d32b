"""What runs in processes of its own: the command that labels, checks of a run, and labelling again and again."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from openai import _base_client

from benchmarks.soak.checks import problems
from neurogloss.engines.embedder import MiniLM
from neurogloss.engines.server import ServerModel
from neurogloss.ids import hash64
from neurogloss.protocols import Float32

TIMES: dict[str, Any] = {"timeout": 2.0, "retries": 1}
"""Of the client, in place of minutes."""
FLAGS = "--units all --scorers detection,fuzzing --questions 10 --effort low --concurrency 8".split()
PATIENT = ("--max-attempts", "1000000")
PRELOAD = (
    "benchmarks.soak.labeller",
    "neurogloss.cli.app",
    "neurogloss.cli.progress",
    "neurogloss.cli.render",
    "neurogloss.runs.label",
    "neurogloss.agent.explainers.llm",
    "neurogloss.engines.answers",
    "neurogloss.engines.scripted",
    "neurogloss.scorers.judges.llm",
    "chromadb.api.rust",
    "scipy.stats",
    "sklearn.feature_extraction.text",
    "sklearn.metrics",
    "uvloop",
)
"""What each process would import for seconds."""


def embed(self: MiniLM, texts: Sequence[str]) -> Float32:
    """Vectors that the text decides, at once; what they mean is of no account here."""
    vectors = np.stack([np.random.default_rng(hash64(text)).normal(size=self.dimension) for text in texts])
    unit: Float32 = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def hasten() -> None:
    """The client waits seconds where it would wait minutes, and nothing is embedded by a model."""
    ServerModel.__init__.__kwdefaults__.update(TIMES, timeout=1.0)  # type: ignore[union-attr]
    _base_client.INITIAL_RETRY_DELAY = 0.05
    MiniLM.embed = embed  # type: ignore[method-assign]


def label(run: Path, url: str, said: Path) -> None:
    """The command `neurogloss label`; what it says goes to a file."""
    from neurogloss.cli.app import run as run_command

    hasten()
    descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, sys.stdout.fileno())
    os.dup2(descriptor, sys.stderr.fileno())
    sys.exit(run_command(["label", str(run), "--llm", url, *FLAGS, *PATIENT]))


def check(run: Path, undisturbed: Path, spoilt: bool, said: Path) -> None:
    """Write what is wrong with a finished run, a line each."""
    hasten()
    said.write_text("".join(f"{problem}\n" for problem in problems(run, undisturbed, spoilt)), encoding="utf-8")


def again_and_again(collected: Path, scratch: Path, url: str, seconds: float, samples: Path) -> None:
    """Label fresh copies of a run; after each write the process's memory (KiB) and its open files.

    Garbage in cycles is collected first: when Python does so by itself depends on all else that the process holds.
    """
    import neurogloss as ng

    hasten()
    end = time.monotonic() + seconds
    while not samples.stat().st_size or time.monotonic() < end:
        run = Path(shutil.copytree(collected, scratch / "steady"))
        with suppress(ng.UserError):  # the proxy may be too slow to be tried
            ng.label(run, llm=url, scorers=("detection", "fuzzing"), questions=10, effort="low", concurrency=8)
        shutil.rmtree(run)
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        with open(samples, "a", encoding="utf-8") as file:
            file.write(f"{pages * os.sysconf('SC_PAGE_SIZE') // 1024} {len(os.listdir('/proc/self/fd'))}\n")
