"""Parameters that a server refuses are learnt at connect, by name or by trial, and said."""

from __future__ import annotations

from typing import Any

import pytest
from chat_server import ASK, Body, able, features, logprobs, message, serving

from neurogloss.engines.server import ServerModel
from neurogloss.llm import Choice, Features, Reply, Request

NAMED = "Unsupported parameter: '{}' is not supported with this model."


def refusing(*names: str, says: str = NAMED) -> Any:
    """A server that answers everything but requests with one of these parameters."""

    def respond(path: str, body: Body) -> Any:
        found = [name for name in names if name in body]
        return (400, {"error": {"message": says.format(found[0])}}) if found else able(path, body)

    return respond


async def said(model: ServerModel) -> tuple[str, ...]:
    await model.chat(Request(ASK, max_tokens=9, seed=3))
    return model.dialect.said


@pytest.mark.parametrize("says", [NAMED, "Bad request"])
@pytest.mark.parametrize(
    ("names", "expected", "last"),
    [
        (
            ("max_tokens",),
            ("max_tokens is sent as max_completion_tokens",),
            {"max_completion_tokens": 9, "seed": 3},
        ),
        (("max_tokens", "max_completion_tokens"), ("max_completion_tokens is left out",), {"seed": 3}),
        (("seed", "temperature"), ("temperature is left out", "seed is left out"), {"max_tokens": 9}),
    ],
)
def test_a_refused_parameter_is_replaced_or_left_out(
    names: tuple[str, ...], expected: tuple[str, ...], last: Body, says: str
) -> None:
    found, requests = serving(refusing(*names, says=says), said)
    assert found == expected
    sent = {
        name: value for name, value in requests[-1].items() if name not in ("model", "messages", "temperature")
    }
    assert sent == last


def test_a_parameter_may_be_refused_as_fastapi_does() -> None:
    def respond(path: str, body: Body) -> Any:
        detail = [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]
        return (422, {"detail": detail}) if "seed" in body else able(path, body)

    assert serving(respond, said)[0] == ("seed is left out",)


def test_what_a_server_can_do_is_found_out_in_its_own_dialect() -> None:
    found, _ = serving(refusing("max_tokens", "temperature"), features)
    assert found == Features(True, True, True, False, True), "completions that echo need max_tokens"


def test_fewer_alternatives_are_asked_for_if_20_are_too_many() -> None:
    def respond(path: str, body: Body) -> Any:
        if body.get("top_logprobs", 0) > 5:
            return 400, {"error": {"message": "top_logprobs must be between 0 and 5"}}
        return logprobs({"yes": 0.75, "no": 0.25})

    async def use(model: ServerModel) -> Choice:
        return await model.choose(ASK, ["yes", "no"])

    found, requests = serving(respond, use, features=Features(choices=True))
    assert found.probabilities["yes"] == pytest.approx(0.75)
    assert [request["top_logprobs"] for request in requests] == [20, 5]


def test_a_change_that_does_not_help_is_not_kept() -> None:
    """vLLM names max_tokens when a prompt is too long."""

    def respond(path: str, body: Body) -> Any:
        if len(body["messages"]) > 1:
            return 400, {"error": {"message": "'max_tokens' or 'max_completion_tokens' is too large"}}
        return message()

    async def use(model: ServerModel) -> tuple[Reply, tuple[str, ...]]:
        with pytest.raises(Exception, match="too large"):
            await model.chat(Request((*ASK, *ASK)))
        return await model.chat(Request(ASK)), model.dialect.said

    (reply, changes), requests = serving(respond, use, features=Features())
    assert reply.text == "Hello." and changes == () and "max_tokens" in requests[-1]
