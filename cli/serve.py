"""neurogloss serve, neurogloss site, neurogloss report"""

from __future__ import annotations

import importlib.util
import os
import socket
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

import neurogloss as ng
from neurogloss.cli import progress, render
from neurogloss.cli.options import EmbedderOption, JsonOption, MethodOption, RunArgument, said, takes
from neurogloss.errors import MissingExtra, UserError
from neurogloss.folder import RunFolder
from neurogloss.settings import LabelSettings

if TYPE_CHECKING:
    from neurogloss.web.options import Options

PACKAGES = ("fastapi", "uvicorn")
INSTALL = "pip install fastapi uvicorn   (the extra [web])"
GRACE = 3
"""Seconds in which answers may still be finished once the service ends."""


@takes(LabelSettings, only={"llm", "model", "embedder"})
def serve(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.", metavar="RUN…")],
    host: Annotated[str, typer.Option(help="Address to listen at. Any but loopback needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at. 0 takes a free one.")] = 8600,
    live: Annotated[bool, typer.Option("--live", help="Load models, to try texts and to steer.")] = False,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token to require. Defaults to NEUROGLOSS_TOKEN, if set.")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Name that clients address it by, such as behind a proxy.")
    ] = None,
    max_jobs: Annotated[int, typer.Option(min=1, max=100, help="Jobs that may wait and run at most.")] = 4,
    open: Annotated[bool, typer.Option("--open", help="Open the explorer in the browser.")] = False,
    json: JsonOption = False,
    **given: Any,
) -> int:
    """Serve the explorer and an HTTP API over runs, until Ctrl-C. Jobs use the LLM that is given here."""
    _require_packages()
    from neurogloss.sources.loading import require_subject_packages
    from neurogloss.web.options import Options

    if live:
        require_subject_packages()
    for run in runs:
        RunFolder(run).require()
    options = Options(
        host=host,
        allow_hosts=tuple(allow_host or ()),
        token=read_token(token_file, host),
        live=live,
        max_jobs=max_jobs,
        **said(LabelSettings, given),
    )
    with listening(host, port) as listener:
        return _serve(runs, options, listener, open, json)


def site(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.", metavar="RUN…")],
    out: Annotated[Path, typer.Argument(help="Folder to make.", metavar="OUT")],
    units: Annotated[str, typer.Option(help="all explained units, sample:N of each run, or names.")] = "all",
    where: Annotated[str, typer.Option(help="Filter, such as 'detection.auroc > 0.8'.", metavar="EXPR")] = "",
    embedder: EmbedderOption = "",
    json: JsonOption = False,
) -> None:
    """Write the explorer as files: chosen units, with search, for any static host."""
    _require_packages()
    from neurogloss.web.site import write_site

    with progress.Bars() as bars:
        written = write_site(runs, out, units, where, embedder or None, bars)
    size = f"{written.units:,} units, {written.files:,} files, {written.bytes / 1e6:,.1f} MB"
    rows = [{"out": str(out), **asdict(written)}]
    render.tell(json, rows, f"{size}   See them with:  python -m http.server -d {out}")


def report(
    run: RunArgument,
    out: Annotated[Path | None, typer.Option(help="File to write. Defaults to report.html in the run.")] = None,
    method: MethodOption = None,
    floor_run: Annotated[
        Path | None, typer.Option(help="Run to compare scores with, such as one on a randomised dictionary.")
    ] = None,
    units: Annotated[int, typer.Option(help="Best, middle and worst units to show, of each.", min=0)] = 4,
    json: JsonOption = False,
) -> None:
    """Write an HTML page about a run: scores and baselines, agreement, cost, states and sample units."""
    path = ng.report(run, out, method=method, units=units, floor_run=floor_run)
    render.tell(json, [{"report": str(path)}], str(path))


def _require_packages() -> None:
    for package in PACKAGES:
        if not importlib.util.find_spec(package):
            raise MissingExtra(package, INSTALL)


def read_token(file: Path | None, host: str) -> str | None:
    """Read the token from the file or the environment. Raises UserError if it is weak, or missing off loopback."""
    from neurogloss.web.access import MIN_TOKEN, is_loopback

    if file is None:
        where, token = "NEUROGLOSS_TOKEN", os.environ.get("NEUROGLOSS_TOKEN", "")
    else:
        where, token = str(file), file.read_text(encoding="utf-8", errors="replace")
    token = token.strip()
    make = "Make one with:  python -c 'import secrets; print(secrets.token_urlsafe())' > FILE"
    if not token and file is None:
        if not is_loopback(host):
            raise UserError(f"Expected a token to serve at {host}, where others can reach it; found none. {make}")
        return None
    if len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise UserError(
            f"Expected {MIN_TOKEN} or more letters, digits and signs of ASCII in {where}, found {len(token)} "
            f"characters{'' if len(token) < MIN_TOKEN else ' with others among them'}. {make}"
        )
    return token


def listening(host: str, port: int) -> socket.socket:
    """Open a socket that listens there. Raises UserError if it cannot."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise UserError(
            f"Expected to listen at {host}, port {port}, found: {error.strerror or error}. "
            "Give another with --port, or --port 0 for any that is free."
        ) from None


def _serve(runs: list[Path], options: Options, listener: socket.socket, open: bool, json: bool) -> int:
    import uvicorn

    from neurogloss.web.app import create_app

    app = create_app(runs, options)

    class Server(uvicorn.Server):
        """One whose streams end before it waits for them."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            url = _url(options, listener.getsockname()[1])
            told = {"url": url, "pid": os.getpid(), "runs": [str(run) for run in runs]}
            render.tell(json, [told], f"{url}   Ctrl-C ends it.")
            if open:
                typer.launch(url)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            app.state.service.jobs.end()
            await super().shutdown(sockets)

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            # Once is enough: a second one would leave the processes of jobs behind.
            self.should_exit = True

    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=GRACE
    )
    Server(config).run([listener])
    return 0


def _url(options: Options, port: int) -> str:
    """An address at which it lets itself be called."""
    host = options.host
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1" if options.allow_hosts else socket.gethostname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
