"""Licences are read from what is installed, and what nobody looked at does not pass."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    yield importlib.import_module("check_licences")
    del sys.modules["check_licences"]


def package(folder: Path, *lines: str, text: str = "") -> Distribution:
    info = folder / "thing-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("\n".join(("Name: thing", "Version: 1", *lines)) + "\n", encoding="utf-8")
    (info / "LICENSE").write_text(text, encoding="utf-8")
    (info / "RECORD").write_text("thing-1.dist-info/LICENSE,,\n", encoding="utf-8")
    return PathDistribution(info)


def test_the_base_install_takes_on_no_terms(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main() == 0
    said = capsys.readouterr().out
    assert "chromadb " in said and "numpy " in said and " 0 with a licence" in said


@pytest.mark.parametrize(
    "lines, text, licence, allowed",
    [
        (["License-Expression: MIT"], "GPL", "MIT", True),
        (["License-Expression: MIT AND GPL-2.0-only"], "", "MIT AND GPL-2.0-only", False),
        (["License-Expression: MPL-2.0 AND (MIT OR Apache-2.0)"], "", "MPL-2.0 AND (MIT OR Apache-2.0)", True),
        (["Classifier: License :: OSI Approved :: BSD License"], "", "BSD-3-Clause", True),
        (["License: Apache License, Version 2.0"], "", "Apache-2.0", True),
        ([], "   Apache License\n   Version 2.0, January 2004", "Apache-2.0", True),
        (["License: see the file"], "You may do nothing.", None, False),
        ([], "", None, False),
    ],
)
def test_what_a_package_says(
    script: ModuleType, tmp_path: Path, lines: list[str], text: str, licence: str | None, allowed: bool
) -> None:
    found = script.licence(package(tmp_path, *lines, text=text))
    assert found == licence and script.allowed(found) is allowed


def test_a_package_that_is_not_allowed_fails_the_whole(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = package(tmp_path, "License-Expression: AGPL-3.0-only")
    monkeypatch.setattr(script, "installed", lambda wanted: [found])
    assert script.main() == 1
    assert "AGPL-3.0-only   NOT ALLOWED" in capsys.readouterr().out
    assert script.main(["nonsense"]) == 2
