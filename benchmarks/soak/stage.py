"""The processes of a soak: the server, the proxy before it, and labellers; each can be killed at any moment."""

from __future__ import annotations

import multiprocessing
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from benchmarks.soak.labeller import PRELOAD
from benchmarks.soak.network import Proxy, listen, scripted, spoiling
from neurogloss.engines.serving import free_port

SHARE, STALL = 0.1, 1.5
"""Of the answers that are spoilt; seconds that a stalled one waits."""


def serve(rules: Path, port: int) -> None:
    listen(scripted(rules), port)


def pass_on(proxy: Proxy, upstream: str, port: int) -> None:
    listen(spoiling(proxy, upstream, threading.Event()), port)


class Stage:
    """Server and proxy at addresses that stay, whatever is killed."""

    def __init__(self, folder: Path, rules: Path) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(PRELOAD))
        self._rules, self._ports = rules, (free_port(), free_port())
        self.spoilt = folder / "spoilt"
        """A line for each answer that the proxy spoilt."""
        self.spoilt.touch()
        self._up: dict[str, ForkServerProcess] = {}
        self._proxied = 0
        self._kinds: tuple[str, ...] = ()

    @property
    def server(self) -> str:
        return f"http://127.0.0.1:{self._ports[0]}"

    @property
    def proxy(self) -> str:
        return f"http://127.0.0.1:{self._ports[1]}"

    def start(self, target: Callable[..., None], *arguments: Any) -> ForkServerProcess:
        """A process of the package's modules, which are loaded already."""
        process = self._context.Process(target=target, args=arguments, daemon=True)
        process.start()
        return process

    def up(self, kinds: tuple[str, ...] | None = None) -> None:
        """Start what is not there; with other kinds of answers to spoil the proxy is a new one."""
        if kinds is not None and kinds != self._kinds:
            self._kinds = kinds
            self.kill("proxy")
        if not self._lives("server"):
            self._up["server"] = self.start(serve, self._rules, self._ports[0])
        if not self._lives("proxy"):
            self._proxied += 1
            proxy = Proxy(self._proxied, self._kinds, SHARE, stall=STALL, log=self.spoilt)
            self._up["proxy"] = self.start(pass_on, proxy, self.server, self._ports[1])
        for url in (self.server, self.proxy):
            _wait_for(url)

    def kill(self, which: str) -> bool:
        """SIGKILL of `server` or `proxy`; False where it is down already."""
        if not self._lives(which):
            return False
        self._up[which].kill()
        self._up[which].join()
        return True

    def _lives(self, which: str) -> bool:
        return which in self._up and self._up[which].is_alive()


@contextmanager
def stage(folder: Path, rules: Path) -> Iterator[Stage]:
    """Both are down at the end."""
    made = Stage(folder, rules)
    try:
        made.up()
        yield made
    finally:
        made.kill("proxy")
        made.kill("server")


def _wait_for(url: str, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(f"{url}/v1/models", timeout=seconds):
                return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
