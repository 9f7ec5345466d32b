"""What a server can do is found out by what it does; each feature is asked for and read as is documented."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from chat_server import ALL, ASK, Body, Respond, able, features, logprobs, message, parts, serving, simple

from neurogloss.accounts import Usage
from neurogloss.engines import load_chat_model
from neurogloss.engines.replies import answer, json_in, likelihood, probabilities
from neurogloss.engines.server import ServerModel
from neurogloss.errors import (
    EmptyAnswerError,
    RefusalError,
    UnparseableError,
    UserError,
)
from neurogloss.llm import Choice, Features, Likelihood, Message, Reply, Request, Tool, ToolCall

SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}}


# --- what a server can do --------------------------------------------------------------------------------


def test_a_server_that_can_do_everything() -> None:
    async def use(model: ServerModel) -> tuple[Features, int | None]:
        return model.features, model.context_length

    found, requests = serving(able, use)
    assert found == (ALL, 4096)
    assert len(requests) == 7


def refusing(status: int) -> Respond:
    """A server that answers questions, and no more."""
    known = {"model", "messages", "temperature", "max_tokens", "seed"}
    return lambda path, body: status if set(body) > known or parts(body) or "prompt" in body else message()


@pytest.mark.parametrize("respond", [simple, refusing(400), refusing(422), refusing(500)])
def test_a_server_that_ignores_or_refuses_what_it_does_not_know(respond: Respond) -> None:
    found, _ = serving(respond, features)
    assert found == Features(schema=False)


@pytest.mark.parametrize("answer", [400, 422, 500, 405, {"error": {"message": "no"}}, ["no"], {"choices": "no"}])
def test_a_server_that_answers_no_request_is_the_user_s_to_correct(answer: Any) -> None:
    with pytest.raises(UserError, match=r"can answer no request: .*no"):
        serving(lambda path, body: answer, features)


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_is_too_busy_to_be_tried_is_not_taken_for_a_simple_one(status: int) -> None:
    with pytest.raises(UserError, match="could not be tried"):
        serving(lambda path, body: status, features)


def test_features_given_are_not_tried() -> None:
    found, requests = serving(simple, features, features=ALL)
    assert found == ALL and requests == []


def test_what_a_server_cannot_do_is_not_asked_for() -> None:
    async def use(model: ServerModel) -> None:
        with pytest.raises(NotImplementedError):
            await model.choose(ASK, ["a", "b"])
        with pytest.raises(NotImplementedError):
            await model.likelihoods("p", ["c"])
        with pytest.raises(NotImplementedError):
            await model.chat(Request(ASK, tools=(Tool("steer", "", {}),)))

    _, requests = serving(simple, use, features=Features())
    assert requests == []


# --- pictures ----------------------------------------------------------------------------------------------

PNG, JPEG = b"\x89PNG one", b"\xff\xd8 two"
SHOW = (*ASK, Message("user", "Which is red?", pictures=(PNG, JPEG)))


def test_pictures_follow_the_text_as_data_uris() -> None:
    async def use(model: ServerModel) -> None:
        await model.chat(Request(SHOW))
        await model.chat(Request(SHOW, SCHEMA))
        await model.choose(SHOW, ["A", "B"])

    def respond(path: str, body: Body) -> Body:
        return logprobs({"A": 1.0}) if "logprobs" in body else message("{}")

    _, requests = serving(respond, use, features=replace(ALL, schema=False))
    images = [
        {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{base64.b64encode(data).decode()}"}}
        for kind, data in (("png", PNG), ("jpeg", JPEG))
    ]
    for request in requests:
        assert request["messages"][0]["content"] == "Why?"
        assert parts(request)[1:] == images
    assert [parts(request)[0]["text"].startswith("Which is red?") for request in requests] == [True] * 3
    assert parts(requests[1])[0]["text"].endswith(json.dumps(SCHEMA)), "the form is told before the pictures"


@pytest.mark.parametrize(
    "refuses",
    [
        lambda body: 400 if parts(body) else message(),  # it reads texts alone, and says so
        lambda body: 400 if len(parts(body)) > 2 else able("", body),  # it takes one picture
        lambda body: message(),  # it leaves pictures out, and does not say so
    ],
)
def test_who_does_not_see_several_pictures_sees_none(refuses: Callable[[Body], Any]) -> None:
    found, _ = serving(lambda path, body: refuses(body), features)
    assert not found.pictures


def test_who_sees_no_pictures_is_sent_none() -> None:
    async def use(model: ServerModel) -> None:
        with pytest.raises(NotImplementedError, match="sees no pictures"):
            await model.chat(Request(SHOW))
        with pytest.raises(NotImplementedError, match="sees no pictures"):
            await model.choose(SHOW, ["A", "B"])

    _, requests = serving(simple, use, features=Features(choices=True))
    assert requests == []


def test_a_model_may_be_shown_none_though_it_could_see_them() -> None:
    async def use(model: ServerModel) -> tuple[bool, bool]:
        both = [load_chat_model(model.url, pictures=shown) for shown in (True, False)]
        for each in both:
            await each.connect()
        found = both[0].features.pictures, both[1].features.pictures
        for each in both:
            await each.close()
        return found

    assert serving(able, use, features=ALL)[0] == (True, False)


# --- forms without the server's help -----------------------------------------------------------------------


def test_a_form_is_told_in_words_and_read_strictly() -> None:
    async def use(model: ServerModel) -> Reply:
        return await model.chat(Request((*ASK, Message("user", "Now.")), SCHEMA))

    answered, (request,) = serving(
        lambda path, body: message('Here it is:\n```json\n{"answer": "x"}\n```'),
        use,
        features=Features(schema=False),
    )
    assert answered.text == '{"answer": "x"}'
    assert "response_format" not in request
    assert request["messages"][0]["content"] == "Why?"
    assert request["messages"][1]["content"].startswith("Now.\n\nAnswer with JSON")
    assert request["messages"][1]["content"].endswith(json.dumps(SCHEMA))
    with pytest.raises(UnparseableError, match="Hello"):
        serving(simple, use, features=Features(schema=False))


@pytest.mark.parametrize(
    "text, found",
    [
        (' {"a": 1}\n', '{"a": 1}'),
        ("```\n[1, 2]\n```", "[1, 2]"),
        ("So:\n```json\n{}\n```\nDone.", "{}"),
        ("```json\n{}\n```\n```json\n{}\n```", None),
        ('The answer is {"a": 1}', None),
        ("```json\n{'a': 1}\n```", None),
    ],
)
def test_json_is_looked_for_strictly(text: str, found: str | None) -> None:
    if found is None:
        with pytest.raises(UnparseableError):
            json_in(text)
    else:
        assert json_in(text) == found


# --- tools -----------------------------------------------------------------------------------------------


def test_tools_are_offered_called_and_answered() -> None:
    tool = Tool("report", "Reports.", {"type": "object"})
    before = (
        Message("assistant", "", calls=(ToolCall("report", {"number": 1}, "c0"),)),
        Message("tool", "done", answers="c0"),
    )

    async def use(model: ServerModel) -> Reply:
        return await model.chat(Request((*ASK, *before), tools=(tool,)))

    reply, (request,) = serving(able, use, features=ALL)
    assert reply.calls == (ToolCall("report", {"number": 7}, "c1"),) and reply.text == ""
    function = {"name": "report", "description": "Reports.", "parameters": {"type": "object"}}
    assert request["tools"] == [{"type": "function", "function": function}]
    call = {"id": "c0", "type": "function", "function": {"name": "report", "arguments": '{"number": 1}'}}
    assert request["messages"][1:] == [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "done", "tool_call_id": "c0"},
    ]


@pytest.mark.parametrize("arguments", ["{", "[1]", "7"])
def test_a_call_whose_arguments_are_no_object(arguments: str) -> None:
    call = {"id": "c", "function": {"name": "report", "arguments": arguments}}

    async def use(model: ServerModel) -> Reply:
        return await model.chat(Request(ASK, tools=(Tool("report", "", {}),)))

    with pytest.raises(UnparseableError, match="tool call"):
        serving(lambda path, body: message(None, tool_calls=[call]), use, features=ALL)


# --- choices and log probabilities ---------------------------------------------------------------------------


def test_a_choice_is_asked_for_and_read() -> None:
    async def use(model: ServerModel) -> tuple[Choice, Choice]:
        return await model.choose(ASK, ["true", "false"]), await model.choose(ASK, ["left", "less"])

    (one, _), (first, second) = serving(able, use, features=ALL)
    assert dict(one.probabilities) == pytest.approx({"true": 0.75, "false": 0.25})
    assert (one.usage.prompt_tokens, one.usage.completion_tokens) == (7, 2)
    assert first["structured_outputs"] == {"choice": ["true", "false"]}
    assert (first["logprobs"], first["top_logprobs"], first["max_tokens"]) == (True, 20, 1)
    assert second["max_tokens"] > 1  # they begin alike


def test_a_server_that_refuses_to_be_told_the_choices_is_read_by_its_log_probabilities() -> None:
    def respond(path: str, body: Body) -> Body | int:
        return 400 if "structured_outputs" in body else logprobs({"yes": 0.6, "no": 0.2, "well": 0.2})

    async def use(model: ServerModel) -> list[Choice]:
        return [await model.choose(ASK, ["yes", "no"]) for _ in range(2)]

    found, requests = serving(respond, use, features=ALL)
    assert [each.probabilities["yes"] for each in found] == pytest.approx([0.75, 0.75])
    assert ["structured_outputs" in body for body in requests] == [True, False, False]


@pytest.mark.parametrize(
    "positions, choices, expected",
    [
        # one token each; a masked one counts nothing
        ([{"A": 0.75, "B": 0.25, "C": 0.0}], ["A", "B"], [0.75, 0.25]),
        # several ways to write one answer are added up, and what is no answer is left out
        ([{"yes": 0.4, "Yes": 0.1, " y": 0.1, "no": 0.2, "Well": 0.2}], ["yes", "no"], [0.75, 0.25]),
        # both begin alike: followed along the answer
        ([{"l": 0.9, "less": 0.1}, {"eft": 0.5, "ess": 0.5}], ["left", "less"], [0.45, 0.55]),
        # white space first
        ([{"\n": 0.8, "A": 0.2}, {"B": 1.0}], ["A", "B"], [0.2, 0.8]),
        # one answer is the beginning of the other
        ([{"1": 1.0}, {"0": 0.3, "<end>": 0.7}], ["1", "10"], [0.7, 0.3]),
    ],
)
def test_probabilities_over_tokenisations(
    positions: list[dict[str, float]], choices: list[str], expected: list[float]
) -> None:
    found = probabilities(logprobs(*positions), choices)
    assert list(found) == choices
    assert list(found.values()) == pytest.approx(expected)


def test_an_answer_that_is_none_of_the_choices() -> None:
    with pytest.raises(UnparseableError, match="expected one of yes, no, found 'Well'"):
        probabilities(logprobs({"Well": 0.97, "yes": 0.03}), ["yes", "no"])
    with pytest.raises(UnparseableError, match="log probabilities"):
        probabilities(message(), ["yes", "no"])
    with pytest.raises(AssertionError, match="differ"):
        probabilities(logprobs({"a": 1.0}), ["a", "A "])


def test_likelihoods_are_read_from_echoed_prompts_many_a_request() -> None:
    continuations = [" a", " bb ccc", ""] + [f" {'x' * i}" for i in range(4, 50)]

    async def use(model: ServerModel) -> list[Likelihood]:
        async with load_chat_model(model.url) as recorded:
            found = await recorded.likelihoods("the prefix", continuations)
            assert recorded.usage.requests == 1 and recorded.usage.prompt_tokens == 3 * 49
        return found

    found, requests = serving(able, use, features=ALL)
    # A token of n letters, its space included, has -n.
    assert found[:4] == [Likelihood(-2.0, 1), Likelihood(-7.0, 2), Likelihood(0.0, 0), Likelihood(-5.0, 1)]
    assert [each.total for each in found[3:]] == [-(i + 1.0) for i in range(4, 50)]
    asked = [body for body in requests if "prompt" in body][1:]  # the first is the trial
    assert [len(body["prompt"]) for body in asked] == [32, 17]
    assert all((body["echo"], body["max_tokens"]) == (True, 0) for body in asked)


def test_a_token_across_the_border_counts_whole() -> None:
    """ "ab" alone is [a, b]; with "c" it is [a, bc]."""
    assert likelihood((["a", "b"], [None, -1.0]), (["a", "bc"], [None, -3.0])) == Likelihood(-3.0, 1)
    assert likelihood(([], []), (["c", "d"], [None, -3.0])) == Likelihood(-3.0, 1)


@pytest.mark.parametrize("body", [message(), {"choices": [{"index": 0, "logprobs": None}]}, {"choices": []}])
def test_a_server_that_echoes_nothing(body: Body) -> None:
    async def use(model: ServerModel) -> list[Likelihood]:
        return await model.likelihoods("", ["c"])

    with pytest.raises(UnparseableError, match="log probabilities of 1 prompts"):
        serving(lambda path, _: body, use, features=ALL)


# --- reasoning ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content, text",
    [
        ("Plain.", "Plain."),
        ("<think>Hm.</think>\n\nBecause.", "Because."),
        ("Hm.</think>Because.", "Because."),  # the template wrote the beginning
        ('{"answer": "a </think> b"}', '{"answer": "a </think> b"}'),
        ("<think>Hm.", ""),
        (" \n", ""),
        (None, ""),
    ],
)
def test_the_answer_comes_after_the_reasoning(content: str | None, text: str) -> None:
    assert answer({"content": content}) == text


ALONE = [
    {"content": None, "reasoning": "Hm"},
    {"content": "", "reasoning_content": "Hm"},
    {"content": "<think>Hm"},
]


@pytest.mark.parametrize("alone", ALONE)
def test_reasoning_that_used_up_the_room_gets_more_once(alone: Body) -> None:
    def respond(path: str, body: Body) -> Body:
        return message(**alone, finish="length") if body["max_tokens"] == 9 else message("Because.", cached=5)

    async def use(model: ServerModel) -> Reply:
        return await model.chat(Request(ASK, max_tokens=9))

    reply, requests = serving(respond, use, features=ALL)
    assert reply == Reply("Because.", usage=Usage(1, 0, 14, 5, 4))
    assert [body["max_tokens"] for body in requests] == [9, 4096 - 7]  # all that the context leaves

    with pytest.raises(EmptyAnswerError, match="reasoning alone; turn"):
        serving(lambda path, body: message(**alone, finish="length"), use, features=ALL)


# --- many requests --------------------------------------------------------------------------------------------


def test_many_requests_are_in_flight_and_a_server_that_refuses_gets_fewer() -> None:
    counts = {"now": 0, "peak": 0, "refused": 0}

    async def handle(request: web.Request) -> web.Response:
        counts["now"] += 1
        counts["peak"] = max(counts["peak"], counts["now"])
        try:
            if counts["now"] > 100:
                counts["refused"] += 1
                return web.Response(status=429, headers={"retry-after-ms": "20"})
            await asyncio.sleep(0.2)
            return web.json_response(message())
        finally:
            counts["now"] -= 1

    async def run() -> list[Reply]:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", handle)
        app.router.add_get("/v1/models", lambda request: _models())
        async with TestServer(app) as server:
            model = ServerModel(str(server.make_url("")), features=ALL, retries=20)
            async with model:
                return await asyncio.gather(*(model.chat(Request(ASK, seed=seed)) for seed in range(800)))

    async def _models() -> web.Response:
        return web.json_response({"data": [{"id": "tiny"}]})

    assert len(asyncio.run(run())) == 800
    assert 64 <= counts["peak"] and counts["refused"] < 800


def test_a_request_too_long_fails_alone() -> None:
    async def use(model: ServerModel) -> None:
        with pytest.raises(RefusalError, match="no"):
            await model.chat(Request(ASK))

    _, requests = serving(lambda path, body: 400, use, features=ALL)
    assert len(requests) == 1
