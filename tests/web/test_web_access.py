"""What stands before every route: names, origins, tokens, sessions, sizes, headers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import Body, FastAPI
from fastapi.testclient import TestClient

from neurogloss.web import access, problems
from neurogloss.web.options import Options

TOKEN = "a-token-that-is-long-enough"
HERE = "http://127.0.0.1:8600"


def served(options: Options) -> FastAPI:
    """An application with a route to read and one to write, behind the checks."""
    app = FastAPI()
    problems.install(app)

    @app.get("/")
    def page() -> str:
        return "page"

    @app.get("/api/thing")
    def thing() -> str:
        return "thing"

    @app.post("/api/thing")
    def write(body: dict[str, Any] = Body()) -> int:  # noqa: B008
        return len(body)

    @app.get("/api/broken")
    def broken() -> None:
        raise RuntimeError("a secret")

    access.protect(app, options)
    return app


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(served(Options()), base_url=HERE) as client:
        yield client


@pytest.fixture
def closed() -> Iterator[TestClient]:
    """A client of a service with a token."""
    with TestClient(served(Options(token=TOKEN)), base_url=HERE) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("path", ["/", "/api/thing", "/api/nothing", "/static/../x"])
def test_every_answer_carries_the_headers(client: TestClient, path: str) -> None:
    for headers in ({}, {"Host": "evil.example"}):
        answered = client.get(path, headers=headers).headers
        assert {name: answered[name] for name in access.HEADERS} == access.HEADERS
        assert not [name for name in answered if name.startswith("access-control-")]
    assert "script-src 'self'" in access.HEADERS["Content-Security-Policy"]
    assert "unsafe-inline" not in access.HEADERS["Content-Security-Policy"].partition("script-src")[2]


def test_a_failure_of_the_service_is_a_problem_too(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    answered = client.get("/api/broken")
    assert (answered.status_code, answered.json()["error"]) == (500, "internal")
    assert answered.headers["x-content-type-options"] == "nosniff"
    assert "a secret" not in answered.text and "a secret" in caplog.text


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8600", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:8600", 200),
        ("evil.example:8600", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost@evil.example", 421),
        ("evil.example@localhost", 421),
        ("localhost/static/", 421),
        ("localhost?", 421),
        ("[::1", 421),
        ("", 421),
    ],
)
def test_only_names_of_the_service_reach_it(client: TestClient, host: str, status: int) -> None:
    answered = client.get("/api/thing", headers={"Host": host})
    assert answered.status_code == status
    if status == 421:
        assert answered.json()["error"] == "wrong_host"


def test_a_service_behind_a_proxy_takes_the_names_it_was_given() -> None:
    options = Options(host="0.0.0.0", token=TOKEN, allow_hosts=("Lab.example",))
    with TestClient(served(options), base_url="https://lab.example") as client:
        assert client.get("/").status_code == 200
        assert client.get("/", headers={"Host": "other.example"}).status_code == 421
        own = {"Origin": "https://lab.example", **bearer(TOKEN)}
        # The proxy may say another name in Host than the browser says in Origin.
        assert client.post("/api/thing", json={}, headers={"Host": "127.0.0.1", **own}).status_code == 200
    everywhere = Options(host="0.0.0.0", token=TOKEN)
    with TestClient(served(everywhere), base_url="http://any.example") as client:
        assert client.get("/api/thing", headers=bearer(TOKEN)).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": HERE}, 200),
        ({"Origin": "http://127.0.0.1:3000"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://[::1"}, 403),
    ],
)
def test_writes_come_from_its_own_pages_or_from_none(
    client: TestClient, headers: dict[str, str], status: int
) -> None:
    assert client.post("/api/thing", json={"a": 1}, headers=headers).status_code == status
    assert client.get("/api/thing", headers=headers).status_code == 200


def test_what_a_form_can_send_is_no_write(client: TestClient) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None):
        headers = {"Content-Type": kind} if kind else {}
        answered = client.post("/api/thing", content=b'{"a": 1}', headers=headers)
        assert (answered.status_code, answered.json()["error"]) == (415, "not_json")
    kind = {"Content-Type": "application/json; charset=utf-8"}
    assert client.post("/api/thing", content=b'{"a": 1}', headers=kind).json() == 1


def test_a_token_opens_everything_but_the_page(closed: TestClient) -> None:
    assert closed.get("/").status_code == 200
    assert closed.get("/api/session").json() == {"needed": True, "open": False}
    for path in ("/api/thing", "/api/nothing", "/openapi.json", "/docs"):
        for headers in ({}, bearer(TOKEN + "x"), bearer(""), {"Authorization": f"Basic {TOKEN}"}):
            answered = closed.get(path, headers=headers)
            assert answered.status_code == 401
            assert answered.json()["error"] == "unauthorized"
            assert TOKEN not in answered.text
        if path.startswith("/api"):
            break
    assert closed.get("/api/thing", headers=bearer(TOKEN)).json() == "thing"
    assert closed.get("/api/nothing", headers=bearer(TOKEN)).status_code == 404


def test_what_is_open_is_told_by_the_path_alone() -> None:
    with TestClient(served(Options(host="0.0.0.0", token=TOKEN)), base_url=HERE) as anywhere:
        for host in ("x/static/", "x/static/?", "x/#", "x/api/session?"):
            assert anywhere.get("/api/thing", headers={"Host": host}).status_code == 421
        for path in ("/static/../api/thing", "/static/%2e%2e/api/thing", "//api/thing", "/%3F/../api/thing"):
            assert "thing" not in anywhere.get(path).text


def test_a_session_is_opened_by_the_token_and_ends(closed: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert closed.post("/api/session", json={"token": "wrong"}).status_code == 401
    opened = closed.post("/api/session", json={"token": TOKEN})
    cookie = opened.headers["set-cookie"]
    assert opened.status_code == 204
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and TOKEN not in cookie
    assert closed.get("/api/thing").json() == "thing"
    assert closed.get("/api/session").json() == {"needed": True, "open": True}
    kept = dict(closed.cookies)
    assert closed.delete("/api/session").status_code == 204
    assert not closed.cookies
    # Ended for good, not only forgotten by the browser.
    closed.cookies.update(kept)
    assert closed.get("/api/thing").status_code == 401
    closed.cookies.update({name: "guessed" for name in kept})
    assert closed.get("/api/thing").status_code == 401


def test_a_session_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(access.time, "monotonic", lambda: now)
    keys = access.Keys(TOKEN)
    session = keys.open()
    now += access.SESSION_SECONDS - 1
    assert keys.is_open(session)
    now += 2
    assert not keys.is_open(session)
    assert not keys.is_open(None)


def test_the_oldest_session_ends_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "SESSIONS", 2)
    keys = access.Keys(TOKEN)
    sessions = [keys.open() for _ in range(3)]
    assert list(map(keys.is_open, sessions)) == [False, True, True]


def test_an_address_that_guesses_has_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(access.time, "monotonic", lambda: now)
    keys = access.Keys(TOKEN)
    assert not any(keys.fits(f"guess {i}", "1.2.3.4") for i in range(access.WRONG_TRIES))
    with pytest.raises(problems.Refusal) as refused:
        keys.fits(TOKEN, "1.2.3.4")
    assert (refused.value.status_code, refused.value.headers) == (429, {"Retry-After": "61"})
    assert keys.fits(TOKEN, "5.6.7.8")
    now += access.WRONG_SECONDS
    assert keys.fits(TOKEN, "1.2.3.4")


def test_guesses_as_bearer_count_and_sessions_go_on(closed: TestClient) -> None:
    assert closed.post("/api/session", json={"token": TOKEN}).status_code == 204
    for _ in range(access.WRONG_TRIES):
        stranger = closed.get("/api/thing", headers={**bearer("guess"), "Cookie": "x=y"})
        assert stranger.status_code == 401
    late = closed.post("/api/session", json={"token": TOKEN})
    assert (late.status_code, late.json()["error"]) == (429, "too_many_tries")
    assert closed.get("/api/thing").json() == "thing"


def test_a_body_is_read_up_to_a_limit(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "MAX_BODY", 20)
    kind = {"Content-Type": "application/json"}
    fits, over = b'{"a":"' + b"x" * 12 + b'"}', b'{"a":"' + b"x" * 13 + b'"}'
    assert client.post("/api/thing", content=fits, headers=kind).json() == 1
    answered = client.post("/api/thing", content=over, headers=kind)
    assert (answered.status_code, answered.json()["error"]) == (413, "too_large")


@pytest.mark.parametrize(("chunks", "status"), [(3, 200), (5, 413), (10_000, 413)])
def test_a_body_in_chunks_has_the_same_limit(chunks: int, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "MAX_BODY", 20)
    body = b'{"a":"' + b"x" * (chunks * 5 - 8) + b'"}'
    parts = [body[i : i + 5] for i in range(0, len(body), 5)]
    read, sent = iter(parts), []

    async def receive() -> dict[str, Any]:
        part = next(read)
        return {"type": "http.request", "body": part, "more_body": part is not parts[-1]}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = {"host": "localhost", "transfer-encoding": "chunked", "content-type": "application/json"}
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/thing",
        "query_string": b"",
        "http_version": "1.1",
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8600),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    asyncio.run(served(Options())(scope, receive, send))
    assert sent[0]["status"] == status
    if status == 413:
        # It was not read to its end.
        assert len(list(read)) == chunks - 5


@pytest.mark.parametrize(
    ("host", "only_here"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("lab", False),
    ],
)
def test_what_is_loopback(host: str, only_here: bool) -> None:
    assert access.is_loopback(host) is only_here
