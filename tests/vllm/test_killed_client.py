"""A client that is killed leaves no request running on a real server: its connections close, and vLLM aborts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import VllmServer

pytestmark = [pytest.mark.vllm, pytest.mark.model, pytest.mark.timeout(600)]

CLIENT = """
import asyncio, sys
from neurogloss.engines.server import ServerModel
from neurogloss.llm import Features, Message, Request

async def main():
    async with ServerModel(sys.argv[1], features=Features()) as model:
        asked = [Request((Message("user", f"Count to {n} in words."),), temperature=1.0, max_tokens=3500, seed=n,
                         schema={"type": "array", "items": {"type": "integer"}, "minItems": 3000})
                 for n in range(1000, 1004)]
        await asyncio.gather(*map(model.chat, asked))

asyncio.run(main())
"""


def metric(url: str, name: str) -> float:
    """The sum of a counter or gauge over its labels, but for requests that were aborted."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{url.removesuffix('/v1')}/metrics", timeout=60) as page:
        lines = re.findall(rf"^vllm:{name}\{{(.*)\}} ([\d.e+]+)$", page.read().decode(), re.MULTILINE)
    return sum(float(value) for labels, value in lines if 'finished_reason="abort"' not in labels)


def test_a_killed_client_leaves_nothing_running(vllm_server: VllmServer) -> None:
    finished = metric(vllm_server.url, "request_success_total")
    client = subprocess.Popen([sys.executable, "-c", CLIENT, vllm_server.url])
    while metric(vllm_server.url, "num_requests_running") < 4:
        assert client.poll() is None, "the client ended before its requests ran"
        time.sleep(0.2)
    os.kill(client.pid, signal.SIGKILL)
    client.wait()
    while metric(vllm_server.url, "num_requests_running") + metric(vllm_server.url, "num_requests_waiting"):
        time.sleep(0.2)
    assert metric(vllm_server.url, "request_success_total") == finished, "the requests were given up, not answered"
