"""Requests to OpenAI-compatible servers through the `openai` package.

1. A request waits for a slot at the least busy server (`neurogloss.engines.pacing`).
2. The SDK sends it, and sends it again after connection errors, 408, 409, 429 and 5xx: after `Retry-After`, else
   after half a second, doubled each time. If another server is up, the request goes there instead.
3. A request that takes longer than the timeout is given up and sent again, up to `retries` times.
4. Errors become these:

    not reached, timed out, broke off, redirected, 408, 409, 429, 5xx, no JSON   TransportError
    401, 402, 403, 404                                                          UserError: key, model or address
    400, 413, 422 (a prompt that is too long, say)                              RefusalError: this request only
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai

from neurogloss.engines.pacing import Pace, Queue
from neurogloss.engines.sdk import FAILURES, Server, failure, json_of, public, unreached, words
from neurogloss.errors import AnswerError, TransportError, UserError
from neurogloss.foreign import shown, write_json

_log = logging.getLogger(__name__)

OPENAI = "openai"
"""Stands for the SDK's own address: OPENAI_BASE_URL, else https://api.openai.com/v1."""
LIST_RETRIES = 2
"""Retries of the request for the list of models."""


class Client:
    """One server, or several of the same model. Used inside one event loop."""

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        timeout: float = 600.0,
        retries: int = 4,
        concurrency: int = 256,
    ) -> None:
        """
        Args:
            url: with or without `/v1`; several, separated by commas; `openai` for the SDK's own address.
            api_key: by default the environment's OPENAI_API_KEY.
            timeout: seconds for one request, from when it is sent.
            retries: how often a request is sent again.
            concurrency: requests in flight at most, at each server.

        Raises:
            UserError: `url` is not an http URL, or the key cannot be sent.
        """
        key = api_key or os.environ.get("OPENAI_API_KEY") or "none"
        if not (key.isascii() and key.isprintable()):
            raise UserError("Expected an API key of ASCII characters on one line. Set OPENAI_API_KEY to one.")
        self._servers = [
            Server(each, key, Pace(public(each), concurrency, timeout), concurrency)
            for each in dict.fromkeys(map(_base_url, url.split(",")))
        ]
        self.url = ", ".join(server.url for server in self._servers)
        """Without passwords."""
        self._by_pace = {server.pace: server for server in self._servers}
        self._queue = Queue(list(self._by_pace))
        self._timeout, self._retries = timeout, retries

    async def models(self, named: bool = False) -> list[Mapping[str, Any]]:
        """The models that all servers list; empty if they have no list.

        Args:
            named: the user named a model. Then a list that cannot be used counts as none.

        Raises:
            UserError: no server answers there, it refuses to, or the servers have no model in common.
        """
        found = await asyncio.gather(
            *(self._models_of(server, named) for server in self._servers), return_exceptions=True
        )
        lists = [each for each in found if not isinstance(each, BaseException)]
        errors = [each for each in found if isinstance(each, BaseException)]
        if not lists or not all(isinstance(error, UserError) for error in errors):
            raise errors[0]
        for error in errors:
            _log.warning("%s It is left out until it answers.", error)
        return _common(lists, self.url)

    async def _models_of(self, server: Server, named: bool) -> list[Mapping[str, Any]]:
        try:
            async with asyncio.timeout(self._timeout):
                return _listed(json_of(await server.send("/models", None, LIST_RETRIES)))
        except (*FAILURES, AnswerError) as error:
            status = getattr(error, "status_code", None)
            if status in (404, 405, 501) or (named and not unreached(error)):
                return []
            if unreached(error):
                server.pace.failed()
            if status in (401, 402, 403):
                raise failure(error, f"The server at {server.url} did not list its models") from None
            raise UserError(
                f"Expected an OpenAI-compatible server at {server.url}, found none ({words(error)}). "
                "Start it, or correct its address."
            ) from error

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON of an answer.

        Raises:
            AnswerError: as the module says; UnparseableError if the JSON holds half of a surrogate pair.
            UserError: as the module says.
        """
        data, tried, timeouts = write_json(body), list[Pace](), 0
        while True:
            pace = await self._queue.acquire(tried)
            last = not self._queue.another([*tried, pace])
            begun = time.monotonic()
            try:
                async with asyncio.timeout(self._timeout):
                    answer = await self._by_pace[pace].send(path, data, self._retries if last else 0)
                pace.answered(time.monotonic() - begun, self._queue.waiting)
                return json_of(answer)
            except FAILURES as error:
                timeouts += isinstance(error, TimeoutError)
                if isinstance(error, TimeoutError):
                    pace.timed_out()
                elif unreached(error) or getattr(error, "status_code", 0) >= 500:
                    pace.failed()
                elif isinstance(error, openai.APIStatusError):
                    pace.answered(time.monotonic() - begun, self._queue.waiting)
                found = failure(error, f"{body.get('model')} at {pace.url}")
                once_more = not last or isinstance(error, TimeoutError)
                if not isinstance(found, TransportError) or timeouts > self._retries or not once_more:
                    raise found from error
                tried = [] if last else [*tried, pace]
            finally:
                self._queue.release(pace)

    async def close(self) -> None:
        """Close the connections. Requests in flight are given up."""
        await asyncio.gather(*(server.close() for server in self._servers))


def _base_url(url: str) -> str:
    url = url.strip()
    if url == OPENAI:
        url = os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(httpx2.URL(url).host)
    except (ValueError, httpx2.InvalidURL):
        good = False
    if not good:
        raise UserError(f"Expected a URL such as http://127.0.0.1:8000, or scripted:FILE; found {public(url)!r}.")
    return parts._replace(path=parts.path.rstrip("/") or "/v1", fragment="").geturl()


def _listed(body: Any) -> list[Mapping[str, Any]]:
    """The models of a list, bare or in the field `data`. Raises ValueError."""
    models = body.get("data", body.get("models")) if isinstance(body, dict) else body
    if not isinstance(models, list):
        raise ValueError(f"no list of models: {shown(body)}")
    named = [model if isinstance(model, dict) else {"id": model} for model in models]
    return [model for model in named if isinstance(model.get("id"), str)]


def _common(lists: Sequence[Sequence[Mapping[str, Any]]], url: str) -> list[Mapping[str, Any]]:
    """The models that all servers have; of two with different context lengths, the one with the shorter."""
    named = [{str(model["id"]): model for model in models} for models in lists if models]
    shared = set.intersection(*map(set, named)) if named else set()
    if named and not shared:
        found = "; ".join(", ".join(sorted(models)) for models in named)
        raise UserError(f"Expected servers of the same model at {url}, found: {found}. Name such servers.")
    models = [[models[name] for models in named] for name in named[0] if name in shared] if named else []
    return [min(same, key=lambda model: context_length(model) or math.inf) for same in models]


def context_length(model: Mapping[str, Any]) -> int | None:
    """Tokens of prompt and answer together, if the list of models says so."""
    found = model.get("max_model_len") or model.get("context_length")
    return found if type(found) is int and 0 < found < 2**31 else None
