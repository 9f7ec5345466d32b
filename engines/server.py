"""A chat model behind an OpenAI-compatible server; a local vLLM is the reference.

At connect one small real request finds out which parameters the server takes (`neurogloss.engines.dialect`), and a
few more find out what it can do (`neurogloss.engines.probe`). It is then asked in these ways:

1. A JSON schema as `response_format`; without support for it in words, and the answer is read strictly.
2. A choice as vLLM's `structured_outputs`, which other servers ignore or refuse, and the log probabilities of
   its first tokens.
3. Tools as tool calls.
4. The log probabilities of prompts as completions that echo them, many prompts a request.
5. Pictures as data URIs in parts of a message (`image_url`), after its text.

A model that reasons until its room is used up is asked once more, with more room. `neurogloss.engines.client` and
`neurogloss.engines.replies` say which failure raises which error.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import difflib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from neurogloss.accounts import Usage
from neurogloss.engines import replies
from neurogloss.engines.client import Client, context_length
from neurogloss.engines.dialect import Dialect
from neurogloss.engines.probe import probe
from neurogloss.engines.sdk import busy, refused
from neurogloss.engines.usage import Closeable, Reading
from neurogloss.errors import RefusalError, TransportError, UnparseableError, UserError
from neurogloss.llm import Choice, Features, Likelihood, Message, Reply, Request, Tool

SEEDS = 2**31
"""Seeds are sent modulo this: servers differ in the width that they take."""
ROOM = 8
"""Times the room that was asked for, which a model gets that reasoned until it was used up …"""
LEAST_ROOM = 4096
"""… and tokens at least."""
LETTERS = 64
"""Characters of a token, at most."""
PROMPTS = 32
"""Prompts in one request for log probabilities."""
_log = logging.getLogger(__name__)

IN_WORDS = "\n\nAnswer with JSON that fits this JSON schema, and with nothing else:\n"


class ServerModel(Closeable):
    """ChatModel and CausalModel over HTTP, inside one event loop: `async with ServerModel(url) as chat:`."""

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        api_key: str | None = None,
        features: Features | None = None,
        concurrency: int = 256,
        timeout: float = 600.0,
        retries: int = 4,
    ) -> None:
        """Makes no request yet.

        Args:
            url: of the server, with or without `/v1`; several, separated by commas; `openai` for the SDK's own.
            model: name on the server; None takes its only one.
            api_key: by default the environment's OPENAI_API_KEY.
            features: what the server can do; None has it tried at connect, with a few tiny requests.
            concurrency: requests in flight at most; how many there are adapts to the server.
            timeout: seconds for one request, from when it is sent.
            retries: how often a request is sent again.

        Raises:
            UserError: `url` is no http URL, or the key cannot be sent.
        """
        self._client = Client(url, api_key, timeout, retries, concurrency)
        self.url = self._client.url
        """Without passwords."""
        self.context_length: int | None = None
        """Tokens of prompt and answer together, where the server says so."""
        self.dialect = Dialect()
        self._model = model
        self._features = features
        self._connecting, self._connected = asyncio.Lock(), False
        self._answers_as: str | None = None
        """The model that the first answer named."""

    @property
    def name(self) -> str:
        """The model's name, and the name that it answers with if that is another one."""
        if self._model is None:
            raise RuntimeError("the server has not been asked for its model yet: await connect() first")
        return self._model if self._answers_as in (None, self._model) else f"{self._model} ({self._answers_as})"

    @property
    def features(self) -> Features:
        if self._features is None:
            raise RuntimeError("the server has not been asked for its features yet: await connect() first")
        return self._features

    async def connect(self) -> None:
        """Ask the server for its models, settle on one, and find out what it can do. Does so once.

        Raises:
            UserError: no server answers there, the key is wrong, the model is unknown, or there are several
                and none is named.
        """
        if self._connected:
            return
        async with self._connecting:
            if not self._connected:
                await self._connect()
                self._connected = True

    async def _connect(self) -> None:
        known = {str(model["id"]): model for model in await self._client.models(self._model is not None)}
        self._model = self._settle(list(known))
        self.context_length = context_length(known.get(self._model, {}))
        if self._features is None:
            await self._greet(self._model)
            # Everything is tried by asking for it.
            trial = copy.copy(self)
            trial._connected = True
            trial._features = Features(True, True, True, True, True)
            self._features = await probe(trial)

    async def _greet(self, model: str) -> None:
        """Make one small real request. Raises UserError if the server can answer none."""
        hello = {"model": model, "messages": [{"role": "user", "content": "Say hello."}]}
        try:
            answer = await self.dialect.learn(
                self._post, {**hello, "temperature": 0.0, "max_tokens": 16, "seed": 0}
            )
            replies.completion(answer)
        except (TransportError, RefusalError) as error:
            if isinstance(error, RefusalError) and not refused(error):
                return  # the model declined to say hello
            what = "could not be tried" if busy(error) else "can answer no request"
            raise UserError(
                f"The server {what}: {error}. Correct the address or --model, or try again."
            ) from error
        except UnparseableError as error:
            _log.warning("The first answer of %s could not be read: %s", self.url, error)
        if self.name != model:
            _log.warning("%s answers as %s, and is called %r", model, self._answers_as, self.name)

    def _settle(self, known: Sequence[str]) -> str:
        """The model to ask, given those that the server lists; a server that lists none is believed."""
        if self._model is None and len(known) == 1:
            return known[0]
        aliases = {part for name in known for part in (name, name.rpartition("/")[2], name.partition(":")[0])}
        if self._model is not None and (not known or self._model in aliases):
            return self._model
        near = difflib.get_close_matches(self._model or "", known, n=8, cutoff=0.0) or known[:8]
        listing = ", ".join(near) + (", …" if len(known) > len(near) else "")
        if self._model is None:
            found = f"{len(known)}: {listing}" if known else "none listed"
            raise UserError(f"Expected one model at {self.url}, found {found}. Name one with --model.")
        raise UserError(f"The server at {self.url} has no model {self._model!r}. It has: {listing}.")

    async def chat(self, request: Request) -> Reply:
        """As ChatModel.chat says."""
        await self.connect()
        schema, in_words = request.schema, request.schema is not None and not self.features.schema
        message, finish, spent = await self._complete(self._body(request, in_words))
        text, calls = replies.answer(message), replies.calls(message)
        if not text and not calls:
            raise replies.empty(message, finish)
        if len(text) > LETTERS * max(request.max_tokens, 16):
            raise UnparseableError(f"expected {request.max_tokens} tokens at most, found {len(text):,} characters")
        if schema is not None and text:
            if finish == "length":
                raise UnparseableError(
                    f"expected JSON in at most {request.max_tokens} tokens, cut off in {text[-80:]!r}"
                )
            text = replies.json_in(text) if in_words else text
        return Reply(text, calls, spent)

    def _body(self, request: Request, in_words: bool) -> dict[str, Any]:
        """`in_words`: the schema stands at the end of the last message."""
        *before, last = request.messages
        if in_words:
            last = replace(last, content=last.content + IN_WORDS + json.dumps(request.schema, ensure_ascii=False))
        body: dict[str, Any] = {
            "model": self._model,
            "messages": self._messages([*before, last]),
            "temperature": request.temperature,
            "max_tokens": request.max_tokens,
            "seed": request.seed % SEEDS,
        }
        if request.tools:
            if not self.features.tools:
                raise NotImplementedError(f"{self.name} calls no tools; see its features")
            body["tools"] = [_tool(tool) for tool in request.tools]
        if request.schema is not None and not in_words:
            form = {"name": "answer", "strict": True, "schema": request.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        return body

    def _messages(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        if not self.features.pictures and any(message.pictures for message in messages):
            raise NotImplementedError(f"{self.name} sees no pictures; see its features")
        return [_message(message) for message in messages]

    async def _post(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """A chat completion. Raises TransportError if it names another model than the first one did."""
        answer: Mapping[str, Any] = await self._client.post("/chat/completions", body)
        said = answer.get("model") if isinstance(answer, dict) else None
        if isinstance(said, str) and said:
            self._answers_as = self._answers_as or said
            if said != self._answers_as:
                raise TransportError(f"expected an answer of {self._answers_as}, found one of {said[:200]!r}")
        return answer

    async def _complete(self, asked: dict[str, Any]) -> tuple[Mapping[str, Any], str | None, Usage]:
        """Message, end and cost of a completion; where the room went to reasoning alone, of a second one."""
        bodies = [await self.dialect.ask(self._post, asked)]
        message, finish = replies.completion(bodies[0])
        if finish == "length" and not replies.answer(message) and replies.reasoned(message):
            room = max(ROOM * asked["max_tokens"], LEAST_ROOM)
            if self.context_length is not None:
                room = min(room, self.context_length - replies.usage(*bodies).prompt_tokens)
            bodies.append(await self.dialect.ask(self._post, {**asked, "max_tokens": room}))
            message, finish = replies.completion(bodies[1])
        return message, finish, replies.usage(*bodies)

    async def choose(self, messages: Sequence[Message], choices: Sequence[str]) -> Choice:
        """As ChatModel.choose says."""
        await self.connect()
        if not self.features.choices:
            raise NotImplementedError(f"{self.name} gives no probabilities of choices; see its features")
        request = {
            "model": self._model,
            "messages": self._messages(messages),
            "temperature": 0.0,
            # The first token says all where no two choices begin alike.
            "max_tokens": 1 if len({choice[:1].casefold() for choice in choices}) == len(choices) else 8,
            "logprobs": True,
            "top_logprobs": 20,
            "structured_outputs": {"choice": list(choices)},
        }
        body = await self.dialect.ask(self._post, request, unnamed=("structured_outputs",))
        return Choice(replies.probabilities(body, choices), replies.usage(body))

    async def read(self, prefix: str, continuations: Sequence[str]) -> Reading[Likelihood]:
        """log p(continuation | prefix) of each, from the log probabilities of prompts.

        Prefix and continuation are tokenized together: a continuation that is a word begins with its space. After
        an empty prefix the first token counts only where the server puts one of its own before it.

        Raises:
            AnswerError: as ChatModel.chat.
        """
        await self.connect()
        asked = [f"{prefix}{continuation}" for continuation in continuations]
        prompts = list(dict.fromkeys(text for text in (prefix, *asked) if text))
        batches = [prompts[i : i + PROMPTS] for i in range(0, len(prompts), PROMPTS)]
        bodies = await asyncio.gather(*map(self._echo, batches))
        found: dict[str, replies.Echo] = {"": ([], [])}
        for batch, body in zip(batches, bodies, strict=True):
            found |= zip(batch, replies.echoed(body, len(batch)), strict=True)
        likelihoods = tuple(replies.likelihood(found[prefix], found[text]) for text in asked)
        return Reading(likelihoods, replies.usage(*bodies))

    async def _echo(self, prompts: Sequence[str], alternatives: int = 1) -> Any:
        if not self.features.prompt_logprobs:
            raise NotImplementedError(f"{self.name} gives no log probabilities of prompts; see its features")
        request = {"model": self._model, "prompt": list(prompts), "echo": True, "logprobs": alternatives}
        return await self._client.post("/completions", {**request, "max_tokens": 0, "temperature": 0.0})

    async def fill(self, prefix: str, text: str, mark: str, choices: Sequence[str]) -> Reading[tuple[float, ...]]:
        """As PromptReader.blanks says, and what it cost. Prefix and text are tokenized together.

        Raises:
            AnswerError: as ChatModel.chat.
        """
        await self.connect()
        body = await self._echo([prefix + text], replies.ALTERNATIVES)
        rows = replies.fills(body, mark, choices)
        # Those before are the prefix's own.
        return Reading(rows[len(rows) - text.count(mark) :], replies.usage(body))

    async def likelihoods(self, prefix: str, continuations: Sequence[str]) -> list[Likelihood]:
        """As CausalModel.likelihoods says; raises as `read` does."""
        return list((await self.read(prefix, continuations)).found)

    async def close(self) -> None:
        """Close the connections. The model cannot be asked again."""
        await self._client.close()


def _message(message: Message) -> dict[str, Any]:
    written: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.pictures:
        written["content"] = [{"type": "text", "text": message.content}, *map(_picture, message.pictures)]
    if message.calls:
        written["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
            }
            for call in message.calls
        ]
    if message.answers:
        written["tool_call_id"] = message.answers
    return written


def _picture(data: bytes) -> dict[str, Any]:
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    url = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def _tool(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}
