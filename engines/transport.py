"""Requests to one OpenAI-compatible server: limited, retried, within a deadline.

1. A request waits for a slot of the limiter, and keeps it until it is answered or given up: a server that is not
   well is left in peace while requests wait to be sent again.
2. It is sent again after connection errors, 408, 409, 429 and 5xx, after as long as the server asks for in
   `Retry-After`, otherwise after half a second, doubled each time, less a random quarter at most.
3. What becomes of what the server does:

    not reached, timed out, broke off, 408, 409, 429, 5xx   TransportError, after the retries
    401, 402, 403, 404                                      UserError: key, model or address are the user's
    400, 413, 422 (a prompt too long, say)                  RefusalError: this request only, the run goes on

The client of the `openai` package would do the same at many times the CPU a request (`docs/design/client.md`).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, NoReturn
from urllib.parse import urlsplit

from pyreqwest.client import ClientBuilder
from pyreqwest.exceptions import RequestError

from neurogloss.engines.limiter import Limiter
from neurogloss.errors import RefusalError, TransportError, UserError
from neurogloss.foreign import read_json, write_json

BUSY = frozenset({429, 502, 503, 504})
"""Statuses of a server that has too much to do, or is not up, whatever it was asked."""
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
    """Connections to one server, shared by all requests; to be used inside one event loop."""

    def __init__(
        self, url: str, api_key: str, timeout: float, retries: int, deadline: float, concurrency: int
    ) -> None:
        """
        Args:
            url: with or without `/v1`.
            timeout: seconds for one attempt.
            retries: attempts after the first.
            deadline: seconds for one answer over all attempts, from when the first is sent.
            concurrency: requests in flight at most.

        Raises:
            UserError: `url` is no http URL, or the key cannot be sent.
        """
        self.url = _base_url(url)
        self.limiter = Limiter(concurrency, slow=timeout / 4)
        headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
        try:
            self._client = ClientBuilder().default_headers(headers).build()
        except ValueError:  # whose text holds the key
            raise UserError("Expected an API key on one line. Set OPENAI_API_KEY to one.") from None
        self._timeout, self._retries, self._deadline = min(timeout, deadline), retries, deadline
        self._jitter = random.SystemRandom()

    async def models(self) -> list[Mapping[str, Any]]:
        """What the server lists; empty where it has no list.

        Raises:
            UserError: no OpenAI-compatible server answers there, or it refuses to.
        """
        try:
            body = read_json(await self._send("GET", "/models", None))
            return [dict(model, id=str(model["id"])) for model in body["data"]]
        except StatusError as error:
            if error.status == 404:
                return []
            _raise_for_status(error, f"The server at {self.url} did not list its models", UserError)
        except (RequestError, TypeError, KeyError, ValueError) as error:
            raise UserError(
                f"Expected an OpenAI-compatible server at {self.url}, found none ({_words(error)}). "
                "Start it, or correct its address."
            ) from error

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON that the server answers with. Raises as the module says."""
        what = f"{body['model']} at {self.url}"
        try:
            text = await self._send("POST", path, write_json(body))
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

    async def _send(self, method: str, path: str, data: bytes | None) -> bytes:
        """The answer's body, after as many attempts as it takes. Raises the last one's error."""
        began = await self.limiter.acquire()
        ends = time.monotonic() + self._deadline
        timeout, attempt = self._timeout, 0
        try:
            while True:
                try:
                    return await self._attempt(method, path, data, timeout)
                except (StatusError, RequestError) as error:
                    wait = self._wait(error, attempt)
                    left = ends - time.monotonic()
                    if wait is None or wait >= left:
                        raise
                await asyncio.sleep(wait)
                timeout, attempt = min(timeout, left - wait), attempt + 1
        finally:
            self.limiter.release(began)

    async def _attempt(self, method: str, path: str, data: bytes | None, timeout: float) -> bytes:
        request = self._client.request(method, self.url + path).timeout(timedelta(seconds=timeout))
        if data is not None:
            request = request.body_bytes(data)
        response = await request.build().send()
        body = bytes(await response.bytes())
        if response.status < 400:
            return body
        if response.status in (429, 503):
            self.limiter.overloaded()
        raise StatusError(response.status, body.decode(errors="replace"), _asked_wait(response.get_header))

    def _wait(self, error: Exception, attempt: int) -> float | None:
        """Seconds until the next attempt, None where there is none."""
        if attempt >= self._retries or (isinstance(error, StatusError) and not error.passing):
            return None
        if isinstance(error, StatusError) and error.wait is not None:
            return error.wait
        return min(FIRST_WAIT * 2.0**attempt, LAST_WAIT) * self._jitter.uniform(0.75, 1.0)


def unsupported(error: Exception) -> bool:
    """Whether an error says that the server cannot do what was asked, and not that it is busy or away."""
    cause = error.__cause__
    return not isinstance(error, TransportError) or (isinstance(cause, StatusError) and cause.status not in BUSY)


def _base_url(url: str) -> str:
    parts = urlsplit(url)
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
