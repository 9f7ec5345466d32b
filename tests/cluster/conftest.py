"""A Ray cluster of worker processes on this machine, a small run, and what its ledger and cache hold."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import neurogloss as ng
from neurogloss.engines.embedder import MiniLM
from neurogloss.folder import RunFolder
from neurogloss.ids import hash64
from neurogloss.protocols import Float32
from neurogloss.store.ledger import Ledger

HOOKPOINT = "model.layers.0.mlp.down_proj.input"
DELAY_S = 0.05
"""Of every answer: long enough for a run to be hit in its middle."""
RULES = (
    {"match": "Passages:", "marks": 8, "delay_s": DELAY_S},
    {"match": "exts:|Pairs:", "words": "explanation", "delay_s": DELAY_S},
)


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents and {"cluster", "hosts"} & {
            *getattr(item, "fixturenames", ())
        }:
            item.add_marker(pytest.mark.ray)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """A head with room for two tasks; tests add hosts. This process has joined it."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        for name in ("HTTP_PROXY", "HTTPS_PROXY"):  # Ray's processes would speak to one another through it
            patch.delenv(name, raising=False)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_raylet_start_wait_time_s", "120")  # of a busy machine
        host = {"num_cpus": 2, "include_dashboard": False}
        made = Cluster(initialize_head=True, head_node_args=host)
        ray.init(made.address, log_to_driver=False, logging_level=logging.CRITICAL)
        yield made
        ray.shutdown()
        made.shutdown()


@pytest.fixture(scope="session")
def script(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that answers explainers and judges."""
    path = tmp_path_factory.mktemp("script") / "rules.jsonl"
    path.write_text("".join(json.dumps(rule) + "\n" for rule in RULES), encoding="utf-8")
    return f"scripted:{path}"


@pytest.fixture(scope="session")
def settings(tiny_subject_folder: Path) -> Mapping[str, Any]:
    """Of a collection of several shards."""
    return {
        "subject": str(tiny_subject_folder),
        "hookpoints": [HOOKPOINT],
        "tokens": 12_000,
        "shard_tokens": 1024,
        "context_chars": 64,
        "active_quantile": 0.8,
        "calibration_contexts": 64,
        "top": 4,
        "uniform": 12,
    }


@pytest.fixture(scope="session")
def collected(settings: Mapping[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few neurons of a random model over real text, read in one process. Read only."""
    path = tmp_path_factory.mktemp("runs") / "collected"
    ng.collect(path, **settings)
    return path


@pytest.fixture
def run(collected: Path, tmp_path: Path) -> Path:
    """A copy of the collected run that the test may write to."""
    return Path(shutil.copytree(collected, tmp_path / "run"))


@pytest.fixture(scope="session")
def copy_run(collected: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    return lambda: Path(shutil.copytree(collected, tmp_path_factory.mktemp("copies") / "run"))


@pytest.fixture(scope="session")
def dump() -> Callable[[Path], str]:
    """What the ledger of a run holds."""

    def read(run: Path) -> str:
        with Ledger(RunFolder(run).ledger, read_only=True) as ledger:
            return ledger.dump()

    return read


@pytest.fixture(scope="session")
def files() -> Callable[[Path], dict[str, bytes]]:
    """Every file of a run's cache, and whatever else lies in the run folder."""

    def read(run: Path) -> dict[str, bytes]:
        return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()}

    return read


@pytest.fixture(scope="session")
def workers() -> Callable[[str], list[int]]:
    """The processes, below this one, that are at a task of that name."""

    def find(task: str) -> list[int]:
        import psutil

        def at_it(process: psutil.Process) -> bool:
            try:
                return re.match(rf"ray::{task}\b", process.cmdline()[0]) is not None
            except (psutil.NoSuchProcess, IndexError):  # any more
                return False

        return [each.pid for each in psutil.Process(os.getpid()).children(recursive=True) if at_it(each)]

    return find


def embed(self: MiniLM, texts: Sequence[str]) -> Float32:
    """Vectors that the text decides, at once; what they mean is of no account here."""
    vectors = np.stack([np.random.default_rng(hash64(text)).normal(size=self.dimension) for text in texts])
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


REAL = MiniLM.embed


@pytest.fixture(autouse=True, scope="module")
def quick_embedder() -> Iterator[None]:
    """The index embeds without the real model, which takes seconds; workers have the real one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MiniLM, "embed", embed)
        yield


@pytest.fixture
def real_embedder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As workers have it: the model, on one thread."""
    monkeypatch.setattr(MiniLM, "embed", REAL)
    with threadpool_limits(1, user_api="blas"):
        yield
