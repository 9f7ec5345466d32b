"""Requests to an OpenAI-compatible server, or to several of one model: limited, retried, within a deadline.

1. A request waits for a slot of its server's limiter (`neurogloss.engines.servers` says which server that is).
2. After connection errors, 408, 409, 429 and 5xx it is sent to another server. Where all that are up failed, it
   is sent again after as long as the server asks for in `Retry-After`, otherwise after half a second, doubled each
   time, less a random quarter at most. It keeps its slot while it waits, which leaves a server that is not well in
   peace.
3. What becomes of what the server does:

    not reached, timed out, broke off, 408, 409, 429, 5xx   TransportError, after the retries
    401, 402, 403, 404                                      UserError: key, model or address are the user's
    400, 413, 422 (a prompt too long, say)                  RefusalError: this request only, the run goes on

The client of the `openai` package would do the same at many times the CPU a request (`docs/design/client.md`).
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NoReturn
from urllib.parse import urlsplit

from pyreqwest.client import ClientBuilder
from pyreqwest.exceptions import RequestError

from neurogloss.engines.limiter import Limiter
from neurogloss.engines.servers import Server, Servers
from neurogloss.errors import RefusalError, TransportError, UserError
from neurogloss.foreign import read_json, write_json

_log = logging.getLogger(__name__)

BUSY = frozenset({429, 502, 503, 504})
"""Statuses of a server that has too much to do, or is not up, whatever it was asked."""
BROKEN = frozenset({500, 502, 503, 504})
"""Statuses after which other servers are asked for a while."""
FIRST_WAIT, LAST_WAIT = 0.5, 8.0
"""Seconds between two attempts, where the server does not say."""
LONGEST_WAIT = 60.0
"""Seconds between two attempts at most, where the server asks for more."""


class StatusError(Exception):
    """The server answered with a status that is no success."""

    def __init__(self, status: int, text: str, wait: float | None) -> None:
        super().__init__(_message(text))
        self.status = status
        self.wait = wait
        """Seconds after which the server wants to be asked again."""

    @property
    def passing(self) -> bool:
        return self.status in (408, 409, 429) or self.status >= 500


class Transport:
    """Connections shared by all requests; to be used inside one event loop."""

    def __init__(
        self, url: str, api_key: str, timeout: float, retries: int, deadline: float, concurrency: int
    ) -> None:
        """
        Args:
            url: with or without `/v1`; several, separated by commas, of servers of the same model.
            timeout: seconds for one attempt.
            retries: rounds over the servers after the first.
            deadline: seconds for one answer over all attempts, but for those in which it waits for a slot.
            concurrency: requests in flight at most, at each server.

        Raises:
            UserError: `url` is no http URL, or the key cannot be sent.
        """
        urls = list(dict.fromkeys(map(_base_url, url.split(","))))
        self.url = ", ".join(urls)
        self._servers = Servers([Server(each, Limiter(concurrency, slow=timeout / 4)) for each in urls])
        headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
        try:
            self._client = ClientBuilder().default_headers(headers).build()
        except ValueError:  # whose text holds the key
            raise UserError("Expected an API key on one line. Set OPENAI_API_KEY to one.") from None
        self._timeout, self._retries, self._deadline = min(timeout, deadline), retries, deadline
        self._jitter = random.SystemRandom()

    async def models(self) -> list[Mapping[str, Any]]:
        """What the server lists, of several what all list that answer; empty where it has no list.

        Raises:
            UserError: no OpenAI-compatible server answers there, it refuses to, or they have no model in common.
        """
        found = await asyncio.gather(*map(self._models_of, self._servers.all), return_exceptions=True)
        lists = [each for each in found if not isinstance(each, BaseException)]
        errors = [each for each in found if isinstance(each, BaseException)]
        if not lists or not all(isinstance(error, UserError) for error in errors):
            raise errors[0]
        for error in errors:
            _log.warning("%s It is left out until it answers.", error)
        return _common(lists, self.url)

    async def _models_of(self, server: Server) -> list[Mapping[str, Any]]:
        try:
            body = read_json(await self._send("GET", "/models", None, Servers([server])))
            return [dict(model, id=str(model["id"])) for model in body["data"]]
        except StatusError as error:
            if error.status == 404:
                return []
            _raise_for_status(error, f"The server at {server.url} did not list its models", UserError)
        except (RequestError, TypeError, KeyError, ValueError) as error:
            raise UserError(
                f"Expected an OpenAI-compatible server at {server.url}, found none ({_words(error)}). "
                "Start it, or correct its address."
            ) from error

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON that the server answers with. Raises as the module says."""
        what = f"{body['model']} at {self.url}"
        try:
            text = await self._send("POST", path, body, self._servers)
        except StatusError as error:
            _raise_for_status(error, f"{what} did not answer", TransportError)
        except RequestError as error:
            raise TransportError(f"{what} was not reached: {_words(error)}") from error
        try:
            return read_json(text)
        except ValueError as error:
            raise TransportError(f"{self.url} sent what is no answer: {text[:200]!r}") from error

    async def close(self) -> None:
        await self._client.close()

    async def _send(self, method: str, path: str, body: Mapping[str, Any] | None, servers: Servers) -> bytes:
        """The answer's body, after as many attempts as it takes. Raises the last one's error."""
        data = None if body is None else write_json(body)
        blocks = servers.blocks(_prompt(body)) if body is not None and servers.several else ()
        left, attempt, tried = self._deadline, 0, list[Server]()
        while True:
            server = servers.choose(blocks, tried)
            slot = await server.limiter.acquire()
            try:
                server.sent(blocks)
                answer = await self._attempt(server, method, path, data, min(self._timeout, left))
                server.answered()
                return answer
            except (StatusError, RequestError) as error:
                if isinstance(error, RequestError) or error.status in BROKEN:
                    server.lost()
                tried.append(server)
                left -= time.monotonic() - slot
                if isinstance(error, StatusError) and not error.passing:
                    raise
                if left > 0 and servers.another(tried):
                    continue
                wait = self._wait(error, attempt)
                if wait is None or wait >= left:
                    raise
                await asyncio.sleep(wait)
                left, attempt, tried = left - wait, attempt + 1, []
            finally:
                server.limiter.release(slot)

    async def _attempt(self, server: Server, method: str, path: str, data: bytes | None, timeout: float) -> bytes:
        request = self._client.request(method, server.url + path).timeout(timedelta(seconds=timeout))
        if data is not None:
            request = request.body_bytes(data)
        response = await request.build().send()
        body = bytes(await response.bytes())
        if response.status < 400:
            return body
        if response.status in (429, 503):
            server.limiter.overloaded()
        raise StatusError(response.status, body.decode(errors="replace"), _asked_wait(response.get_header))

    def _wait(self, error: StatusError | RequestError, attempt: int) -> float | None:
        """Seconds until the next round over the servers, None where there is none."""
        if attempt >= self._retries:
            return None
        if isinstance(error, StatusError) and error.wait is not None:
            return error.wait
        return min(FIRST_WAIT * 2.0**attempt, LAST_WAIT) * self._jitter.uniform(0.75, 1.0)


def unsupported(error: Exception) -> bool:
    """Whether an error says that the server cannot do what was asked, and not that it is busy or away."""
    cause = error.__cause__
    return not isinstance(error, TransportError) or (isinstance(cause, StatusError) and cause.status not in BUSY)


def _common(lists: Sequence[Sequence[Mapping[str, Any]]], url: str) -> list[Mapping[str, Any]]:
    """The models that all servers have; of two that differ in how long a prompt may be, the lesser."""
    named = [{str(model["id"]): model for model in models} for models in lists if models]
    shared = set.intersection(*map(set, named)) if named else set()
    if named and not shared:
        found = "; ".join(", ".join(sorted(models)) for models in named)
        raise UserError(f"Expected servers of the same model at {url}, found: {found}. Name such servers.")
    models = [[models[name] for models in named] for name in named[0] if name in shared] if named else []
    return [min(same, key=lambda model: model.get("max_model_len") or math.inf) for same in models]


def _prompt(body: Mapping[str, Any]) -> str:
    """The text of a request, from its beginning on."""
    messages = body.get("messages")
    if messages is None:
        prompt = body.get("prompt") or body.get("input") or ""
        return prompt if isinstance(prompt, str) else "".join(prompt[:1])
    contents = (message["content"] for message in messages)
    return "".join(content if isinstance(content, str) else content[0]["text"] for content in contents)


def _base_url(url: str) -> str:
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"Expected a URL such as http://127.0.0.1:8000, or scripted:FILE; found {url!r}.")
    path = parts.path.rstrip("/")
    return parts._replace(path=path or "/v1").geturl()


def _asked_wait(header: Callable[[str], str | None]) -> float | None:
    """Seconds that the server asks to be left alone for; dates are not read."""
    for name, seconds in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            wait = float(header(name) or "") * seconds
        except ValueError:
            continue
        if wait >= 0:
            return min(wait, LONGEST_WAIT)
    return None


def _raise_for_status(
    error: StatusError, what: str, otherwise: type[TransportError] | type[UserError]
) -> NoReturn:
    """Raise what the status means; `otherwise` for those that say the server is not well."""
    said = f"{what} ({error.status}): {_words(error)}"
    match error.status:
        case 401 | 402 | 403:
            raise UserError(f"{said}. Set OPENAI_API_KEY to a key that it takes.") from error
        case 404:
            raise UserError(f"{said}. Check the address, and --model.") from error
        case 400 | 413 | 422:
            raise (UserError if otherwise is UserError else RefusalError)(said) from error
    raise otherwise(said) from error


def _message(text: str) -> str:
    """What the body of an error says: `error`, its `message`, or the text as it is."""
    try:
        error = read_json(text)["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, TypeError, KeyError):
        return text


def _words(error: Exception) -> str:
    """What an error says, on one line and not at length."""
    causes = error.details["causes"] if isinstance(error, RequestError) else None
    said = "timed out" if isinstance(error, TimeoutError) else causes[-1]["message"] if causes else str(error)
    return " ".join((said or type(error).__name__).split())[:300].rstrip(".")
