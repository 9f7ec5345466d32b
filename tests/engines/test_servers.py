"""Several servers of one model share the work, and nothing is lost if one of them dies."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from neurogloss.engines.server import ServerModel
from neurogloss.errors import TransportError, UserError
from neurogloss.llm import Features, Message, Request

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Fake:
    """An OpenAI-compatible server that counts what it is asked."""

    def __init__(self, model: str = "tiny", room: int = 100) -> None:
        self.model, self.room = model, room
        self.asked: list[str] = []
        self.status = 200
        app = web.Application()
        app.router.add_get("/v1/models", self.models)
        app.router.add_post("/v1/chat/completions", self.chat)
        self.http = TestServer(app)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.port}"

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": self.model, "max_model_len": self.room}]})

    async def chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append(body["messages"][0]["content"])
        if self.status != 200:
            return web.json_response({"error": "not well"}, status=self.status)
        message = {"role": "assistant", "content": "Because."}
        return web.json_response({"choices": [{"message": message, "finish_reason": "stop"}]})


def run(test: Callable[..., Awaitable[None]], *fakes: Fake, **settings: Any) -> None:
    """The test with a model over the fakes, which listen; `dead` adds an address where nothing does."""

    async def go() -> None:
        async with AsyncExitStack() as stack:
            for fake in fakes:
                await stack.enter_async_context(fake.http)
            urls = [fake.url for fake in fakes]
            if settings.pop("dead", False):
                gone = TestServer(web.Application())
                await gone.start_server()
                urls.insert(0, f"http://127.0.0.1:{gone.port}")
                await gone.close()
            chosen = {"features": Features(), "retries": 0, **settings}
            await test(await stack.enter_async_context(ServerModel(",".join(urls), **chosen)))

    asyncio.run(go())


async def ask(model: ServerModel, *prompts: str) -> None:
    await asyncio.gather(*(model.chat(Request((Message("user", text),))) for text in prompts))


def test_the_load_is_shared() -> None:
    fakes = Fake(), Fake()

    async def test(model: ServerModel) -> None:
        await ask(model, *map(str, range(80)))

    run(test, *fakes)
    assert min(len(fake.asked) for fake in fakes) >= 20  # of 80


def test_one_of_two_servers_dies_in_mid_run_and_nothing_is_lost() -> None:
    fakes = Fake(), Fake()

    async def test(model: ServerModel) -> None:
        await ask(model, *(str(i) for i in range(10)))
        await fakes[0].http.close()
        await ask(model, *(str(i) for i in range(30)))

    run(test, *fakes)
    assert Counter(fakes[1].asked)["7"] >= 1
    answered = {*fakes[0].asked, *fakes[1].asked}
    assert answered == {str(i) for i in range(30)}


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_one_server_refuses_another_answers(status: int) -> None:
    fakes = Fake(), Fake()
    fakes[0].status = status

    async def test(model: ServerModel) -> None:
        for i in range(4):
            await ask(model, str(i))

    run(test, *fakes)
    assert len(fakes[1].asked) == 4


def test_a_server_that_is_well_again_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurogloss.engines.pacing.FIRST_DOWN", 0.05)
    fakes = Fake(), Fake()

    async def test(model: ServerModel) -> None:
        fakes[0].status = 500
        await ask(model, "first")
        fakes[0].status = 200
        await asyncio.sleep(0.06)
        before = len(fakes[0].asked)
        await ask(model, *(f"then {i}" for i in range(10)))
        await ask(model, *(f"last {i}" for i in range(10)))
        assert len(fakes[0].asked) > before

    run(test, *fakes)


def test_where_all_fail_the_last_error_is_raised_after_the_retries() -> None:
    fakes = Fake(), Fake()

    async def test(model: ServerModel) -> None:
        fakes[0].status = fakes[1].status = 500
        with pytest.raises(TransportError, match="500"):
            await ask(model, "why?")

    run(test, *fakes, retries=1)
    assert sorted(len(fake.asked) for fake in fakes) == [1, 2]


def test_a_server_that_is_away_at_first_is_named_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    fake = Fake()

    async def test(model: ServerModel) -> None:
        await ask(model, *map(str, range(8)))

    run(test, fake, dead=True)
    assert len(fake.asked) == 8
    assert "found none" in caplog.text and "left out until it answers" in caplog.text


def test_servers_share_a_model_and_the_shortest_room() -> None:
    async def test(model: ServerModel) -> None:
        assert (model.name, model.context_length) == ("tiny", 60)

    run(test, Fake(room=100), Fake(room=60))


def test_servers_of_different_models_are_refused() -> None:
    with pytest.raises(UserError, match="same model at .*, found: tiny; large"):
        run(ServerModel.connect, Fake(), Fake("large"))
