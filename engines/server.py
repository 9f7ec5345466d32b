"""A chat model behind an OpenAI-compatible server; a local vLLM is the reference.

What becomes of what the server does:

    not reached, timed out, broke off, 408, 409, 429, 5xx   TransportError, after the retries
    401, 402, 403, 404, unknown model, no server at connect UserError: key, model or address are the user's
    400, 413, 422 (a prompt too long, say)                  RefusalError: this request only, the run goes on
    `refusal`, content filter                               RefusalError
    no text, or reasoning alone                             EmptyAnswerError
    cut off, where a form was asked for                     UnparseableError

Retries and their delays (exponential, with jitter, or as the server asks) are those of the `openai` library.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, NoReturn, Self
from urllib.parse import urlsplit

import openai
from openai.types.chat import ChatCompletion

from neurogloss.errors import EmptyAnswerError, RefusalError, TransportError, UnparseableError, UserError
from neurogloss.protocols import Message, Reply

SEEDS = 2**31
"""Seeds are sent modulo this: servers differ in the width that they take."""


class ServerModel:
    """ChatModel over HTTP, to be used inside one event loop: `async with ServerModel(url) as chat:`."""

    def __init__(
        self,
        url: str,
        model: str | None = None,
        api_key: str | None = None,
        timeout: float = 120.0,
        retries: int = 4,
    ) -> None:
        """Makes no request yet.

        Args:
            url: of the server, with or without `/v1`.
            model: name on the server; None takes its only one.
            api_key: by default the environment's OPENAI_API_KEY.
            timeout: seconds for one attempt at one answer.
            retries: attempts after the first.

        Raises:
            UserError: `url` is no http URL.
        """
        self.url = _base_url(url)
        self._model = model
        self._connected = False
        self._client = openai.AsyncOpenAI(
            base_url=self.url,
            api_key=api_key or os.environ.get("OPENAI_API_KEY") or "none",
            timeout=timeout,
            max_retries=retries,
        )

    @property
    def name(self) -> str:
        if self._model is None:
            raise RuntimeError("the server has not been asked for its model yet: await connect() first")
        return self._model

    async def connect(self) -> None:
        """Ask the server for its models, and settle on one.

        Raises:
            UserError: no server answers there, the key is wrong, the model is unknown, or there are several
                and none is named.
        """
        try:
            known = [model.id for model in (await self._client.models.list()).data]
        except openai.NotFoundError:
            known = []
        except openai.APIStatusError as error:
            _raise_for_status(error, f"The server at {self.url} did not list its models", UserError)
        except (openai.APIError, json.JSONDecodeError, TypeError, AttributeError) as error:
            raise UserError(
                f"Expected an OpenAI-compatible server at {self.url}, found none ({_words(error)}). "
                "Start it, or correct its address."
            ) from error
        self._model = self._settle(known)
        self._connected = True

    def _settle(self, known: Sequence[str]) -> str:
        """The model to ask, given those that the server lists; a server that lists none is believed."""
        if self._model is None and len(known) == 1:
            return known[0]
        if self._model is not None and (not known or self._model in known):
            return self._model
        near = difflib.get_close_matches(self._model or "", known, n=8, cutoff=0.0) or known[:8]
        listing = ", ".join(near) + (", …" if len(known) > len(near) else "")
        if self._model is None:
            found = f"{len(known)}: {listing}" if known else "none listed"
            raise UserError(f"Expected one model at {self.url}, found {found}. Name one with --model.")
        raise UserError(f"The server at {self.url} has no model {self._model!r}. It has: {listing}.")

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None = None,
        temperature: float = 0.0,
        max_tokens: int = 256,
        seed: int = 0,
    ) -> Reply:
        """As ChatModel.chat says; the module's table says which error is raised when."""
        if not self._connected:
            await self.connect()
        request: dict[str, Any] = {
            "model": self.name,
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            "temperature": temperature,
            "max_tokens": max_tokens,
            "seed": seed % SEEDS,
        }
        if schema is not None:
            form = {"name": "answer", "strict": True, "schema": dict(schema)}
            request["response_format"] = {"type": "json_schema", "json_schema": form}
        try:
            completion = await self._client.chat.completions.create(**request)
        except openai.APIStatusError as error:
            _raise_for_status(error, f"{self.name} at {self.url} did not answer", TransportError)
        except openai.APIConnectionError as error:
            raise TransportError(f"{self.name} at {self.url} was not reached: {_words(error)}") from error
        except (openai.APIError, json.JSONDecodeError) as error:
            raise TransportError(f"{self.url} sent what is no answer: {_words(error)}") from error
        return _read(completion, schema is not None, max_tokens)

    async def close(self) -> None:
        """Close the connections. The model cannot be asked again."""
        await self._client.close()

    async def __aenter__(self) -> Self:
        try:
            await self.connect()
        except UserError:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _base_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"Expected a URL such as http://127.0.0.1:8000, or scripted:FILE; found {url!r}.")
    path = parts.path.rstrip("/")
    return parts._replace(path=path or "/v1").geturl()


def _read(completion: ChatCompletion, in_form: bool, max_tokens: int) -> Reply:
    """The answer in a completion. Raises AnswerError where there is none that can be used."""
    # The library checks neither the type of a body nor its fields.
    choices = completion.choices if isinstance(completion, ChatCompletion) else None
    if not choices:
        raise TransportError(f"expected a chat completion with a choice, found {str(completion)[:200]!r}")
    choice = choices[0]
    message, text = choice.message, choice.message.content
    if message.refusal or choice.finish_reason == "content_filter":
        raise RefusalError(f"the model declined: {message.refusal or text or 'stopped by a content filter'}")
    if not text or not text.strip():
        extra = message.model_extra or {}
        reasoned = extra.get("reasoning") or extra.get("reasoning_content")
        found = "reasoning alone; turn the model's reasoning off" if reasoned else "nothing"
        raise EmptyAnswerError(f"expected text, found {found} (finish_reason {choice.finish_reason})")
    if in_form and choice.finish_reason == "length":
        raise UnparseableError(f"expected JSON in at most {max_tokens} tokens, cut off in {text[-80:]!r}")
    usage = completion.usage
    return Reply(
        text=text,
        prompt_tokens=usage.prompt_tokens if usage else 0,
        completion_tokens=usage.completion_tokens if usage else 0,
    )


def _raise_for_status(
    error: openai.APIStatusError, what: str, otherwise: type[TransportError] | type[UserError]
) -> NoReturn:
    """Raise what the status means; `otherwise` for those that say the server is not well."""
    said = f"{what} ({error.status_code}): {_words(error)}"
    match error.status_code:
        case 401 | 402 | 403:
            raise UserError(f"{said}. Set OPENAI_API_KEY to a key that it takes.") from error
        case 404:
            raise UserError(f"{said}. Check the address, and --model.") from error
        case 400 | 413 | 422:
            raise (UserError if otherwise is UserError else RefusalError)(said) from error
    raise otherwise(said) from error


def _words(error: Exception) -> str:
    """What a library's error says, with the cause that it hides, on one line and not at length."""
    cause = f" ({error.__cause__})" if str(error.__cause__ or "") else ""
    return " ".join(f"{error}{cause}".split())[:300].rstrip(".")
