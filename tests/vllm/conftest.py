"""Real vLLM servers on ports of loopback: one for the session, others for a test."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import neurogloss as ng

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class VllmServer:
    url: str
    folder: Path
    process: subprocess.Popen[str]

    @property
    def model(self) -> str:
        return self.folder.name

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(timeout=60)

    def processes(self) -> set[int]:
        """The server and all that it started: they share a process group, which the command's child leads."""
        rows = [row for pid in Path("/proc").iterdir() if pid.name.isdigit() and (row := _row(pid))]
        leaders = {pid for pid, parent, _ in rows if parent == self.process.pid}
        return {pid for pid, _, group in rows if group in leaders}


Start = Callable[..., contextlib.AbstractContextManager[VllmServer]]


def _row(process: Path) -> tuple[int, int, int] | None:
    """Id, parent and group of a process that is not a zombie."""
    try:
        state, parent, group = (process / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[:3]
    except OSError:
        return None
    return None if state == "Z" else (int(process.name), int(parent), int(group))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that stop the server come after all that need it."""
    items.sort(key=lambda item: "stopped_server" in getattr(item, "fixturenames", ()))


@contextlib.contextmanager
def started(folder: Path, log: Path, *options: str) -> Iterator[VllmServer]:
    """A server of the model in that folder, from when it is ready; skips where no vLLM is installed."""
    python = ROOT / ".venv-vllm" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"no vLLM at {python}: make setup-vllm")
    command = [sys.executable, "-m", "neurogloss", "llm", "serve", str(folder), "--python", str(python)]
    command += ["--json", "--timeout", "300", "--log", str(log), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        # The command gives up after 300 seconds and then closes its output: this always returns.
        line = process.stdout.readline()
        if not line:
            pytest.fail(f"vLLM did not start:\n{log.read_text(encoding='utf-8')[-4000:]}")
        yield VllmServer(json.loads(line)["url"], folder, process)
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.fixture(scope="session")
def start() -> Start:
    """Starts another one, for a `with` block."""
    return started


@pytest.fixture(scope="session")
def vllm_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    log = tmp_path_factory.mktemp("vllm") / "server.log"
    with started(model_folder(), log, "--port", "0", "--max-model-len", "4096") as server:
        yield server


@pytest.fixture(scope="session")
def collected(tiny_subject_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few thousand tokens of real text, read by a subject with random weights. Read only."""
    path = tmp_path_factory.mktemp("runs") / "small"
    ng.collect(
        path,
        subject=str(tiny_subject_folder),
        hookpoints=("model.layers.0.mlp.down_proj.input", "model.layers.1.mlp.down_proj.input"),
        tokens=20_000,
        context_chars=64,
        top=4,
        uniform=16,
        active_quantile=0.8,
    )
    return path


@dataclass(frozen=True)
class StoppedServer:
    url: str
    model: str
    before: set[int]
    """Its processes while it ran."""
    left: set[int]
    """Those of them that are still there."""


@pytest.fixture
def stopped_server(vllm_server: VllmServer) -> StoppedServer:
    """The session's server, no longer running."""
    before = vllm_server.processes()
    vllm_server.stop()
    left = {pid for pid in before if _row(Path("/proc") / str(pid))}
    return StoppedServer(vllm_server.url, vllm_server.model, before, left)


def model_folder() -> Path:
    """The packaged SmolLM2, or the folder that NEUROGLOSS_VLLM_MODEL names."""
    if given := os.environ.get("NEUROGLOSS_VLLM_MODEL"):
        return Path(given)
    from neurogloss.sources.loading import packaged_folder

    return packaged_folder()
