"""The folders, pyproject.toml and constraints.txt say the same about what the package is made of."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from neurogloss.sources.loading import PACKAGES

ROOT = Path(__file__).parents[1]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]
FOLDERS = {name: ROOT / folder for name, folder in SETUPTOOLS["package-dir"].items()}


def files_of(folder: Path) -> Iterator[Path]:
    """The folder's own files: git ignores caches, and what `neurogloss demo` writes to runs/demo."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=folder, capture_output=True
    )
    files = (folder / name for name in listed.stdout.decode().split("\0") if name)
    return (file for file in files if file.is_file())


def modules() -> Iterator[str]:
    """The name under which each file of the package is meant to be imported."""
    for name, folder in FOLDERS.items():
        for file in files_of(folder):
            if file.suffix == ".py" and file.name != "__main__.py":
                parts = file.relative_to(folder).with_suffix("").parts
                yield ".".join((name, *parts)).removesuffix(".__init__")


def test_every_package_is_listed() -> None:
    found = {
        ".".join((name, *init.parent.relative_to(folder).parts))
        for name, folder in FOLDERS.items()
        for init in folder.rglob("__init__.py")
    }
    assert sorted(found) == sorted(SETUPTOOLS["packages"])


def test_every_module_is_in_a_package() -> None:
    packages = set(SETUPTOOLS["packages"])
    assert [name for name in modules() if name not in packages and name.rpartition(".")[0] not in packages] == []


def test_every_data_file_ships() -> None:
    shipped = {
        file
        for package, patterns in SETUPTOOLS["package-data"].items()
        for pattern in patterns
        for file in FOLDERS[package].glob(pattern)
    }
    data = {file for folder in FOLDERS.values() for file in files_of(folder) if file.suffix != ".py"}
    assert {ROOT / "sources" / "data" / "demo.jsonl.gz", ROOT / "src" / "neurogloss" / "py.typed"} <= data
    assert sorted(data - shipped) == []


def test_no_file_is_loaded_under_two_names() -> None:
    code = """
import importlib, json, os, sys
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
loaded = {}
for name, module in list(sys.modules.items()):
    file = getattr(module, "__file__", None)
    if file and os.path.realpath(file).startswith(sys.argv[2]) and "site-packages" not in file:
        loaded.setdefault(os.path.realpath(file), []).append(name)
print(json.dumps(loaded))
"""
    names = sorted(modules())
    result = subprocess.run(
        [sys.executable, "-c", code, json.dumps(names), f"{ROOT}/"], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    loaded = json.loads(result.stdout.splitlines()[-1])
    assert sorted(name for found in loaded.values() for name in found) == names


def test_constraints_pin_what_the_extras_name() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    pinned = {canonicalize_name(name): version for name, version in pins.items()}
    project = PYPROJECT["project"]
    extras = project["optional-dependencies"]
    for text in (*project["dependencies"], *extras["subject"], *extras["dev"]):
        requirement = Requirement(text)
        assert pinned[canonicalize_name(requirement.name)] in requirement.specifier, text


def test_the_subject_extra_is_what_a_subject_asks_for() -> None:
    extra = {Requirement(line).name for line in PYPROJECT["project"]["optional-dependencies"]["subject"]}
    assert extra == set(PACKAGES)
