from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from neurogloss.folder import user_cache


def test_other_machines_are_refused_by_name() -> None:
    with socket.socket() as client, pytest.raises(Exception, match=r"192\.0\.2\.1") as caught:
        client.connect(("192.0.2.1", 80))
    assert not isinstance(caught.value, OSError)
    with socket.socket() as client, pytest.raises(Exception, match=r"example\.com"):
        client.connect_ex(("example.com", 80))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_is_allowed(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        accept = threading.Thread(target=server.accept, daemon=True)
        accept.start()
        with socket.create_connection((host, server.getsockname()[1])) as client:
            assert client.getpeername()[0] == "127.0.0.1"
        accept.join(timeout=10)


def test_unix_sockets_are_allowed(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(tmp_path / "s"))
        server.listen()
        client.connect(str(tmp_path / "s"))


def test_the_users_cache_is_left_alone() -> None:
    assert user_cache().name.startswith("neurogloss-cache-")
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert os.environ["LANGSMITH_TRACING"] == "false"


@pytest.fixture(scope="module")
def cache_of_the_module() -> Path:
    return user_cache()


@pytest.mark.model
def test_tests_of_the_model_use_the_users_cache(cache_of_the_module: Path) -> None:
    assert not cache_of_the_module.name.startswith("neurogloss-cache-")
