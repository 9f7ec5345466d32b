"""A server that answers by a script, and a proxy before it that does what servers and networks do at worst."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.client
import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from neurogloss.engines.scripted import ScriptedModel
from neurogloss.ids import derive_seed
from neurogloss.llm import Message, Request
from neurogloss.records import State

RULES = (
    {"match": "^Say hello", "reply": {"word": "zephyr"}},
    {"match": "Passages:", "marks": 4},
    {"match": "exts:|Pairs:", "words": "explanation"},
)
"""A server that can do schemas, and answers explainers and judges."""

BUSY = b'{"error": {"message": "too many requests"}}'
CANNED: dict[str, tuple[int, bytes, str, str | None]] = {
    "busy": (429, BUSY, "application/json", "0"),
    "busy, no hint": (429, BUSY, "application/json", None),
    "broken": (500, b"Internal Server Error", "text/plain", None),
    "html": (200, b"<html><body>Sign in first</body></html>", "text/html", None),
    "null": (200, b"null", "application/json", None),
    "nested": (200, b"[" * 100_000, "application/json", None),
}
"""Status, body, content type and Retry-After of answers that do not come from the server."""
HARMFUL = {
    **dict.fromkeys(CANNED, State.TRANSPORT),
    **dict.fromkeys(("drop", "cut", "stall", "truncated", "no choice"), State.TRANSPORT),
    **dict.fromkeys(("refusal", "filtered"), State.REFUSAL),
    **dict.fromkeys(("short list", "cut off", "huge", "chatter"), State.UNPARSEABLE),
    "empty": State.EMPTY,
}
"""What a unit's state is where nothing but that comes back."""
TRANSPORT = (*(kind for kind, state in HARMFUL.items() if state is State.TRANSPORT), "late", "plain text")
"""What says nothing of the model; the last two do no harm."""
ANSWERS = tuple(kind for kind, state in HARMFUL.items() if state is not State.TRANSPORT)
"""What is an answer, and none that can be used."""


class Handler(BaseHTTPRequestHandler):
    """HTTP with connections that are kept."""

    protocol_version = "HTTP/1.1"

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def send(
        self, status: int, body: bytes, kind: str = "application/json", retry_after: str | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if retry_after is not None:
            self.send_header("Retry-After", retry_after)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextlib.contextmanager
def listening(handler: type[Handler]) -> Iterator[str]:
    """The URL at which the handler answers, in threads of its own."""
    with _Server(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def listen(handler: type[Handler], port: int) -> None:
    """Answer at that port of loopback until the process ends."""
    with _Server(("127.0.0.1", port), handler) as server:
        server.serve_forever(0.01)


class _Server(ThreadingHTTPServer):
    daemon_threads, block_on_close = True, False
    request_queue_size = 128  # of a few, a busy machine drops connections, and their clients wait for seconds

    def handle_error(self, *_: object) -> None:
        pass


def scripted(rules: Path) -> type[Handler]:
    """A server of one model that answers every request by the rules in that file."""
    script = ScriptedModel(rules)

    class Server(Handler):
        def do_GET(self) -> None:
            self.send(200, json.dumps({"data": [{"id": "tiny"}]}).encode())

        def do_POST(self) -> None:
            request = json.loads(self.body())
            chat = self.path == "/v1/chat/completions" and not {"tools", "logprobs"} & set(request)
            if not chat or any(isinstance(turn["content"], list) for turn in request["messages"]):
                self.send(400, b'{"error": {"message": "not here"}}')
                return
            asked = Request(tuple(Message(turn["role"], turn["content"]) for turn in request["messages"]))
            message = {"role": "assistant", "content": asyncio.run(script.chat(asked)).text}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            self.send(200, json.dumps({"choices": [choice], "usage": {"prompt_tokens": 9}}).encode())

    return Server


@dataclass
class Proxy:
    """Passes requests on, and spoils some answers: which and how is decided by seed, request and attempt."""

    seed: int
    kinds: tuple[str, ...]
    share: float = 0.25
    """Of the attempts that are spoilt."""
    of: bytes = b""
    """Only of requests with this in them."""
    spared: int = 1_500
    """Bytes: shorter requests find out what the server can do, and come through."""
    stall: float = 4.0
    """Seconds that a stalled answer waits, longer than the client's timeout."""
    url: str = ""
    log: Path | None = None
    """Gets a line for each spoilt answer, and outlives the process."""
    spoilt: Counter[str] = field(default_factory=Counter)
    attempts: Counter[str] = field(default_factory=Counter)

    def kind(self, request: bytes) -> str | None:
        """How the answer is spoilt, or None."""
        digest = hashlib.sha256(request).hexdigest()
        self.attempts[digest] += 1
        rng = random.Random(derive_seed(self.seed, digest, self.attempts[digest]))
        if len(request) < self.spared or self.of not in request or rng.random() >= self.share:
            return None
        found = rng.choice(self.kinds)
        self.spoilt[found] += 1
        if self.log:
            with open(self.log, "a", encoding="utf-8") as log:
                log.write(f"{found}\n")
        return found


def spoiling(proxy: Proxy, upstream: str, over: threading.Event) -> type[Handler]:
    """What the proxy does with requests to the server upstream; nothing waits any more once it is over."""

    class Spoiling(Handler):
        def do_GET(self) -> None:
            self.send(*self.passed_on("GET", b""))

        def do_POST(self) -> None:
            request = self.body()
            kind = proxy.kind(request)
            if kind in CANNED:
                self.send(*CANNED[kind])
            elif kind in ("drop", "stall"):
                over.wait(proxy.stall if kind == "stall" else 0)
                self.close_connection = True
            else:
                self.spoil(kind, *self.passed_on("POST", request))

        def passed_on(self, method: str, request: bytes) -> tuple[int, bytes]:
            connection = http.client.HTTPConnection(upstream.removeprefix("http://"))
            with contextlib.closing(connection):
                connection.request(method, self.path, request, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                return answer.status, answer.read()

        def spoil(self, kind: str | None, status: int, body: bytes) -> None:
            if kind == "late":
                over.wait(0.2)
            if kind == "plain text":
                self.send(status, body, "text/plain")
            elif kind == "truncated":
                self.send(status, body[: len(body) // 2])
            elif kind == "cut":
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2])
                self.close_connection = True
            else:
                self.send(status, _spoilt(kind, body) if kind else body)

    return Spoiling


def _spoilt(kind: str, body: bytes) -> bytes:
    """A whole answer of the API, in which there is nothing to use unless the kind did its worst already."""
    answer = json.loads(body)
    choice = answer["choices"][0]
    message, text = choice["message"], choice["message"]["content"]
    match kind:
        case "no choice":
            answer["choices"] = []
        case "short list":
            message["content"] = json.dumps({"answers": json.loads(text).get("answers", [])[:-1]})
        case "refusal":
            message |= {"content": None, "refusal": "I cannot help with that."}
        case "filtered":
            choice["finish_reason"] = "content_filter"
        case "empty":
            message["content"] = None
        case "cut off":
            choice["finish_reason"], message["content"] = "length", text[:-2]
        case "huge":
            message["content"] = "[true, " * 100_000
        case "chatter":
            message["content"] = "Certainly! Most of these texts do fit, I think."
    return json.dumps(answer).encode()
