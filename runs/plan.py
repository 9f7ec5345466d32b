"""What labelling would cost, before it does.

1. Some of the units that are left to do are taken through both graphs with a model that asks nobody: its answers
   have the form asked for and say nothing. Their requests are those of the real run, or a few more: a made-up
   answer is never so right that refining ends early.
2. Their tokens are estimated from characters, and a usual number for each picture. A server is sent a few of the
   requests: it gives its own count of tokens, and its speed with as many requests in flight as the run will have.
3. Totals are those of the sample, times units left over units sampled.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Unpack

from neurogloss.accounts import Usage
from neurogloss.agent import methods
from neurogloss.agent.models import Models
from neurogloss.engines.usage import RecordedModel
from neurogloss.folder import RunFolder
from neurogloss.ids import UnitId
from neurogloss.keywords import LabelKeywords
from neurogloss.llm import ChatModel, Choice, Message, Reply, Request
from neurogloss.protocols import Progress, Quiet
from neurogloss.runs.label import Batch
from neurogloss.runs.select import select
from neurogloss.runs.sweep import Sweeps
from neurogloss.settings import LabelSettings, make
from neurogloss.sources.cache import Cache
from neurogloss.store.ledger import Ledger
from neurogloss.tasks import together, wait

SAMPLED = 8
"""Units taken through the graphs."""
SENT = 16
"""Of their requests, those that a server is really sent."""
CHARACTERS = 4.0
"""A token's, where no server counts."""
PICTURE = 256
"""Tokens of a picture, where no server counts: 16 x 16 patches. Models differ, from about 60 to 600."""
ANSWER = 20
"""Tokens of an answer that is a text."""


@dataclass(frozen=True, slots=True)
class Plan:
    """An estimate."""

    units: int
    """Left to do."""
    sampled: int
    """Units that the estimate rests on."""
    usage: Usage
    """Of all units; what the server's prefix cache would serve is not known."""
    seconds: float | None
    """On that server; None without one."""
    pictures: int
    """Shown in all requests together."""
    cost: float
    """In the currency of the prices that the settings give; 0 without."""


def plan(
    run: str | Path,
    settings: LabelSettings | None = None,
    *,
    progress: Progress | None = None,
    **values: Unpack[LabelKeywords],
) -> Plan:
    """What `label` with the same arguments would cost. Writes nothing, and asks a server very little.

    Raises:
        UserError: as `label`.
    """
    folder = RunFolder(Path(run)).require()
    chosen = make(LabelSettings, values, settings)
    return wait(partial(plan_async, folder, chosen, progress or Quiet()))


async def plan_async(folder: RunFolder, settings: LabelSettings, progress: Progress) -> Plan:
    """As `plan`, awaited."""
    cache = Cache(folder.cache)
    chosen = select(cache, settings.units, settings.min_active, settings.seed)
    models = Models(cache, settings, progress)
    async with AsyncExitStack() as stack:
        chat = await methods.open_chat(stack, settings, None)
        stub = Unasked(chat) if chat else None
        method = methods.build(settings, cache, models, RecordedModel(stub) if stub else None)
        left = _left(folder, chosen, method, settings)
        sample = left[:: max(1, len(left) // SAMPLED)][:SAMPLED]
        if chat is None or stub is None or not sample:
            return Plan(len(left), len(sample), Usage(), None, 0, 0.0)
        with TemporaryDirectory() as scratch, Ledger(Path(scratch) / "ledger.sqlite") as ledger:
            quick = settings.model_copy(update={"trace": False})
            await Batch(cache, method, models, Sweeps(ledger, method.id, quick, sample, progress)).run()
        if not stub.asked:  # nothing that could be shown: images without captions, to a model that reads
            return Plan(len(left), len(sample), Usage(), 0.0, 0, 0.0)
        speed, characters = await _try(chat, stub.asked)
        times = len(left) / len(sample)
        usage = Usage(
            requests=round(len(stub.asked) * times),
            prompt_tokens=round(_characters(stub.asked) / characters * times),
            completion_tokens=round(sum(request.max_tokens for request in stub.asked) * times),
        )
        pictures = round(_pictures(stub.asked) * times)
        return Plan(len(left), len(sample), usage, usage.requests / speed, pictures, usage.cost(settings.prices))


def _left(
    folder: RunFolder, chosen: Sequence[UnitId], method: methods.Method, settings: LabelSettings
) -> list[UnitId]:
    """Those of the chosen units that have no label under the method."""
    if not folder.ledger.is_file():
        return list(chosen)
    with Ledger(folder.ledger, read_only=True) as ledger:
        done = ledger.standings(method.id, chosen)
    return [unit for unit in chosen if unit not in done]


async def _try(chat: ChatModel, asked: Sequence[Request]) -> tuple[float, float]:
    """Requests a second, and characters a token, of a few requests sent side by side."""
    sent = asked[:: max(1, len(asked) // SENT)][:SENT]
    began = time.monotonic()
    replies = await together(map(chat.chat, sent))
    tokens = sum(reply.prompt_tokens for reply in replies)
    characters = _characters(sent)
    return len(sent) / (time.monotonic() - began), characters / tokens if tokens else CHARACTERS


def _characters(asked: Sequence[Request]) -> float:
    """Of all messages, a picture counted as those of as many tokens."""
    said = sum(len(message.content) for request in asked for message in request.messages)
    return said + CHARACTERS * PICTURE * _pictures(asked)


def _pictures(asked: Sequence[Request]) -> int:
    return sum(len(message.pictures) for request in asked for message in request.messages)


class Unasked:
    """A ChatModel that remembers requests, and gives answers of the form asked for that say nothing."""

    def __init__(self, model: ChatModel) -> None:
        """`model`: whose place it takes."""
        self.name, self.features = model.name, model.features
        self.asked: list[Request] = []
        """Their `max_tokens` are those of the answer, estimated."""

    async def chat(self, request: Request) -> Reply:
        text = json.dumps(_instance(request.schema)) if request.schema else '{"explanation": "some words"}'
        length = ANSWER if "explanation" in text else max(1, round(len(text) / CHARACTERS))
        self._remember(request, length)
        return Reply(text)

    async def choose(self, messages: Sequence[Message], choices: Sequence[str]) -> Choice:
        self._remember(Request(tuple(messages)), 1)
        return Choice({choice: 1 / len(choices) for choice in choices})

    def _remember(self, request: Request, length: int) -> None:
        """`length`: tokens of the answer, estimated."""
        self.asked.append(replace(request, tools=(), max_tokens=length))


def _instance(schema: Mapping[str, Any]) -> Any:
    """A value of the form that a JSON schema describes."""
    if "anyOf" in schema:
        return _instance(schema["anyOf"][-1])
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return {name: _instance(kind) for name, kind in schema.get("properties", {}).items()}
        case "array":
            return [_instance(schema["items"])] * schema.get("minItems", 1)
        case "boolean":
            return False
        case "number" | "integer":
            return schema.get("minimum", 0)
        case _:
            return "some words"
