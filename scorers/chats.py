"""What scorers ask a chat model for beside a judge's answers: texts, ratings, numbers, in a JSON form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neurogloss.errors import AnswerError, TransportError, UnparseableError
from neurogloss.foreign import read_json
from neurogloss.ids import derive_seed
from neurogloss.llm import ChatModel, Request
from neurogloss.prompts.pictures import showing
from neurogloss.prompts.render import render
from neurogloss.records import Answer, Passage

TEXT_TOKENS = 80
"""Tokens allowed for a text that is written."""
NUMBER_TOKENS = 4
"""Tokens allowed for a number in a list, with what separates it."""
ROOM = 64
"""Tokens allowed beside what is asked for: the frame, and a model's white space."""
LONGEST = 600
"""Characters of a written text that are used."""


async def write(
    chat: ChatModel, template: str, kinds: Sequence[str], n: int, seed: int, **values: Any
) -> dict[str, list[str]]:
    """`n` texts of each kind.

    Raises:
        AnswerError: the model gave none.
    """
    schema = _object(
        {kind: {"type": "array", "items": {"type": "string"}, "minItems": n, "maxItems": n} for kind in kinds}
    )
    room = ROOM + TEXT_TOKENS * n * len(kinds)
    found = await _reply(chat, template, schema, room, seed, n=n, **values)
    return {kind: [text[:LONGEST] for text in _list(found, kind, n, str)] for kind in kinds}


async def numbers(
    chat: ChatModel,
    template: str,
    n: int,
    highest: int,
    seed: int,
    lowest: int = 0,
    images: Sequence[Passage] = (),
    **values: Any,
) -> list[int]:
    """`n` whole numbers from `lowest` to `highest`.

    Args:
        images: passages whose pictures follow the prompt, where they have one.

    Raises:
        AnswerError: the model gave none.
    """
    item = {"type": "integer", "minimum": lowest, "maximum": highest}
    schema = _object({"answers": {"type": "array", "items": item, "minItems": n, "maxItems": n}})
    found = await _reply(chat, template, schema, ROOM + NUMBER_TOKENS * n, seed, images, **values)
    given: list[int] = _list(found, "answers", n, int)
    if any(not lowest <= number <= highest for number in given):
        raise UnparseableError(f"expected numbers from {lowest} to {highest}, found {given[:20]}")
    return given


def failed(error: AnswerError) -> Answer:
    """The failure as an answer's state. Raises the error itself where the model was not reached."""
    if isinstance(error, TransportError):
        raise error
    return Answer(None, error.failure, str(error))


async def _reply(
    chat: ChatModel,
    template: str,
    schema: Mapping[str, Any],
    room: int,
    seed: int,
    images: Sequence[Passage] = (),
    **values: Any,
) -> Mapping[str, Any]:
    messages = showing(render(template, **values), images).messages
    request = Request(messages, schema, max_tokens=room, seed=derive_seed(seed, template))
    reply = await chat.chat(request)
    try:
        found = read_json(reply.text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UnparseableError(f"expected a JSON object, found {reply.text[:200]!r}")
    return found


def _list(found: Mapping[str, Any], name: str, n: int, kind: type) -> list[Any]:
    values = found.get(name)
    # The type is compared, too: True is an int in Python, and no number here.
    if not isinstance(values, list) or len(values) != n or any(type(value) is not kind for value in values):
        raise UnparseableError(f"expected {n} of type {kind.__name__} as {name!r}, found {str(values)[:200]}")
    return values


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }
