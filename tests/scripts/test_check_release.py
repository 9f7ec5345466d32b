"""What a wheel has to hold, by what pyproject.toml says."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PathDistribution
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PYPROJECT = """
[tool.setuptools]
packages = ["thing", "thing.rooms", "thing.rooms.inner"]
[tool.setuptools.package-dir]
"thing" = "src/thing"
"thing.rooms" = "rooms"
[tool.setuptools.package-data]
"thing.rooms" = ["data/**/*"]
"""


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    yield importlib.import_module("check_release")
    del sys.modules["check_release"]


def test_files_are_those_of_the_packages_and_their_data(script: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    expected = ["thing/__init__.py", "thing/rooms/a.py", "thing/rooms/inner/b.py", "thing/rooms/data/deep/c.txt"]
    for name in ("src/thing/__init__.py", "rooms/a.py", "rooms/inner/b.py", "rooms/data/deep/c.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in ("rooms/unlisted/d.py", "rooms/notes.txt", "tests/e.py", "rooms/data/__pycache__/f.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert script.packaged(tmp_path) == set(expected)


def test_of_this_tree_everything_that_is_imported_is_among_them(script: ModuleType) -> None:
    found = script.packaged(ROOT)
    assert {"neurogloss/py.typed", "neurogloss/cli/app.py", "neurogloss/prompts/score/detection.md"} <= found
    assert {Path(name).parts[0] for name in found} == {"neurogloss"}


def test_packages_are_linked_without_their_commands(script: ModuleType, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    files = ["thing/__init__.py", "thing/_fast.so", "shared/thing.py", "thing-1.dist-info/METADATA"]
    others = ["thing/__pycache__/__init__.pyc", "../bin/thing"]
    for name in (*files, *others):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(f"# {name}\n", encoding="utf-8")
    info = here / "thing-1.dist-info"
    (info / "RECORD").write_text("".join(f"{name},,\n" for name in (*files, *others)), encoding="utf-8")
    (there / "shared").mkdir(parents=True)
    for _ in range(2):
        script.link([PathDistribution(info)], there)
    found = {path.relative_to(there).as_posix(): path for path in there.rglob("*") if path.is_file()}
    assert set(found) == set(files)
    assert found["thing/_fast.so"].is_symlink() and found["thing/_fast.so"].read_text() == "# thing/_fast.so\n"


def test_a_step_that_fails_is_shown(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(folder: Path, linked: bool) -> int:
        script.run([sys.executable, "-c", "print('no such wheel'); raise SystemExit(3)"], folder)
        return 0

    monkeypatch.setattr(script, "check", fails)
    assert script.main() == 1
    said = capsys.readouterr().out
    assert "failed with status 3" in said and "no such wheel" in said


def test_nothing_of_a_developer_s_path_is_passed_on(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert script.run([sys.executable, "-c", "import os; print(os.environ.get('PYTHONPATH'))"]) == "None\n"
    with pytest.raises(subprocess.CalledProcessError):
        script.run([sys.executable, "-c", "raise SystemExit(1)"])
