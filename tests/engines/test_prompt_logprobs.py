"""What would stand at the blanks of a prompt, from a completion that echoes it."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from neurogloss.accounts import Usage
from neurogloss.engines.answers import StoredModel
from neurogloss.engines.replies import ALTERNATIVES, fills, places
from neurogloss.engines.server import ServerModel
from neurogloss.engines.usage import RecordedModel
from neurogloss.errors import UnparseableError
from neurogloss.llm import Features


def echoed(*tokens: tuple[str, dict[str, float] | None]) -> dict[str, Any]:
    """A body with the alternatives' probabilities to each token."""
    top = [at and {token: math.log(p) for token, p in at.items()} for _, at in tokens]
    return {"choices": [{"logprobs": {"tokens": [token for token, _ in tokens], "top_logprobs": top}}]}


BODY = echoed(
    ("An", None),
    ("\t", {"a": 1.0}),
    ("?", {"0": 0.25, "9": 0.5}),
    ("\n the", {"x": 1.0}),
    ("\t", {"x": 1.0}),
    ("?\n", {"7": 0.125, " 7": 0.25, "77": 0.5, "?": 0.125}),
)


def test_each_blank_has_the_probabilities_of_the_choices() -> None:
    """Those in other spellings of white space together; one that is not listed is 0."""
    assert fills(BODY, "\t", ["0", "7", "9"]) == ((0.25, 0.0, 0.5), (0.0, pytest.approx(0.375), 0.0))


def test_places_are_after_tokens_that_end_with_the_mark() -> None:
    assert places(["a\t", "b", "\t", "c"], "\t") == [1, 3]
    assert places(["a", "b"], "\t") == []


@pytest.mark.parametrize("tokens", [["a", "\tb"], ["a", "\t\t", "b"], ["a", "\t"]])
def test_a_mark_within_a_token_or_at_the_end_has_no_place(tokens: list[str]) -> None:
    with pytest.raises(UnparseableError, match="tokens that end with"):
        places(tokens, "\t")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"choices": []},
        {"choices": [{"logprobs": None}]},
        {"choices": [{"logprobs": {"tokens": [], "top_logprobs": []}}]},
        {"choices": [{"logprobs": {"tokens": ["a", "b"], "top_logprobs": [None]}}]},
    ],
)
def test_a_body_without_alternatives_is_named(body: dict[str, Any]) -> None:
    with pytest.raises(UnparseableError, match="expected alternatives"):
        fills(body, "\t", ["0"])


# --- through a server, the cache of answers and the accounts ---------------------------------------------


def test_a_server_is_asked_once_and_the_answer_kept(tmp_path: Path) -> None:
    """Of the two blanks of BODY the first is the prefix's own."""
    bodies = []

    async def handle(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response({"data": [{"id": "tiny"}]})
        bodies.append(await request.json())
        return web.json_response({**BODY, "usage": {"prompt_tokens": 6, "completion_tokens": 0}})

    async def run() -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        async with TestServer(app) as server:
            for stored in (False, True):
                inner = ServerModel(str(server.make_url("")), features=Features(prompt_logprobs=True))
                async with RecordedModel(StoredModel(inner, tmp_path / "answers.sqlite")) as model:
                    found = await model.blanks("An\t?\n", " the\t?\n", "\t", ["7"])
                    assert found == ((pytest.approx(0.375),),)
                    assert model.usage == (Usage(stored=1) if stored else Usage(requests=1, prompt_tokens=6))

    asyncio.run(run())
    (body,) = bodies
    assert body["prompt"] == ["An\t?\n the\t?\n"] and body["max_tokens"] == 0
    assert (body["echo"], body["logprobs"]) == (True, ALTERNATIVES)


def test_a_model_that_reads_no_prompts_is_not_asked() -> None:
    class Chat:
        name, features = "tiny", Features()

    with pytest.raises(NotImplementedError, match="see its features"):
        asyncio.run(RecordedModel(Chat()).blanks("", "a\tb", "\t", ["0"]))  # type: ignore[arg-type]
