"""Serve a model folder with vLLM on this machine's CPU: .venv/bin/python scripts/serve_vllm.py [FOLDER]

Without a folder it serves the packaged SmolLM2.

1. Start `vllm serve` out of the environment that `setup_vllm.py` made, in a process group of its own.
2. Wait until it answers /health and lists the model, while its process lives.
3. Print the URL on stdout, alone on a line; the server's own log goes to stderr, or to --log.
4. On Ctrl-C, SIGTERM or the server's end, stop the whole group: what does not go in time is killed.
"""

from __future__ import annotations

import argparse
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
from pathlib import Path
from types import FrameType
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[1]
GRACE = 15.0
"""Seconds between asking the server to stop and killing it."""


def main() -> int:
    args = parse()
    vllm = args.venv / "bin" / "vllm"
    if not vllm.exists():
        return complain(f"No vLLM in {args.venv}. Install it with:  python scripts/setup_vllm.py {args.venv}")
    if not (args.folder / "config.json").is_file():
        return complain(f"Expected a Hugging Face model folder at {args.folder}, found no config.json in it.")
    port = args.port or free_port()
    signal.signal(signal.SIGTERM, interrupt)
    log = args.log.open("wb") if args.log else sys.stderr.fileno()
    server = subprocess.Popen(
        command(vllm, args, port), env=environment(args), stdout=log, stderr=log, start_new_session=True
    )
    try:
        wait_until_ready(server, port, args.name, args.budget)
        print(f"http://127.0.0.1:{port}/v1", flush=True)
        return server.wait()
    except KeyboardInterrupt:
        return 0
    except ServerError as error:
        print(f"vLLM did not start: {error}", file=sys.stderr)
        return 1
    finally:
        stop(server)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Serve a model folder with vLLM on this machine's CPU.")
    parser.add_argument("folder", type=Path, nargs="?", help="a Hugging Face model folder with a chat template")
    parser.add_argument("--name", default=None, help="what the server calls the model; the folder's name")
    parser.add_argument("--port", type=int, default=0, help="on loopback; 0 takes a free one")
    parser.add_argument("--max-model-len", type=int, default=4096, help="tokens of prompt and answer")
    parser.add_argument("--kv-cache", type=int, default=1, help="GiB of memory for the KV cache")
    parser.add_argument(
        "--threads", type=int, default=max(1, (os.cpu_count() or 1) // 2), help="half of the cores"
    )
    parser.add_argument("--budget", type=float, default=300, help="seconds that starting may take")
    parser.add_argument("--log", type=Path, default=None, help="file for the server's log")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv-vllm", help="made by setup_vllm.py")
    args = parser.parse_args()
    if args.folder is None:
        from neurogloss.sources.loading import packaged_folder

        args.folder = packaged_folder()
    args.name = args.name or args.folder.resolve().name
    return args


def complain(message: str) -> int:
    print(message, file=sys.stderr)
    return 2


def command(vllm: Path, args: argparse.Namespace, port: int) -> list[str | Path]:
    return [
        *(vllm, "serve", args.folder.resolve(), "--served-model-name", args.name),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--dtype", "float32", "--max-model-len", str(args.max_model_len)),
        # Compiling takes longer than everything that a small model is asked here.
        "--enforce-eager",
        # With chunked prefill a seeded request above temperature 0 can end the CPU engine.
        "--no-enable-chunked-prefill",
        # A small model may fill an answer with white space until its budget is spent.
        *("--structured-outputs-config", json.dumps({"backend": "xgrammar", "disable_any_whitespace": True})),
        "--disable-log-stats",
    ]


def environment(args: argparse.Namespace) -> dict[str, str]:
    """What the server needs set: offline, quiet, and on cores that it can share with other programs.

    With a thread for every core, all of them wait for the one that another program holds up.
    """
    ours = {
        "VLLM_CPU_KVCACHE_SPACE": str(args.kv_cache),
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": str(args.threads),
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    return {**ours, **os.environ}


class ServerError(Exception):
    """The server ended, or its time for starting ran out."""


def wait_until_ready(server: subprocess.Popen[bytes], port: int, name: str, budget: float) -> None:
    """Return when the server lists its model. Raises ServerError where it ends or takes too long."""
    deadline = time.monotonic() + budget
    while time.monotonic() < deadline:
        if (status := server.poll()) is not None:
            raise ServerError(f"it ended with status {status}; its log says why.")
        # An earlier server may still be closing on this port, so the model is asked for by name.
        if get(port, "/health") is not None and name in (get(port, "/v1/models") or ""):
            return
        time.sleep(1)
    raise ServerError(f"not ready after {budget:.0f} seconds; raise --budget on a slow machine.")


def get(port: int, path: str) -> str | None:
    """The body of a page of the server, or None where it does not answer with 200."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
            return str(response.read().decode("utf-8"))
    except (urllib.error.URLError, http.client.HTTPException, OSError):
        return None


def stop(server: subprocess.Popen[bytes]) -> None:
    """End the server and every process that it started: they share its group."""
    # A second Ctrl-C would leave them behind.
    for impatient in (signal.SIGINT, signal.SIGTERM):
        signal.signal(impatient, signal.SIG_IGN)
    deadline = time.monotonic() + GRACE
    for asked in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, asked)
            while time.monotonic() < deadline:
                server.poll()
                os.killpg(server.pid, 0)
                time.sleep(0.1)
        except ProcessLookupError:
            return
    server.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
