"""What labelling would cost, before it does.

1. A few of the units that are left are taken through both graphs, with a model that asks nobody: its answers have
   the form asked for and say nothing. Their requests are those of the real run, or a few more: a made-up answer is
   never so right that refining ends early.
2. Tokens are estimated from characters, and a usual number for each picture. A server gets some of the requests.
   Its own counts correct the estimates, and its speed gives the time.
3. Totals are those of the sample, times units left over units sampled.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Unpack

from neurogloss.accounts import Usage
from neurogloss.agent import methods
from neurogloss.agent.models import Models
from neurogloss.engines.usage import Reading, RecordedModel
from neurogloss.errors import AnswerError, TransportError
from neurogloss.folder import RunFolder
from neurogloss.ids import UnitId
from neurogloss.keywords import LabelKeywords
from neurogloss.llm import ChatModel, Choice, Likelihood, Message, Reply, Request, ToolCall
from neurogloss.protocols import Progress, Quiet
from neurogloss.runs.label import label_units
from neurogloss.runs.select import select
from neurogloss.runs.stages import LocalStages
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
"""Of a token, if no server counts."""
PICTURE = 256
"""Tokens of a picture, if no server counts: 16 x 16 patches. Models differ, from about 60 to 600."""
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
    seconds: float
    """On that server, or of this process if that takes longer."""
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
        left, sample = _left(folder, chosen, method, settings)
        quick = settings.model_copy(update={"trace": False})
        seconds = await _timed(cache, models, method, quick, sample, progress)
        times = left / max(1, len(sample))
        if chat is None or stub is None or not stub.asked:
            return Plan(left, len(sample), Usage(), seconds * times, 0, 0.0)
        speed, prompts, answers = await _try(chat, stub.asked)
        guess = _usage(reply for _, reply in stub.asked)
        usage = Usage(
            requests=round(guess.requests * times),
            prompt_tokens=round(guess.prompt_tokens * prompts * times),
            completion_tokens=round(guess.completion_tokens * answers * times),
        )
        pictures = round(sum(_pictures(request) for request, _ in stub.asked) * times)
        seconds = max(seconds * times, usage.requests / speed)
        return Plan(left, len(sample), usage, seconds, pictures, usage.cost(settings.prices))


def _left(
    folder: RunFolder, chosen: Sequence[UnitId], method: methods.Method, settings: LabelSettings
) -> tuple[int, list[UnitId]]:
    """How many of the chosen units have no label under the method, and SAMPLED of them."""
    if not folder.ledger.is_file():
        return len(chosen), list(chosen[:: max(1, len(chosen) // SAMPLED)][:SAMPLED])
    with Ledger(folder.ledger, read_only=True) as ledger:
        sweeps = Sweeps(ledger, method.id, settings, chosen, Quiet())
        left = partial(sweeps.pending, lambda standing: standing is None)
        n = sum(1 for _ in left())
        return n, list(islice(left(), 0, None, max(1, n // SAMPLED)))[:SAMPLED]


async def _timed(
    cache: Cache,
    models: Models,
    method: methods.Method,
    settings: LabelSettings,
    sample: Sequence[UnitId],
    progress: Progress,
) -> float:
    """Labels the sample into a ledger that is thrown away. Returns seconds a unit, without loading models."""
    stages = LocalStages(cache, models, settings, method)
    with TemporaryDirectory() as scratch, Ledger(Path(scratch) / "ledger.sqlite") as ledger:
        seconds = 0.0
        for some in (sample[:1], sample[1:]):  # models are loaded for the first one
            began = time.monotonic()
            await label_units(Sweeps(ledger, method.id, settings, some, progress), method, cache, stages)
            seconds = (time.monotonic() - began) / len(some) if some else seconds
        return seconds


async def _try(chat: ChatModel, asked: Sequence[tuple[Request, Reply]]) -> tuple[float, float, float]:
    """Sends some of the requests side by side, as the run sends them.

    Returns:
        Requests a second, and by how much the server's tokens of prompts and of answers exceed the estimates.

    Raises:
        TransportError: the server cannot be reached.
    """
    sent = asked[:: max(1, len(asked) // SENT)][:SENT]
    began = time.monotonic()
    replies = await together(_answer(chat, request) for request, _ in sent)
    speed = len(sent) / (time.monotonic() - began)
    both = [
        (real, sent) for real, (_, sent) in zip(replies, sent, strict=True) if real and real.usage.prompt_tokens
    ]
    if not both:
        return speed, 1.0, 1.0
    real, guess = (_usage(some) for some in zip(*both, strict=True))
    return speed, real.prompt_tokens / guess.prompt_tokens, real.completion_tokens / guess.completion_tokens


def _usage(replies: Iterable[Reply]) -> Usage:
    return sum((reply.usage for reply in replies), Usage())


async def _answer(chat: ChatModel, request: Request) -> Reply | None:
    """None if the answer cannot be used: a dry run does not need it."""
    try:
        return await chat.chat(request)
    except TransportError:
        raise
    except AnswerError:
        return None


def _pictures(request: Request) -> int:
    return sum(len(message.pictures) for message in request.messages)


class Unasked:
    """A ChatModel that asks nobody: its answers have the form asked for and say nothing."""

    def __init__(self, model: ChatModel) -> None:
        """`model`: whose place it takes."""
        self.name, self.features = model.name, model.features
        self.asked: list[tuple[Request, Reply]] = []
        """Requests, and answers with estimated tokens."""

    async def chat(self, request: Request) -> Reply:
        if request.tools:  # of experiments, as many as are allowed
            tool = request.tools[0]
            return self._reply(request, "", ANSWER, (ToolCall(tool.name, _instance(tool.parameters), "1"),))
        text = json.dumps(_instance(request.schema)) if request.schema else '{"explanation": "some words"}'
        return self._reply(request, text, ANSWER if "explanation" in text else round(len(text) / CHARACTERS))

    async def choose(self, messages: Sequence[Message], choices: Sequence[str]) -> Choice:
        self._reply(Request(tuple(messages), max_tokens=1), choices[0], 1)
        return Choice({choice: 1 / len(choices) for choice in choices})

    async def read(self, prefix: str, continuations: Sequence[str]) -> Reading[Likelihood]:
        for text in continuations:
            self._reply(Request((Message("user", prefix + text),), max_tokens=1), "", 1)
        return Reading(tuple(Likelihood(-1.0, 1) for _ in continuations))

    async def fill(self, prefix: str, text: str, mark: str, choices: Sequence[str]) -> Reading[tuple[float, ...]]:
        self._reply(Request((Message("user", prefix + text),), max_tokens=1), "", 1)
        return Reading((tuple(1 / len(choices) for _ in choices),) * text.count(mark))

    def _reply(self, request: Request, text: str, length: int, calls: tuple[ToolCall, ...] = ()) -> Reply:
        said = sum(len(message.content) for message in request.messages)
        prompt = round(said / CHARACTERS) + PICTURE * _pictures(request)
        reply = Reply(text, calls, Usage(1, 0, prompt, 0, max(1, length)))
        self.asked.append((request, reply))
        return reply


def _instance(schema: Mapping[str, Any]) -> Any:
    """A value of the form that a JSON schema describes."""
    if "anyOf" in schema:  # an experiment rather than an explanation
        return _instance(schema["anyOf"][0])
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
