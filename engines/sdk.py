"""One OpenAI-compatible server, asked through `openai.AsyncOpenAI`, and what its errors mean.

Answers come from strangers. Redirects are not followed, so that texts reach only the address that the user named.
An answer may have MOST_BYTES bytes after decompression. The raw response is read, without the SDK's models, which
double the CPU time of a request and check nothing (`docs/design/client.md`).
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote, urlsplit

import aiohttp
import httpx2
import openai

from neurogloss.engines.pacing import Pace
from neurogloss.errors import AnswerError, RefusalError, TransportError, UnparseableError, UserError
from neurogloss.foreign import HalfCharacter, encodable, read_json, shown

CONNECT_S = 30.0
"""Seconds to open a connection."""
MOST_BYTES = 1 << 26
"""Bytes of an answer's body, decompressed."""
BUSY = frozenset({429, 502, 503, 504})
"""Statuses of a server that is overloaded or not up, whatever it was asked."""


class BadAnswer(openai.OpenAIError):
    """An answer that is too long or cannot be decompressed. The SDK does not send its request again."""


class Server:
    """One server: the SDK's client and its pace."""

    def __init__(self, url: str, api_key: str, pace: Pace, most: int) -> None:
        self.url, self.pace = pace.url, pace
        parts = urlsplit(url)
        headers = {}
        if parts.username is not None or parts.password is not None:
            pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        timeout = httpx2.Timeout(None, connect=CONNECT_S)
        try:
            http = openai.DefaultAioHttpClient(
                timeout=timeout,
                limits=httpx2.Limits(max_connections=most, max_keepalive_connections=most),
                follow_redirects=False,
                event_hooks={"response": [self._received]},
            )
            self._client = openai.AsyncOpenAI(
                base_url=parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl(),
                api_key=api_key,
                default_headers=headers,
                timeout=timeout,
                http_client=http,
            )
        except (ValueError, OSError, httpx2.InvalidURL):  # their messages may quote passwords
            raise UserError(
                "Expected proxies and certificates that can be used, found others. Correct HTTP_PROXY, "
                "HTTPS_PROXY, ALL_PROXY, NO_PROXY and SSL_CERT_FILE."
            ) from None

    async def send(self, path: str, data: bytes | None, retries: int) -> bytes:
        """The body of an answer with a status of success. Raises OpenAIError, or what the HTTP library raises."""
        options: Any = {"max_retries": retries}
        if data is None:
            response = await self._client.get(path, cast_to=httpx2.Response, options=options)
        else:
            response = await self._client.post(path, cast_to=httpx2.Response, content=data, options=options)
        return response.content

    async def close(self) -> None:
        await self._client.close()

    async def _received(self, response: httpx2.Response) -> None:
        """Bound what is read of an answer, of whatever status."""
        if response.status_code in (429, 503):
            self.pace.overloaded()
        encoding = response.headers.pop("content-encoding", "identity").strip().lower()
        response.headers["content-type"] = "application/json"  # its charset may be one that does not decode texts
        response.stream = _Bounded(response.stream, encoding)


class _Bounded(httpx2.AsyncByteStream):
    """A body, decompressed, of at most MOST_BYTES."""

    def __init__(self, stream: Any, encoding: str) -> None:
        self._stream, self._encoding = stream, encoding

    async def __aiter__(self) -> AsyncIterator[bytes]:
        inflate = zlib.decompressobj(47) if self._encoding in ("gzip", "x-gzip", "deflate") else None
        if inflate is None and self._encoding not in ("", "identity"):
            raise BadAnswer(f"sent a body encoded as {self._encoding[:40]!r}")
        left = MOST_BYTES
        async for chunk in self._stream:
            try:
                found = chunk if inflate is None else inflate.decompress(chunk, left + 1)
            except zlib.error as error:
                raise BadAnswer(f"sent a body that cannot be decompressed ({error})") from None
            left -= len(found)
            if left < 0:
                raise BadAnswer(f"sent a body of more than {MOST_BYTES:,} bytes")
            yield found

    async def aclose(self) -> None:
        await self._stream.aclose()


FAILURES = (openai.OpenAIError, httpx2.HTTPError, aiohttp.ClientError, OSError, ValueError)
"""What sending a request may raise; TimeoutError is an OSError, and what no text can be made of a ValueError."""


def refused(error: BaseException) -> openai.APIStatusError | None:
    """The server's answer if it refused a request as such (400, 413, 422), else None."""
    cause = error.__cause__
    return cause if isinstance(error, RefusalError) and isinstance(cause, openai.APIStatusError) else None


def busy(error: BaseException) -> bool:
    """Whether the server was overloaded, away or too slow, so that nothing is known of what it can do."""
    cause = error.__cause__
    if isinstance(cause, openai.APIStatusError):
        return cause.status_code in BUSY
    return isinstance(error, TransportError) and cause is not None and unreached(cause)


def json_of(body: bytes) -> Any:
    try:
        return read_json(body)
    except HalfCharacter as error:
        raise UnparseableError(f"expected text, found {error} in {encodable(body[:200])!r}") from None
    except ValueError:
        raise BadAnswer(f"sent what is no answer: {encodable(body[:200])!r}") from None


def public(url: str) -> str:
    """The URL without user, password and query, for messages; also of what is no URL."""
    scheme, mark, rest = url.partition("://")
    place = re.split(r"[?#]", scheme.rpartition("@")[2] + mark + rest.rpartition("@")[2])[0]
    # What stands for a port and is no number may be a password whose URL was cut short.
    return place if "[" in place else re.sub(r":(?!//|\d+(?:/|$)).*", ":...", place)


def unreached(error: BaseException) -> bool:
    return isinstance(error, (openai.APIConnectionError, httpx2.HTTPError, aiohttp.ClientError, OSError))


def failure(error: Exception, what: str) -> AnswerError | UserError:
    """What an error of a request means."""
    if not isinstance(error, openai.APIStatusError):
        return TransportError(f"{what} {'was not reached: ' * unreached(error)}{words(error)}")
    said = f"{what} did not answer ({error.status_code}): {_message(error)}"
    match error.status_code:
        case 401 | 402 | 403:
            return UserError(f"{said}. Set OPENAI_API_KEY to a key that it takes.")
        case 404:
            return UserError(f"{said}. Check the address, and --model.")
        case 400 | 413 | 422:
            return RefusalError(said)
    return TransportError(said)


def words(error: BaseException) -> str:
    """What an error says, on one line and not at length."""
    if isinstance(error, openai.APIStatusError):
        return f"{error.status_code} {_message(error)}"
    if isinstance(error, TimeoutError):
        return "timed out"
    while not isinstance(error, BadAnswer) and error.__cause__ is not None:
        error = error.__cause__
    return _brief(str(error) or type(error).__name__)


def _message(error: openai.APIStatusError) -> str:
    """What the body of an answer without success says."""
    if error.response.has_redirect_location:
        where = public(str(error.response.headers.get("location")))
        return f"it redirects to {_brief(where)}, and texts go nowhere but to the address that was given"
    body = error.body
    found = body.get("message") or body.get("detail") or body if isinstance(body, dict) else body
    return _brief(found if isinstance(found, str) else shown(found))


def _brief(text: str) -> str:
    return " ".join(encodable(text[:1_000]).split())[:300].rstrip(".")
