"""neurogloss serve, as a process: what it prints, what it refuses, how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import typer

from neurogloss.cli import app, serve
from neurogloss.errors import UserError
from neurogloss.web.options import Options

TOKEN = "a-token-that-is-long-enough"


@contextmanager
def serving(*arguments: object, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and its address, once it serves."""
    command = [sys.executable, "-m", "neurogloss", "serve", *map(str, arguments), "--port", "0", "--json"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said, process.communicate()[1]
        row = json.loads(said)
        assert row["pid"] == process.pid
        yield process, row["url"]
    finally:
        process.kill()
        process.communicate()


def ask(url: str, path: str, headers: dict[str, str] | None = None) -> HTTPResponse:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
    connection.request("GET", path, headers=headers or {})
    return connection.getresponse()


def test_it_serves_several_runs_and_ends_with_streams_open(labelled: Path, imported: Path) -> None:
    with serving(labelled, imported) as (process, url):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
        runs = json.load(ask(url, "/api/runs"))
        assert [run["name"] for run in runs] == ["labelled", "imported"]
        assert ask(url, "/api/runs", {"Host": "evil.example"}).status == 421
        stream = ask(url, "/api/runs/labelled/events")
        assert stream.readline() == b"event: run\n"
        process.send_signal(signal.SIGINT)
        # A second Ctrl-C changes nothing.
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "", "")
        # It did not wait for the stream, which goes on for minutes.
        assert stream.read().count(b"event: run") <= 1


def test_a_token_from_a_file_or_the_environment(imported: Path, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n", encoding="utf-8")
    with serving(imported, "--host", "0.0.0.0", "--token-file", file) as (_, url):
        local = f"http://127.0.0.1:{urlsplit(url).port}"
        assert ask(local, "/api/runs").status == 401
        assert ask(local, "/api/runs", {"Authorization": f"Bearer {TOKEN}"}).status == 200
    with serving(imported, NEUROGLOSS_TOKEN=TOKEN) as (_, url):
        assert ask(url, "/api/runs").status == 401
        assert ask(url, "/api/runs", {"Authorization": f"Bearer {TOKEN}"}).status == 200


@pytest.mark.parametrize(
    ("token", "host", "says"),
    [
        ("", "0.0.0.0", "Expected a token to serve at 0.0.0.0"),
        ("short", "127.0.0.1", "Expected 16 or more"),
        ("with a blank in the middle", "127.0.0.1", "Expected 16 or more"),
        ("ünïcödé-ünïcödé-ünïcödé", "127.0.0.1", "Expected 16 or more"),
    ],
)
def test_a_token_has_to_be_there_and_good(
    monkeypatch: pytest.MonkeyPatch, token: str, host: str, says: str
) -> None:
    monkeypatch.setenv("NEUROGLOSS_TOKEN", token)
    with pytest.raises(UserError, match=re.escape(says)) as refused:
        serve.read_token(None, host)
    assert not token or token not in str(refused.value)


@pytest.mark.parametrize(
    ("options", "url"),
    [
        (Options(), "http://127.0.0.1:8600"),
        (Options(host="::1"), "http://[::1]:8600"),
        (Options(host="lab.example"), "http://lab.example:8600"),
        (Options(host="0.0.0.0"), f"http://{socket.gethostname()}:8600"),
        (Options(host="::", allow_hosts=("lab.example",)), "http://127.0.0.1:8600"),
    ],
)
def test_what_it_prints_is_a_name_that_it_answers_to(options: Options, url: str) -> None:
    assert serve._url(options, 8600) == url


def test_on_loopback_it_needs_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NEUROGLOSS_TOKEN", raising=False)
    assert serve.read_token(None, "127.0.0.1") is None
    empty = tmp_path / "empty"
    empty.touch()
    # A file that was named and says nothing is a mistake.
    with pytest.raises(UserError):
        serve.read_token(empty, "127.0.0.1")


def test_mistakes_are_said_before_it_listens(
    imported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NEUROGLOSS_TOKEN", raising=False)
    monkeypatch.setattr(serve, "_serve", lambda *_: pytest.fail("it served"))

    def says(*arguments: object) -> str:
        assert app.run(["serve", *map(str, arguments)]) == 2
        captured = capsys.readouterr()
        assert captured.out == "" and "Traceback" not in captured.err
        return captured.err

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"Expected to listen at 127.0.0.1, port {port}" in says(imported, "--port", port)
    assert "Expected a run folder at" in says(imported, tmp_path / "none", "--port", 0)
    assert "Expected a token" in says(imported, "--host", "0.0.0.0", "--port", 0)
    assert "no-such-file" in says(imported, "--token-file", tmp_path / "no-such-file")
    monkeypatch.setattr(serve, "PACKAGES", ("fastapi", "a_package_that_is_missing"))
    assert "a_package_that_is_missing is not installed" in says(imported)


def test_it_says_where_and_opens_the_browser(
    imported: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def launch(url: str) -> None:
        opened.append(url)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(typer, "launch", launch)
    assert app.run(["serve", str(imported), "--port", "0", "--open"]) == 0
    assert capsys.readouterr().out == f"{opened[0]}   Ctrl-C ends it.\n"
