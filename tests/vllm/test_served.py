"""What `neurogloss llm serve` starts can do what labelling asks of it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from neurogloss.cli.app import run
from neurogloss.engines.server import ServerModel
from neurogloss.llm import Reply, Request
from neurogloss.prompts.render import render
from neurogloss.records import Passage

if TYPE_CHECKING:
    from conftest import VllmServer

# The first test waits for the server.
pytestmark = [pytest.mark.vllm, pytest.mark.model, pytest.mark.timeout(600)]


def test_it_can_do_all_but_call_tools(vllm_server: VllmServer, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(["llm", "check", vllm_server.url, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["features"] == {
        "schema": True,
        "choices": True,
        "tools": False,
        "prompt_logprobs": True,
        "pictures": False,
    }
    assert (found["model"], found["context_length"]) == (vllm_server.model, 4096)
    assert all(found["scorers"].values())


def test_a_prompt_that_begins_as_one_before_is_found_in_the_prefix_cache(vllm_server: VllmServer) -> None:
    async def ask(explanation: str) -> Reply:
        prompt = render("score/detection", explanation=explanation, items=[(Passage(("rain",)),)])
        async with ServerModel(vllm_server.url) as chat:
            return await chat.chat(Request(prompt.messages, max_tokens=4))

    asyncio.run(ask("words for weather"))
    reply = asyncio.run(ask("names of rivers"))
    # A block of a CPU's cache is 128 tokens.
    assert 128 <= reply.usage.cached_tokens < reply.usage.prompt_tokens
