"""An OpenAI-compatible server in the test's own process, and what it answers."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from neurogloss.engines.server import ServerModel
from neurogloss.llm import Features, Message

Body = dict[str, Any]
Respond = Callable[[str, Body], Any]
ASK = (Message("user", "Why?"),)
ALL = Features(schema=True, choices=True, tools=True, prompt_logprobs=True, pictures=True)


def message(content: str | None = "Hello.", finish: str = "stop", cached: int = 0, **fields: Any) -> Body:
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": cached}}
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content, **fields}}
    return {"object": "chat.completion", "choices": [choice], "usage": usage}


def logprobs(*positions: Mapping[str, float]) -> Body:
    """A completion whose tokens are the first of each position; alternatives by probability."""
    content = [
        {
            "token": next(iter(position)),
            "top_logprobs": [{"token": t, "logprob": math.log(p) if p else -9999.0} for t, p in position.items()],
        }
        for position in positions
    ]
    body = message("".join(entry["token"] for entry in content))
    body["choices"][0]["logprobs"] = {"content": content}
    return body


def echo(prompts: Sequence[str]) -> Body:
    """Each word is a token, with its length as its log probability; in no particular order."""
    rows = []
    for i, prompt in enumerate(prompts):
        tokens = prompt.replace(" ", "\0 ").lstrip("\0").split("\0")
        values = [None, *(-float(len(token)) for token in tokens[1:])]
        rows.append({"index": i, "text": prompt, "logprobs": {"tokens": tokens, "token_logprobs": values}})
    return {"choices": rows[::-1], "usage": {"prompt_tokens": 3 * len(prompts), "completion_tokens": 0}}


def parts(body: Body) -> list[Body]:
    """Of the last message, where it has some."""
    content = body["messages"][-1]["content"]
    return content if isinstance(content, list) else []


def able(path: str, body: Body) -> Body:
    """A server that can do everything."""
    if path == "/v1/completions":
        return echo(body["prompt"])
    if pictures := [part for part in parts(body) if part["type"] == "image_url"]:
        body = message()
        body["usage"]["prompt_tokens"] += 4 * len(pictures)
        return body
    if "structured_outputs" in body:
        first, second = body["structured_outputs"]["choice"]
        return logprobs({first: 0.75, second: 0.25})
    if "tools" in body:
        function = {"name": body["tools"][0]["function"]["name"], "arguments": '{"number": 7}'}
        return message(None, "tool_calls", tool_calls=[{"id": "c1", "type": "function", "function": function}])
    if "response_format" in body:
        word = body["response_format"]["json_schema"]["schema"]["properties"]["word"]["enum"][0]
        return message(json.dumps({"word": word}))
    return message()


def simple(path: str, body: Body) -> Body:
    """One that ignores what it does not know, and says 200."""
    return message()


def serving(
    respond: Respond, use: Callable[[ServerModel], Awaitable[Any]], **settings: Any
) -> tuple[Any, list[Body]]:
    """What `use` gives with a model on a server that answers with `respond`, and the requests."""
    requests: list[Body] = []

    async def handle(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response({"data": [{"id": "tiny", "max_model_len": 4096}]})
        body = await request.json()
        requests.append(body)
        found = respond(request.path, body)
        if isinstance(found, int):
            return web.Response(status=found, text="no", headers={"retry-after-ms": "1"})
        if isinstance(found, tuple):
            return web.json_response(found[1], status=found[0])
        return web.json_response(found)

    async def run() -> Any:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        async with TestServer(app) as server:
            async with ServerModel(str(server.make_url("")), **{"retries": 1, **settings}) as model:
                return await use(model)

    return asyncio.run(run()), requests


async def features(model: ServerModel) -> Features:
    return model.features
