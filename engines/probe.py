"""Find out what a server can do, by what it does: servers ignore what they do not know, and say 200.

Each feature is a tiny request or two, all at once, and counts where the answer has the form that only the feature
gives it: a word that nobody would say without the schema, probabilities of choices, a call of the tool, as many
log probabilities as there are tokens, a prompt of more tokens with two pictures than without.
"""

from __future__ import annotations

import asyncio
import base64
import math
from collections.abc import Awaitable
from dataclasses import replace
from typing import Protocol

from neurogloss.engines.sdk import busy
from neurogloss.engines.usage import Reader
from neurogloss.errors import AnswerError, UserError
from neurogloss.foreign import read_json
from neurogloss.llm import ChatModel, Features, Message, Request, Tool

_WORD = "zephyr"
_SCHEMA = {
    "type": "object",
    "properties": {"word": {"type": "string", "enum": [_WORD]}},
    "required": ["word"],
    "additionalProperties": False,
}
_TOOL = Tool(
    "report",
    "Reports a number to the user.",
    {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]},
)
_PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAIAAAAlC+aJAAAAS0lEQVR42u3PQQkAAAgAsetfWiP4FgYrsKZeS0BAQEBAQEBAQEBAQEBAQEBA"
    "QEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEDgsqnc8OJg6Ln3AAAAAElFTkSuQmCC"
)
"""A red square of 64 x 64 pixels, PNG."""


class _Probed(ChatModel, Reader, Protocol):
    """A chat model that reads prompts."""


async def probe(model: _Probed) -> Features:
    """What `model` can do, which takes itself to be able to do everything.

    Raises:
        UserError: the server broke off or was too busy to be tried.
    """
    found = await asyncio.gather(
        _works(_schema(model)),
        _works(_choices(model)),
        _works(_tools(model)),
        _works(_prompt_logprobs(model)),
        _works(_pictures(model)),
    )
    return Features(*found)


async def _works(trial: Awaitable[bool]) -> bool:
    try:
        return await trial
    except (AnswerError, UserError) as error:
        if busy(error):
            raise UserError(f"The server could not be tried: {error}. Try again when it is well.") from error
        return False


async def _schema(model: _Probed) -> bool:
    reply = await model.chat(Request((Message("user", "Say hello."),), _SCHEMA, max_tokens=64))
    try:
        return bool(read_json(reply.text) == {"word": _WORD})
    except ValueError:
        return False


async def _choices(model: _Probed) -> bool:
    question = "Is fire hot? Answer with one word, yes or no."
    choice = await model.choose([Message("user", question)], ["yes", "no"])
    return len(choice.probabilities) == 2


async def _tools(model: _Probed) -> bool:
    question = "Report the number 7 with the tool `report`."
    reply = await model.chat(Request((Message("user", question),), tools=(_TOOL,), max_tokens=128))
    return [call.name for call in reply.calls] == [_TOOL.name]


async def _prompt_logprobs(model: _Probed) -> bool:
    reading = await model.read("The cat sat on the", [" mat", " sofa in the room"])
    return all(each.n_tokens and math.isfinite(each.total) and each.total < 0 for each in reading.found)


async def _pictures(model: _Probed) -> bool:
    asked = Message("user", "Which colour are these pictures?")
    seen = await model.chat(Request((replace(asked, pictures=(_PICTURE, _PICTURE)),), max_tokens=16))
    without = await model.chat(Request((asked,), max_tokens=16))
    return seen.usage.prompt_tokens > without.usage.prompt_tokens
