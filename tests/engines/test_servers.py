"""Several servers of one model: who gets a prompt, and what becomes of it where one of them dies."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from neurogloss.engines.limiter import Limiter
from neurogloss.engines.server import ServerModel
from neurogloss.engines.servers import BLOCK, LAST_DOWN, SLACK, Server, Servers
from neurogloss.errors import TransportError, UserError
from neurogloss.llm import Features, Message, Request


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def servers(n: int, clock: Clock) -> Servers:
    return Servers([Server(f"http://{name}", Limiter(), clock) for name in "abc"[:n]])


def prompt(*parts: str) -> str:
    return "".join(part.ljust(BLOCK, ".") for part in parts)


def test_a_prompt_goes_where_its_beginning_is_known() -> None:
    both = servers(2, Clock())
    one, other = both.all
    one.sent(both.blocks(prompt("task", "explanation 1", "texts 1")))
    other.sent(both.blocks(prompt("task", "explanation 2", "texts 2")))
    assert both.choose(both.blocks(prompt("task", "explanation 1", "texts 7"))) is one
    assert both.choose(both.blocks(prompt("task", "explanation 2", "texts 7"))) is other


def test_what_is_known_after_another_beginning_counts_for_nothing() -> None:
    both = servers(2, Clock())
    both.all[0].sent(both.blocks(prompt("task", "explanation")))
    assert both.all[0].known(both.blocks(prompt("other task", "explanation"))) == 0


def test_of_equals_the_least_busy_is_chosen() -> None:
    three = servers(3, Clock())
    for server, load in zip(three.all, (3, 1, 2), strict=True):
        server.limiter.in_flight = load
    assert three.choose(three.blocks(prompt("new"))) is three.all[1]


def test_a_server_with_much_more_to_do_is_passed_over() -> None:
    both = servers(2, Clock())
    one, other = both.all
    blocks = both.blocks(prompt("task"))
    one.sent(blocks)
    one.limiter.in_flight = SLACK
    assert both.choose(blocks) is one
    one.limiter.in_flight = SLACK + 1
    assert both.choose(blocks) is other


def test_a_lost_server_is_left_alone_for_longer_each_time() -> None:
    clock = Clock()
    both = servers(2, clock)
    one, other = both.all
    waits = []
    for _ in range(7):
        one.lost()
        one.lost()  # what was in flight with it
        waits.append(one.down_until - clock.now)
        assert not one.up and both.choose(()) is other
        clock.now = one.down_until
        assert one.up
    assert waits == [1, 2, 4, 8, 16, LAST_DOWN, LAST_DOWN]


def test_a_server_that_was_down_gets_one_request_until_it_answers() -> None:
    clock = Clock()
    both = servers(2, clock)
    one, other = both.all
    one.lost()
    other.limiter.in_flight = 5
    clock.now = one.down_until
    assert both.choose(()) is one
    one.limiter.in_flight = 1
    assert both.choose(()) is other
    one.answered()
    assert both.choose(()) is one


def test_where_none_is_up_the_first_to_be_is_asked() -> None:
    clock = Clock()
    both = servers(2, clock)
    both.all[0].lost()
    clock.now += 0.5
    both.all[1].lost()
    assert both.choose(()) is both.all[0] and not both.another(())


# --- over HTTP ------------------------------------------------------------------------------------

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


def test_prompts_of_one_beginning_meet_at_one_server_and_the_load_is_shared() -> None:
    fakes = Fake(), Fake()
    prompts = [prompt("task", f"explanation {i}") for i in range(20)]

    async def test(model: ServerModel) -> None:
        await ask(model, *prompts)
        for n in range(3):
            await ask(model, *(each + f"texts {n}" for each in prompts))

    run(test, *fakes)
    for explanation in prompts:
        held = [fake for fake in fakes if any(asked.startswith(explanation) for asked in fake.asked)]
        assert len(held) == 1
    assert min(len(fake.asked) for fake in fakes) >= 20  # of 80


def test_one_of_two_servers_dies_in_mid_run_and_nothing_is_lost() -> None:
    fakes = Fake(), Fake()

    async def test(model: ServerModel) -> None:
        await ask(model, *(prompt(str(i)) for i in range(10)))
        await fakes[0].http.close()
        await ask(model, *(prompt(str(i)) for i in range(30)))

    run(test, *fakes)
    assert Counter(fakes[1].asked)[prompt("7")] >= 1
    answered = {*fakes[0].asked, *fakes[1].asked}
    assert answered == {prompt(str(i)) for i in range(30)}


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_one_server_refuses_another_answers(status: int) -> None:
    fakes = Fake(), Fake()
    fakes[0].status = status

    async def test(model: ServerModel) -> None:
        for i in range(4):
            await ask(model, prompt(str(i)))

    run(test, *fakes)
    assert len(fakes[1].asked) == 4


def test_a_server_that_is_well_again_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurogloss.engines.servers.FIRST_DOWN", 0.05)
    fakes = Fake(), Fake()

    async def test(model: ServerModel) -> None:
        fakes[0].status = 500
        await ask(model, prompt("first"))
        fakes[0].status = 200
        await asyncio.sleep(0.06)
        before = len(fakes[0].asked)
        await ask(model, *(prompt(f"then {i}") for i in range(10)))
        await ask(model, *(prompt(f"last {i}") for i in range(10)))
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
