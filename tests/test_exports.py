"""The public names: where each lives, and the same to type checkers."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest

import neurogloss
from neurogloss import results

TABLES = pytest.mark.parametrize("module", [neurogloss, results], ids=["neurogloss", "results"])


@TABLES
def test_names_are_sorted_and_are_those_of_the_table(module: ModuleType) -> None:
    assert list(module.__all__) == sorted(module._HOME)
    assert set(module._HOME) <= set(dir(module))


@TABLES
def test_type_checkers_see_the_same_table(module: ModuleType) -> None:
    source = Path(module.__file__ or "").read_text(encoding="utf-8")
    declared = {
        alias.name: (node.module or "").removeprefix("neurogloss.")
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("neurogloss.")
        for alias in node.names
    }
    assert declared == module._HOME


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module in (neurogloss, results) for name in module.__all__]
)
def test_each_name_resolves_to_what_its_home_defines(module: ModuleType, name: str) -> None:
    value = getattr(module, name)
    home = f"neurogloss.{module._HOME[name]}"
    assert value is vars(importlib.import_module(home))[name]
    assert value.__module__ == home


def test_public_modules_are_there_after_importing_the_package_alone() -> None:
    names = ", ".join(f"ng.{name}.__doc__" for name in neurogloss._MODULES)
    code = f"import neurogloss as ng; assert all([{names}]) and ng.records.Question and ng.settings.LabelSettings"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert set(neurogloss._MODULES) <= set(dir(neurogloss))


def test_the_version_is_that_of_the_installed_package() -> None:
    assert neurogloss.__version__ == version("neurogloss")


@TABLES
def test_an_unknown_name_is_an_attribute_error(module: ModuleType) -> None:
    with pytest.raises(AttributeError, match=rf"'{module.__name__}' has no attribute 'labels'"):
        module.labels  # noqa: B018
