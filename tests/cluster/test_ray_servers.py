"""Workers of a Ray cluster with two LLM servers, of which one dies: the other does the rest."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import neurogloss as ng
from neurogloss.engines.scripted import ScriptedModel
from neurogloss.llm import Message, Request
from neurogloss.protocols import Quiet

LABEL: dict[str, Any] = {
    "units": "0-9",
    "scorers": ("detection",),
    "questions": 20,
    "min_active": 5,
    "effort": "low",
    "concurrency": 2,
}


class Server:
    """Answers by a script until it dies: then it breaks every connection off, and takes no more."""

    def __init__(self, script: str) -> None:
        model, self.answered, self._dead = ScriptedModel(script.removeprefix("scripted:")), 0, False
        mine, self._open = self, list[socket.socket]()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                mine._open.append(self.connection)

            def send(self, status: int, body: Any) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_GET(self) -> None:
                self.send(200, {"data": [{"id": "tiny"}]})

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path != "/v1/chat/completions" or {"tools", "logprobs"} & asked.keys():
                    return self.send(400, {"error": {"message": "not here"}})
                turns = tuple(Message(turn["role"], turn["content"]) for turn in asked["messages"])
                if any(isinstance(turn.content, list) for turn in turns):
                    return self.send(400, {"error": {"message": "no pictures"}})
                text = asyncio.run(model.chat(Request(turns))).text
                mine.answered += 1
                choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
                self.send(200, {"choices": [choice], "usage": {"prompt_tokens": 9}})

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads, self._server.block_on_close = True, False
        self._server.handle_error = lambda *args: None  # type: ignore[method-assign]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def die(self) -> None:
        if self._dead:
            return
        self._dead = True
        self._server.shutdown()
        self._server.server_close()
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # over already


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    rules = tmp_path / "rules.jsonl"
    rules.write_text(
        '{"match": "^Say hello", "reply": {"word": "zephyr"}}\n'
        '{"match": "Passages:", "marks": 8, "delay_s": 0.05}\n'
        '{"match": "exts:", "words": "explanation", "delay_s": 0.05}\n',
        encoding="utf-8",
    )
    both = Server(str(rules)), Server(str(rules))
    yield both
    for server in both:
        server.die()


def test_one_of_two_servers_dies(
    cluster: Any,
    copy_run: Callable[[], Path],
    dump: Callable[[Path], str],
    servers: tuple[Server, Server],
) -> None:
    first, second = servers
    alone, run, units = copy_run(), copy_run(), Counter[str]()
    urls = f"{first.url},{second.url}"
    ng.label(alone, llm=urls, stored_answers=False, **LABEL)
    before = first.answered, second.answered

    class Dying(Quiet):
        def advance(self, n: int = 1) -> None:
            units["done"] += 1
            if units["done"] == 3:
                first.die()

    summary = ng.label(run, llm=urls, engine="ray", progress=Dying(), **LABEL)
    assert summary.waiting == 0 and not summary.failed
    # What shares a beginning goes to one server while it lives.
    assert first.answered > before[0] and second.answered > before[1]
    assert dump(run) == dump(alone)
