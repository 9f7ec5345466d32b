"""Whatever a server sends, an answer is read or fails with a reason, is never kept in a form that fails later, and
goes nowhere else."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from neurogloss.engines import load_chat_model, sdk
from neurogloss.engines.embedders import load_embedder
from neurogloss.engines.server import ServerModel
from neurogloss.engines.usage import RecordedModel
from neurogloss.errors import AnswerError, NeuroglossError, TransportError, UnparseableError, UserError
from neurogloss.llm import Features, Message, Request, Tool

ALL = Features(True, True, True, True, True)
ASK = Request((Message("user", "Why?"),), tools=(Tool("report", "", {}),))
DEEP = 900
MAKE = Callable[[web.Request], Awaitable[web.StreamResponse]]


def completion(model: str = "tiny", **message: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": "Because.", **message}
    return {"model": model, "choices": [{"index": 0, "finish_reason": "stop", "message": message}], "usage": {}}


def choosing(*pairs: tuple[Any, Any]) -> dict[str, Any]:
    body = completion(content="yes")
    tokens = [{"token": token, "logprob": value} for token, value in pairs]
    body["choices"][0]["logprobs"] = {"content": [{"token": "yes", "logprob": 0.0, "top_logprobs": tokens}]}
    return body


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


async def with_server(make: MAKE, use: Callable[[str], Awaitable[Any]]) -> Any:
    async def handle(request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            return web.json_response({"data": [{"id": "tiny"}]})
        return await make(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    async with TestServer(app) as server:
        return await use(str(server.make_url("")).rstrip("/"))


def asked(make: MAKE, ask: Callable[[RecordedModel], Awaitable[Any]], path: Path, **settings: Any) -> list[str]:
    """What comes of a question in three runs that share the cache of answers: the answer, or the error's type."""

    async def once(url: str) -> str:
        from neurogloss.engines.answers import StoredModel

        server = ServerModel(url, features=ALL, **{"retries": 0, "timeout": 5.0, **settings})
        async with RecordedModel(StoredModel(server, path / "answers.sqlite")) as chat:
            try:
                return repr(await ask(chat))
            except AnswerError as error:
                assert str(error) and len(str(error)) < 2_000 and str(error).encode()
                return type(error).__name__

    async def run(url: str) -> list[str]:
        return [await once(url) for _ in range(3)]

    found: list[str] = asyncio.run(with_server(make, run))
    return found


def sending(body: bytes, status: int = 200, **headers: str) -> MAKE:
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def make(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, status=status, headers=named)

    return make


BODIES: dict[str, bytes] = {
    "half surrogate": b'{"choices": [{"message": {"content": "w\\ud83drds"}}]}',
    "half surrogate in the refusal": b'{"choices": [{"message": {"refusal": "\\udc00"}}]}',
    "half surrogate in a key": b'{"choices": [{"message": {"content": "a"}}], "\\ud83d": 1}',
    "NaN for the content": b'{"choices": [{"message": {"content": NaN}}]}',
    "number": b"7",
    "nothing": b"",
    "null": b"null",
    "HTML": b"<html><body>It works!</body></html>",
    "not UTF-8": b'{"choices": "\xff\xfe"}',
    "cut off": b'{"choices": [{"message": {"content": "Bec',
    "deep": json.dumps({"choices": nested(DEEP)}).encode(),
    "deeper": b"[" * 200_000 + b"]" * 200_000,
    "deep content": json.dumps(completion(content=nested(DEEP))).encode(),
    "deep call": json.dumps(
        completion(content=None, tool_calls=[{"function": {"name": "report", "arguments": {"a": nested(DEEP)}}}])
    ).encode(),
    "long": json.dumps(completion(content="word " * 200_000)).encode(),
    "long refusal": json.dumps(completion(refusal="no " * 400_000)).encode(),
    "long call": json.dumps(
        completion(
            content=None, tool_calls=[{"function": {"name": "report", "arguments": '{"a": "%s"}' % ("b" * 10**6)}}]
        )
    ).encode(),
    "many calls": json.dumps(completion(content=None, tool_calls=[{"function": {"name": "a"}}] * 10_000)).encode(),
    "content of wrong parts": json.dumps(completion(content=[{"type": "text", "text": 7}, 8])).encode(),
    "choices of another type": b'{"choices": {"0": {"message": {"content": "a"}}}}',
    "an error with 200": b'{"error": {"message": "Provider returned error", "code": 502}}',
    "broken off": b'{"choices": [{"finish_reason": "error", "message": {"content": "half an ans"}}]}',
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_of_any_kind_is_a_failure_with_a_reason_each_time(name: str, tmp_path: Path) -> None:
    found = asked(sending(BODIES[name]), lambda chat: chat.chat(ASK), tmp_path)
    assert len(set(found)) == 1 and found[0].endswith("Error"), found


READ: dict[str, tuple[dict[str, Any], str]] = {
    "parts": (
        completion(content=[{"type": "text", "text": "Be"}, {"type": "text", "text": "cause."}]),
        "Because.",
    ),
    "thinking parts": (
        completion(content=[{"type": "thinking", "thinking": "Hm"}, {"type": "text", "text": "Because."}]),
        "Because.",
    ),
    "usage of wrong types": (
        {**completion(), "usage": {"prompt_tokens": 10**30, "completion_tokens": "7"}},
        "Because.",
    ),
    "negative usage": ({**completion(), "usage": {"prompt_tokens": -1, "completion_tokens": None}}, "Because."),
    "choices out of order": (
        {"choices": [{**completion(content="no")["choices"][0], "index": 1}, *completion()["choices"]]},
        "Because.",
    ),
}


@pytest.mark.parametrize("name", READ)
def test_every_form_that_the_document_allows_is_read(name: str, tmp_path: Path) -> None:
    body, text = READ[name]
    found = asked(sending(json.dumps(body).encode()), lambda chat: chat.chat(ASK), tmp_path)
    assert all(f"text={text!r}" in each for each in found), found


@pytest.mark.parametrize(
    "message",
    [
        {"tool_calls": [{"id": "c", "function": {"name": "report", "arguments": '{"number": 7}'}}]},
        {"tool_calls": [{"id": "c", "function": {"name": "report", "arguments": {"number": 7}}}]},
        {"function_call": {"name": "report", "arguments": '{"number": 7}'}},
    ],
)
def test_tool_calls_are_read_in_old_and_new_form(message: dict[str, Any], tmp_path: Path) -> None:
    body = json.dumps(completion(content=None, **message)).encode()
    found = asked(sending(body), lambda chat: chat.chat(ASK), tmp_path)
    assert all("name='report', arguments={'number': 7}" in each for each in found), found


@pytest.mark.parametrize(
    "pairs",
    [
        [("yes", 3.0), ("no", -1.0)],
        [("yes", float("nan")), ("no", -1.0)],
        [("yes", float("inf")), ("no", -1.0)],
        [("yes", float("-inf")), ("no", float("-inf"))],
        [("yes", "-0.1"), ("no", "-2")],
        [("yes", None), ("no", None)],
        [("yes", True), ("no", False)],
        [("yes", 0.0), ("no", 0.0), ("maybe", 0.0)],
        [(7, -0.1), (None, -2.0)],
    ],
)
def test_log_probabilities_that_are_none_make_no_probability(pairs: list[tuple[Any, Any]], tmp_path: Path) -> None:
    body = json.dumps(choosing(*pairs)).encode()
    found = asked(sending(body), lambda chat: chat.choose(ASK.messages, ["yes", "no"]), tmp_path)
    assert found == ["UnparseableError"] * 3


@pytest.mark.parametrize("value", ["-Infinity", "NaN", "1.5", '"-1"', "true", "1e999"])
def test_log_probabilities_of_prompts_that_are_none_make_no_likelihood(value: str, tmp_path: Path) -> None:
    row = '{"index": %d, "logprobs": {"tokens": ["a", "b%d"], "token_logprobs": [null, ' + value + "]}}"
    body = ('{"choices": [' + ",".join(row % (i, i) for i in range(2)) + "]}").encode()
    found = asked(sending(body), lambda chat: chat.likelihoods("a", ["c"]), tmp_path)
    assert found == ["UnparseableError"] * 3


# --- bodies that do not end, or are larger than they seem ------------------------------------------------


@pytest.mark.parametrize("status", [200, 400, 500])
def test_a_body_is_read_up_to_a_bound_after_decompression(
    status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sdk, "MOST_BYTES", 1 << 16)
    bomb = gzip.compress(b" " * (1 << 24))
    assert len(bomb) < 1 << 16
    found = asked(sending(bomb, status, Content_Encoding="gzip"), lambda chat: chat.chat(ASK), tmp_path)
    assert found == ["TransportError"] * 3


def test_an_endless_body_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdk, "MOST_BYTES", 1 << 16)

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 4_096)

    assert asked(endless, lambda chat: chat.chat(ASK), tmp_path) == ["TransportError"] * 3


def test_a_body_that_drips_ends_with_the_timeout(tmp_path: Path) -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.02)

    assert asked(drip, lambda chat: chat.chat(ASK), tmp_path, timeout=1.0) == ["TransportError"] * 3


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity"])
def test_a_compressed_answer_is_read(encoding: str, tmp_path: Path) -> None:
    import zlib

    body = json.dumps(completion()).encode()
    pack = {"gzip": gzip.compress, "deflate": zlib.compress, "identity": bytes}[encoding]
    found = asked(sending(pack(body), Content_Encoding=encoding), lambda chat: chat.chat(ASK), tmp_path)
    assert all("Because." in each for each in found)


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "zstd", "rot13", "gzip"])
def test_an_encoding_that_cannot_be_bounded_is_refused(encoding: str, tmp_path: Path) -> None:
    body = json.dumps(completion()).encode()
    found = asked(sending(body, Content_Encoding=encoding), lambda chat: chat.chat(ASK), tmp_path)
    assert found == ["TransportError"] * 3


@pytest.mark.parametrize("charset", ["hex", "rot13", "punycode", "unicode_escape", "utf-16"])
@pytest.mark.parametrize("status", [400, 500])
def test_the_charset_of_an_error_does_no_harm(charset: str, status: int, tmp_path: Path) -> None:
    make = sending(b"no \xff\xfe", status, Content_Type=f"text/plain; charset={charset}")
    assert len(set(asked(make, lambda chat: chat.chat(ASK), tmp_path))) == 1


# --- texts go nowhere else ------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int, tmp_path: Path) -> None:
    reached = []

    async def elsewhere(request: web.Request) -> web.Response:
        reached.append(await request.text())
        return web.json_response(completion())

    async def run() -> str:
        async def ask(url: str) -> str:
            make = sending(b"", status, Location=f"{url.replace('//', '//user:secret@')}/v1/chat/completions")

            async def there(target: str) -> str:
                async with ServerModel(target, features=ALL, retries=0) as model:
                    with pytest.raises(TransportError, match="it redirects to http://127.0.0.1") as caught:
                        await model.chat(ASK)
                    return str(caught.value)

            found: str = await with_server(make, there)
            return found

        said: str = await with_server(elsewhere, ask)
        return said

    assert "secret" not in asyncio.run(run()) and reached == []


SECRET = "pa55word"


@pytest.mark.parametrize(
    "url",
    [
        "http://user:pa55word@127.0.0.1:9/v1",
        "http://pa55word@127.0.0.1:9/v1",
        "http://user:pa55word@127.0.0.1:port",
        "ftp://user:pa55word@127.0.0.1:9",
        "user:pa55word@127.0.0.1:9",
        "http://user:pa55word#@127.0.0.1:9",
        "http://user:pa55word/@127.0.0.1:9",
        "http://127.0.0.1:9/v1?key=pa55word",
        "http://127.0.0.1:9,http://user:pa55word@127.0.0.1:8",
        "http://user:pa55word@",
    ],
)
def test_a_password_in_an_address_is_shown_nowhere(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def connect() -> None:
        async with load_chat_model(url, timeout=2.0) as chat:
            await chat.chat(ASK)

    with pytest.raises(NeuroglossError) as caught:
        asyncio.run(connect())
    assert SECRET not in str(caught.value)
    if "://" in url and "," not in url:
        with pytest.raises(UserError) as refused:
            load_embedder(url)
        assert SECRET not in str(refused.value)
    assert SECRET not in caplog.text


def test_a_user_and_a_password_are_sent_but_not_named(caplog: pytest.LogCaptureFixture) -> None:
    sent = []

    async def make(request: web.Request) -> web.Response:
        sent.append(request.headers["Authorization"])
        return web.json_response(completion())

    async def use(url: str) -> tuple[str, str]:
        async with ServerModel(url.replace("//", "//user:pa%3As@"), features=ALL) as model:
            await model.chat(ASK)
            return model.url, model.name

    url, name = asyncio.run(with_server(make, use))
    assert "@" not in url and name == "tiny"
    assert sent == ["Basic dXNlcjpwYTpz"]


# --- another model ---------------------------------------------------------------------------------------


def test_an_answer_of_another_model_than_the_first_is_a_failure(tmp_path: Path) -> None:
    names = iter(["tiny", "tiny", "other"])

    async def make(request: web.Request) -> web.Response:
        return web.json_response(completion(next(names)))

    async def use(url: str) -> None:
        async with ServerModel(url, features=ALL) as model:
            for _ in range(2):
                await model.chat(ASK)
            with pytest.raises(TransportError, match="an answer of tiny, found one of 'other'"):
                await model.chat(ASK)

    asyncio.run(with_server(make, use))


def test_a_model_that_answers_under_another_name_is_recorded_by_both(caplog: pytest.LogCaptureFixture) -> None:
    async def make(request: web.Request) -> web.Response:
        return web.json_response(completion("tiny-2026-11"))

    async def use(url: str) -> str:
        async with ServerModel(url) as model:
            return model.name

    assert asyncio.run(with_server(make, use)) == "tiny (tiny-2026-11)"
    assert "tiny answers as tiny-2026-11" in caplog.text


def test_json_in_an_answer_with_half_a_surrogate_pair_is_no_explanation() -> None:
    from neurogloss.agent.explainers.llm import parse

    with pytest.raises(UnparseableError):
        parse('{"explanation": "w\\ud83drds"}')
    with pytest.raises(UnparseableError, match="characters"):
        parse(json.dumps({"explanation": "word " * 200_000}))
