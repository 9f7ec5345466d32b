"""Who may ask the service what: everything stands before the application, so that no route can forget it.

1. Every answer carries headers that keep a page from loading, framing or sniffing anything foreign.
2. The Host header has to name this service: a page elsewhere cannot reach it under a name of its own (DNS
   rebinding).
3. A request that changes something has to come from the service's own pages, or from no page, and to be JSON.
4. Where there is a token, everything but the explorer's own files needs it, as a bearer or as the cookie of a
   session that it opened. An address that gave wrong ones is not listened to for a while.
5. A body has a limit, whether it says its size or comes in chunks.

Starlette's TrustedHostMiddleware refuses in plain text, not with a Problem. Its SessionMiddleware keeps the
session in the cookie, so the service could not end it.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
import re
import secrets
import time
from collections import OrderedDict, deque
from typing import Annotated

from fastapi import APIRouter, Body, FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from neurogloss.web.options import Options
from neurogloss.web.problems import Refusal, answer, of_refusal
from neurogloss.web.schemas import Problem, View

_LOG = logging.getLogger(__name__)
MAX_BODY = 1 << 20
"""Bytes."""
SESSION_SECONDS = 12 * 3600
SESSIONS = 1_000
"""Open at most; then the oldest ends."""
WRONG_TRIES, WRONG_SECONDS = 10, 60
"""So many wrong tokens of one address in so many seconds, and it has to wait."""
ADDRESSES = 10_000
"""Remembered for that."""
MIN_TOKEN = 16
"""Characters: at the pace above, no shorter one would hold."""
_HOST = re.compile(r"([a-z0-9._-]+|\[[0-9a-f:.]+\])(:\d{1,5})?")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; script-src 'self'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def protect(app: FastAPI, options: Options) -> None:
    """Put all of it before the application, and add the routes that open and end a session."""
    keys = Keys(options.token)
    app.state.keys = keys
    app.include_router(router)
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=MAX_BODY)
    app.add_middleware(Gate, options=options, keys=keys)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Keys:
    """The token, the sessions that it opened, and who guessed wrong."""

    def __init__(self, token: str | None) -> None:
        self._token = token
        self._sessions: OrderedDict[str, float] = OrderedDict()
        """Cookie to when it ends."""
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()
        """Address to when it gave wrong tokens."""

    @property
    def needed(self) -> bool:
        return self._token is not None

    def fits(self, token: str, address: str) -> bool:
        """Whether that is the token. Raises Refusal where the address gave too many that were not."""
        now, tries = time.monotonic(), self._wrong.get(address, deque())
        if len(tries) == WRONG_TRIES and now - tries[0] < WRONG_SECONDS:
            wait = int(WRONG_SECONDS - (now - tries[0])) + 1
            raise Refusal(
                429,
                "too_many_tries",
                f"Expected the service's token, found {WRONG_TRIES} wrong ones. Try again in {wait} s.",
                {"Retry-After": str(wait)},
            )
        if hmac.compare_digest(token.encode(), (self._token or "").encode()):
            return True
        self._wrong[address] = deque([*tries, now], maxlen=WRONG_TRIES)
        self._wrong.move_to_end(address)
        if len(self._wrong) > ADDRESSES:
            self._wrong.popitem(last=False)
        return False

    def open(self) -> str:
        """A new session's cookie."""
        session = secrets.token_urlsafe(32)
        self._sessions[session] = time.monotonic() + SESSION_SECONDS
        if len(self._sessions) > SESSIONS:
            self._sessions.popitem(last=False)
        return session

    def is_open(self, session: str | None) -> bool:
        # A dictionary compares hashes first, and what is looked up is random: its time says nothing of it.
        return session is not None and self._sessions.get(session, 0) > time.monotonic()

    def end(self, session: str | None) -> None:
        self._sessions.pop(session or "", None)

    def admit(self, request: Request) -> bool:
        """Whether the request shows what it has to."""
        if not self.needed or self.is_open(request.cookies.get(cookie_name(request))):
            return True
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self.fits(token.strip(), address_of(request))


def cookie_name(request: Request) -> str:
    """Cookies do not tell ports apart, so the name does: two services on one machine have two sessions."""
    server = request.scope.get("server") or ("", 0)
    return f"neurogloss-{server[1]}"


def address_of(request: Request) -> str:
    return request.client.host if request.client else ""


class Gate:
    """The application, behind the checks; ASGI, so that streams pass as they come."""

    def __init__(self, app: ASGIApp, options: Options, keys: Keys) -> None:
        self._app, self._keys = app, keys
        self._names = frozenset(name.lower() for name in (*LOOPBACK, options.host, *options.allow_hosts))
        # What listens everywhere has no one name; it has a token, which a foreign page does not know.
        self._any_name = not options.allow_hosts and options.host in ("0.0.0.0", "::")
        self._trusted = frozenset(name.lower() for name in options.allow_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        started = False

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(Request(scope))
            await self._app(scope, receive, guarded)
        except Refusal as refusal:
            await of_refusal(refusal)(scope, receive, guarded)
        except Exception:
            # Here and not in a handler of the framework, whose answer would stand before these checks.
            _LOG.exception("%s %s failed", scope["method"], scope["path"])
            if started:
                raise
            message = "The service failed at this request; its log says how. Report it, please."
            await answer(500, "internal", message)(scope, receive, guarded)

    def _check(self, request: Request) -> None:
        """Raises Refusal where one of the checks fails."""
        self._check_host(request.headers.get("host", ""))
        if request.method not in SAFE:
            self._check_write(request.headers)
        # Of the scope, as routes see it: the URL is put together with what the Host header says.
        path = request.scope["path"]
        is_open = path == "/" or path.startswith("/static/") or path == "/api/session"
        if not is_open and not self._keys.admit(request):
            raise Refusal(
                401,
                "unauthorized",
                "Expected the service's token, found none or another. Give it in the explorer, or send it as "
                "`Authorization: Bearer TOKEN`.",
                {"WWW-Authenticate": "Bearer"},
            )

    def _check_host(self, host: str) -> None:
        name = _name(host)
        if not name or (not self._any_name and name not in self._names):
            raise Refusal(
                421,
                "wrong_host",
                "Expected the name of this service in the Host header, found another. Use the address that it "
                "printed, or start it with --allow-host NAME.",
            )

    def _check_write(self, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is not None:
            place = origin.partition("://")[2].lower()
            if place != headers["host"].lower() and _name(place) not in self._trusted:
                raise Refusal(
                    403,
                    "foreign_origin",
                    f"Expected a request from a page of this service, found one from {origin}.",
                )
        length = headers.get("content-length", "0")
        if length.isdecimal() and (len(length) > 18 or int(length) > MAX_BODY):
            raise Refusal(413, "too_large", f"Expected at most {MAX_BODY:,} bytes, found more. Send less.")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if (length != "0" or "transfer-encoding" in headers) and kind != "application/json":
            raise Refusal(
                415, "not_json", f"Expected a body of application/json, found {kind or 'no content type'}."
            )


def _name(host: str) -> str:
    """Of a Host header, without its port; empty where it is none."""
    found = _HOST.fullmatch(host.lower())
    return found[1].strip("[]") if found else ""


# --- sessions ---------------------------------------------------------------------------------------

router = APIRouter(prefix="/api/session", tags=["session"])


class Token(BaseModel):
    """What opens a session."""

    model_config = ConfigDict(extra="forbid")
    token: str = Field(max_length=1_000, examples=["the token that the service was started with"])


class Session(View):
    """Whether a token is needed, and whether one was given."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"needed": False, "open": True}]})
    needed: bool
    open: bool


@router.get("", summary="Whether a token is needed")
async def session(request: Request) -> Session:
    keys: Keys = request.app.state.keys
    return Session(needed=keys.needed, open=keys.admit(request))


@router.post(
    "",
    status_code=204,
    summary="Open a session: the answer sets a cookie",
    responses={
        401: {"model": Problem, "description": "Another token"},
        429: {"model": Problem, "description": "Too many that were wrong"},
    },
)
async def open_session(request: Request, given: Annotated[Token, Body()]) -> Response:
    keys: Keys = request.app.state.keys
    if keys.needed and not keys.fits(given.token, address_of(request)):
        raise Refusal(401, "unauthorized", "Expected the service's token, found another. Check it, and try again.")
    answered = Response(status_code=204)
    answered.set_cookie(
        cookie_name(request),
        keys.open(),
        max_age=SESSION_SECONDS,
        httponly=True,
        samesite="strict",
        secure=request.scope["scheme"] == "https",
    )
    return answered


@router.delete("", status_code=204, summary="End the session")
async def end_session(request: Request) -> Response:
    request.app.state.keys.end(request.cookies.get(cookie_name(request)))
    answered = Response(status_code=204)
    answered.delete_cookie(cookie_name(request))
    return answered
