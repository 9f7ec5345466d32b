"""A healthy server, proxies before it that spoil answers, and a small collected run."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import neurogloss as ng
from benchmarks.soak.labeller import TIMES, embed
from benchmarks.soak.network import RULES, Proxy, listening, scripted, spoiling
from neurogloss.engines.embedder import MiniLM
from neurogloss.engines.server import ServerModel


@pytest.fixture(scope="session")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that answers every request by the rules."""
    path = tmp_path_factory.mktemp("script") / "rules.jsonl"
    path.write_text("".join(json.dumps(rule) + "\n" for rule in RULES), encoding="utf-8")
    with listening(scripted(path)) as url:
        yield url


@pytest.fixture
def proxy(healthy: str) -> Iterator[Callable[..., Proxy]]:
    """Makes proxies before the healthy server."""
    over = threading.Event()
    with contextlib.ExitStack() as stack:

        def make(seed: int, kinds: tuple[str, ...], share: float = 0.25, of: bytes = b"") -> Proxy:
            made = Proxy(seed, kinds, share, of)
            made.url = stack.enter_context(listening(spoiling(made, healthy, over)))
            return made

        yield make
        over.set()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client waits seconds where it would wait minutes."""
    for name, value in TIMES.items():
        monkeypatch.setitem(ServerModel.__init__.__kwdefaults__, name, value)
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.05)


@pytest.fixture(scope="session")
def collected(tiny_subject_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few neurons of a random model over real text. Read only."""
    path = tmp_path_factory.mktemp("faults") / "collected"
    ng.collect(
        path,
        subject=str(tiny_subject_folder),
        hookpoints=["model.layers.0.mlp.down_proj.input"],
        tokens=8_000,
        context_chars=64,
        active_quantile=0.8,
    )
    return path


@pytest.fixture(scope="module")
def quick_embedder() -> Iterator[None]:
    """The index embeds without the real model, which takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MiniLM, "embed", embed)
        yield
