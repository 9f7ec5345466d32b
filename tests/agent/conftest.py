"""A small collected run, scripts for the LLM, and processes of their own for what is killed."""

from __future__ import annotations

import json
import multiprocessing
import random
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from threadpoolctl import threadpool_limits

from neurogloss.engines.embedder import MiniLM
from neurogloss.folder import RunFolder
from neurogloss.ids import UnitId, hash64
from neurogloss.protocols import Float32
from neurogloss.settings import CollectSettings
from neurogloss.store.index import Index
from neurogloss.store.ledger import Ledger

HOOKPOINTS = ("model.layers.0.mlp.down_proj.input", "model.layers.1.mlp.down_proj.input")
DEAD = 5
"""Index at the first hookpoint of a neuron that is always zero."""
FREQUENT = "rose minutes bridge bridges arrived arrives prices morning guests meeting rested starting".split()
RARE = "the a was in of and to it by at old new soup n i tax mill".split()
OPENING = "the old bridge rose and the guests arrived again"
"""One context long. Documents of both halves begin with it, so that one text lies in both."""
RULES = ({"match": "Passages:", "marks": 8}, {"match": "exts:|Pairs:", "words": "explanation"})
"""A script that answers every prompt of the package."""
COMMAND = """
import sys
from neurogloss.cli import main
sys.argv = ["neurogloss", *arguments]
main()
"""
QUICK = """
import signal
import numpy as np
from neurogloss.engines.embedder import MiniLM

def embed(self, texts):
    signal.setitimer(signal.ITIMER_REAL, alarm)
    return np.eye(self.dimension, dtype=np.float32)[: len(texts)]

MiniLM.embed = embed
"""
"""Vectors at once instead of after seconds. Where `alarm` is not 0, it ends the process so many seconds after
they are there, while they are written: nothing handles the alarm."""
PRELOAD = (
    "neurogloss.cli.app",
    "neurogloss.cli.progress",
    "neurogloss.cli.render",
    "neurogloss.runs.label",
    "neurogloss.agent.explainers.llm",
    "neurogloss.engines.scripted",
    "neurogloss.scorers.judges.llm",
    "chromadb",
    "scipy.stats",
    "sklearn.metrics",
)
"""What each process would import for seconds."""


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Two threads of a matrix library on a busy machine wait for one another; small matrices need only one."""
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture(scope="session")
def subject_with_a_dead_neuron(tiny_subject_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny subject; the neuron DEAD of its first layer is zero whatever it reads."""
    folder = tmp_path_factory.mktemp("subjects") / "tiny-llama"
    shutil.copytree(tiny_subject_folder, folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight"][DEAD] = 0
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 documents of random words; every sixth begins with OPENING."""
    rng = random.Random(0)
    documents = []
    for i in range(60):
        words = [rng.choice(FREQUENT if rng.random() < 0.35 else RARE) for _ in range(rng.randint(60, 120))]
        documents.append(" ".join([OPENING, *words] if i % 6 == 0 else words))
    path = tmp_path_factory.mktemp("corpus") / "words.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in documents), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def collected(subject_with_a_dead_neuron: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collected run: 48 neurons with two sides at each of two layers. Read only."""
    from neurogloss.sources.collector import collect

    run = RunFolder(tmp_path_factory.mktemp("runs") / "collected")
    settings = CollectSettings(
        subject=str(subject_with_a_dead_neuron),
        hookpoints=HOOKPOINTS,
        corpus=str(corpus),
        tokens=1_000_000,
        context_chars=len(OPENING),
        top=4,
        uniform=12,
        active_quantile=0.8,
        calibration_contexts=64,
        shard_tokens=4096,
    )
    collect(run, settings)
    return run.path


@pytest.fixture(scope="session")
def opening() -> str:
    """A text that begins documents of both halves."""
    return OPENING


@pytest.fixture(scope="session")
def dead(subject_with_a_dead_neuron: Path) -> UnitId:
    """A unit of the collected run that never fires."""
    return UnitId(subject_with_a_dead_neuron.name, HOOKPOINTS[0], "neurons", DEAD)


@pytest.fixture
def run(collected: Path, tmp_path: Path) -> Path:
    """A copy of the collected run that the test may write to."""
    return Path(shutil.copytree(collected, tmp_path / "run"))


@pytest.fixture(scope="session")
def copy_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Copies of a run."""

    def copy(run: Path) -> Path:
        return Path(shutil.copytree(run, tmp_path_factory.mktemp("copies") / "run"))

    return copy


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., str]:
    """Writes a script of rules that come before RULES, and gives what `--llm` takes.

    It is the same file each time: a script's name decides under which method the ledger keeps its answers.
    """

    def write(*rules: Mapping[str, Any], delay_s: float = 0.0) -> str:
        path = tmp_path / "rules.jsonl"
        every = [*rules, *({**rule, "delay_s": delay_s} for rule in RULES)]
        path.write_text("".join(json.dumps(rule) + "\n" for rule in every), encoding="utf-8")
        return f"scripted:{path}"

    return write


def words_to_vectors(self: MiniLM, texts: Sequence[str]) -> Float32:
    """Bags of words in hashed dimensions: near texts share words."""
    vectors = np.zeros((len(texts), self.dimension), np.float32)
    for row, text in enumerate(texts):
        for word in text.split():
            vectors[row, hash64(word) % self.dimension] += 1
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def quick_embedder() -> Iterator[None]:
    """The index embeds without the real model, which takes seconds to load."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MiniLM, "embed", words_to_vectors)
        yield


@pytest.fixture(scope="session")
def execute() -> Iterator[Callable[..., ForkServerProcess]]:
    """Starts Python source in a process of its own, with the given names; what it imports is loaded already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOAD))
    started: list[ForkServerProcess] = []

    def start(source: str, alarm: float = 0.0, **names: Any) -> ForkServerProcess:
        process = context.Process(target=exec, args=(QUICK + source, {"alarm": alarm, **names}))
        process.start()
        started.append(process)
        return process

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENBLAS_NUM_THREADS", "1")
        start("pass").join()
    yield start
    for process in started:
        process.kill()


@pytest.fixture(scope="session")
def command(execute: Callable[..., ForkServerProcess]) -> Callable[..., ForkServerProcess]:
    """Starts the command `neurogloss` in a process of its own."""
    return lambda *arguments, alarm=0.0: execute(COMMAND, alarm=alarm, arguments=arguments)


@pytest.fixture(scope="session")
def dump() -> Callable[[Path], str]:
    """What the ledger of a run holds, after the index was found to agree with it."""

    def read(run: Path) -> str:
        folder = RunFolder(run)
        with Ledger(folder.ledger, read_only=True) as ledger, Index(folder.index, MiniLM()) as index:
            found = index.check(ledger)
            assert found.ok, found
            return ledger.dump()

    return read
