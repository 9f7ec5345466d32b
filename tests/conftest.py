"""What holds in every test: no network but loopback, no hub, no tracing, a cache folder of the tests' own."""

from __future__ import annotations

import ipaddress
import os
import socket
import tempfile
from collections.abc import Generator, Iterator
from typing import Any

import pytest

# Set before anything is imported that reads them; subprocesses inherit them.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["LANGSMITH_TRACING"] = "false"


class NetworkRefusedError(Exception):
    """A test tried to reach another machine. No OSError, so that no retry swallows it."""


def _is_local(family: int, address: Any) -> bool:
    if family == socket.AF_UNIX:
        return True
    try:
        return ipaddress.ip_address(address[0]).is_loopback
    except ValueError:
        return bool(address[0] == "localhost")


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """Refuse every connection that leaves this machine."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def refuse_unless_local(self: socket.socket, address: Any) -> None:
        if not _is_local(self.family, address):
            raise NetworkRefusedError(f"tests do not use the network; this one tried to reach {address!r}")

    def guarded_connect(self: socket.socket, address: Any) -> None:
        refuse_unless_local(self, address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        refuse_unless_local(self, address)
        return connect_ex(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
        yield


_CACHE: pytest.StashKey[tempfile.TemporaryDirectory[str]] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_CACHE] = tempfile.TemporaryDirectory(prefix="neurogloss-cache-")


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[_CACHE].cleanup()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A temporary user cache, but for tests marked `model`: they share the converted model with the user.

    A hook and not a fixture, so that it comes before the fixtures of a module, too.
    """
    with pytest.MonkeyPatch.context() as patch:
        if item.get_closest_marker("model") is None:
            patch.setenv("NEUROGLOSS_CACHE", item.config.stash[_CACHE].name)
        return (yield)
