"""Every way in which a server can fail becomes the failure that it is; tried on a server of this test."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from neurogloss.accounts import Usage
from neurogloss.engines import load_chat_model
from neurogloss.engines.server import ServerModel
from neurogloss.errors import (
    AnswerError,
    EmptyAnswerError,
    RefusalError,
    TransportError,
    UnparseableError,
    UserError,
)
from neurogloss.llm import Features, Message, Reply, Request

SCHEMA = {"type": "object"}
ASK = (Message("system", "Be brief."), Message("user", "Why?"))


def completion(content: str | None = "Because.", finish: str = "stop", **message: Any) -> str:
    choice = {
        "index": 0,
        "finish_reason": finish,
        "message": {"role": "assistant", "content": content, **message},
    }
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": "tiny", "usage": usage}
    return json.dumps({**body, "choices": [choice]})


@dataclass
class FakeServer:
    """Answers with the planned (status, body) pairs in turn, the last one for ever."""

    url: str = ""
    plan: list[tuple[int, str]] = field(default_factory=lambda: [(200, completion())])
    models: tuple[int, str] = (
        200,
        json.dumps({"object": "list", "data": [{"id": "tiny", "object": "model"}]}),
    )
    content_type: str = "application/json"
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    stop: Callable[[], None] = lambda: None

    def answer(self) -> tuple[int, str]:
        return self.plan.pop(0) if len(self.plan) > 1 else self.plan[0]


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer()

    class Handler(BaseHTTPRequestHandler):
        def send(self, status: int, body: str) -> None:
            fake.keys.add(self.headers["Authorization"])
            self.send_response(status)
            self.send_header("Content-Type", fake.content_type)
            self.send_header("Content-Length", str(len(body.encode())))
            self.send_header("retry-after-ms", "1")
            self.end_headers()
            self.wfile.write(body.encode())

        def do_GET(self) -> None:
            self.send(*(fake.models if self.path == "/v1/models" else (404, "")))

        def do_POST(self) -> None:
            fake.requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send(*(fake.answer() if self.path == "/v1/chat/completions" else (404, "")))

        def log_message(self, format: str, *args: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()

    def stop() -> None:
        http.shutdown()
        http.server_close()

    fake.url, fake.stop = f"http://127.0.0.1:{http.server_port}", stop
    yield fake
    stop()
    thread.join()


def chat(url: str, model: str | None = None, retries: int = 2, **request: Any) -> Reply:
    async def ask() -> Reply:
        async with ServerModel(url, model, features=Features(), retries=retries) as chat:
            return await chat.chat(Request(ASK, **request))

    return asyncio.run(ask())


def connect(url: str, model: str | None = None, **settings: Any) -> str:
    async def name() -> str:
        async with ServerModel(url, model, **{"retries": 0, "features": Features(), **settings}) as chat:
            return chat.name

    return asyncio.run(name())


# --- what is sent --------------------------------------------------------------------------------------


def test_a_question_and_its_answer(server: FakeServer) -> None:
    assert chat(server.url, schema=SCHEMA, temperature=0.5, max_tokens=9, seed=2**40 + 3) == Reply(
        "Because.", usage=Usage(1, 0, 7, 0, 2)
    )
    assert server.requests == [
        {
            "model": "tiny",
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}],
            "temperature": 0.5,
            "max_tokens": 9,
            "seed": 3,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA},
            },
        }
    ]


def test_without_a_schema_no_form_is_asked_for(server: FakeServer) -> None:
    chat(server.url)
    assert "response_format" not in server.requests[0]


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/"])
def test_the_url_may_be_given_with_or_without_v1(server: FakeServer, ending: str) -> None:
    assert chat(server.url + ending).text == "Because."


def test_the_key_comes_from_the_argument_or_the_environment(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    connect(server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "from-environment")
    connect(server.url)
    connect(server.url, api_key="given")
    assert server.keys == {"Bearer none", "Bearer from-environment", "Bearer given"}


def test_a_key_that_cannot_be_sent_is_not_shown() -> None:
    with pytest.raises(UserError, match="API key of ASCII characters on one line") as caught:
        ServerModel("http://127.0.0.1:1", api_key="secret\n")
    assert "secret" not in str(caught.value) and caught.value.__context__ is None


def test_an_unconnected_model_connects_itself(server: FakeServer) -> None:
    async def ask() -> tuple[str, str]:
        model = ServerModel(server.url, features=Features())
        with pytest.raises(RuntimeError, match="connect"):
            _ = model.name
        reply = await model.chat(Request(ASK))
        await model.close()
        return reply.text, model.name

    assert asyncio.run(ask()) == ("Because.", "tiny")


# --- connecting ----------------------------------------------------------------------------------------


def listing(*names: str) -> tuple[int, str]:
    return 200, json.dumps({"object": "list", "data": [{"id": name, "object": "model"} for name in names]})


def test_the_only_model_is_taken_and_of_several_one_must_be_named(server: FakeServer) -> None:
    assert connect(server.url) == "tiny"
    server.models = listing("small", "large")
    with pytest.raises(UserError, match=r"found 2: .*Name one with --model"):
        connect(server.url)
    assert connect(server.url, "large") == "large"


def test_an_unknown_model_is_refused_beside_those_there_are(server: FakeServer) -> None:
    server.models = listing(*[f"model-{i}" for i in range(30)], "llama-3-8b")
    with pytest.raises(UserError, match=r"no model 'llama-3'. It has: llama-3-8b, .*…"):
        connect(server.url, "llama-3")


def test_a_server_that_lists_no_models_is_believed_where_one_is_named(server: FakeServer) -> None:
    server.models = (404, "")
    assert connect(server.url, "mine") == "mine"
    with pytest.raises(UserError, match="none listed"):
        connect(server.url)


@pytest.mark.parametrize(
    "models, says",
    [
        ((401, '{"error": "Unauthorized"}'), "OPENAI_API_KEY"),
        ((503, ""), "503"),
        ((200, "<html>hello</html>"), "Expected an OpenAI-compatible server"),
        ((200, '{"status": "fine"}'), "Expected an OpenAI-compatible server"),
    ],
)
def test_a_server_that_cannot_be_used(server: FakeServer, models: tuple[int, str], says: str) -> None:
    server.models = models
    with pytest.raises(UserError, match=says):
        connect(server.url)


def test_no_server_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(UserError, match=r"found none .*Start it, or correct its address"):
            connect(f"http://127.0.0.1:{taken.getsockname()[1]}")


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host/v1", "http://", "script.jsonl"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(UserError, match="Expected a URL"):
        load_chat_model(url)


# --- failing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_a_server_that_is_not_well_is_asked_again(server: FakeServer, status: int) -> None:
    server.plan = [(status, ""), (status, ""), (200, completion())]
    assert chat(server.url, retries=2).text == "Because."
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [429, 500])
def test_after_the_retries_it_is_a_transport_error(server: FakeServer, status: int) -> None:
    server.plan = [(status, '{"error": {"message": "too busy"}}')]
    with pytest.raises(TransportError, match=rf"tiny at .* \({status}\): .*too busy"):
        chat(server.url, retries=2)
    assert len(server.requests) == 3


FAILURES: list[tuple[int, str, type[Exception], str]] = [
    (200, completion(None, refusal="I would rather not."), RefusalError, "I would rather not"),
    (200, completion("Sorry", "content_filter"), RefusalError, "declined: Sorry"),
    (200, completion(None), EmptyAnswerError, "found nothing"),
    (200, completion(" \n"), EmptyAnswerError, "found nothing"),
    (200, completion(None, reasoning_content="Hm."), EmptyAnswerError, "reasoning alone"),
    (200, completion('{"answ', "length"), UnparseableError, "cut off in '{\"answ'"),
    (200, '{"choices": []}', TransportError, "found"),
    (200, '{"choices": ', TransportError, "sent what is no answer"),
    (200, '"hello"', TransportError, "'hello'"),
    (400, '{"error": {"message": "longer than 4096 tokens"}}', RefusalError, "longer than 4096 tokens"),
    (422, "", RefusalError, "422"),
    (401, '{"error": "Unauthorized"}', UserError, "OPENAI_API_KEY"),
    (404, '{"error": {"message": "no model"}}', UserError, "no model.*--model"),
]


@pytest.mark.parametrize("status, body, error, says", FAILURES)
def test_other_failures_are_not_retried(
    server: FakeServer, status: int, body: str, error: type[Exception], says: str
) -> None:
    server.plan = [(status, body)]
    with pytest.raises(error, match=says):
        chat(server.url, schema=SCHEMA)
    assert len(server.requests) == 1


def test_a_text_cut_off_is_an_answer_where_no_form_was_asked_for(server: FakeServer) -> None:
    server.plan = [(200, completion("Because it", "length"))]
    assert chat(server.url).text == "Because it"


def test_a_server_that_is_no_api(server: FakeServer) -> None:
    """A web page with status 200: the library hands it over as text."""
    server.plan, server.content_type = [(200, "<html>")], "text/html"
    with pytest.raises(TransportError, match="<html>"):
        chat(server.url)


def test_a_server_that_stops_between_two_questions(server: FakeServer) -> None:
    async def ask() -> None:
        async with ServerModel(server.url, features=Features(), retries=0) as model:
            await model.chat(Request(ASK))
            server.stop()
            with pytest.raises(TransportError, match="was not reached"):
                await model.chat(Request(ASK))

    asyncio.run(ask())


def test_a_server_that_keeps_silent_is_given_up(server: FakeServer) -> None:
    """The listening socket takes the connection, and nobody answers."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(UserError, match="timed out"):
            connect(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.05)


def test_every_failure_of_an_answer_has_its_state() -> None:
    """What is raised on the way is a unit's state, or the user's to mend; nothing else comes out."""
    raised = {error for _, _, error, _ in FAILURES}
    assert raised == {*AnswerError.__subclasses__(), UserError}
