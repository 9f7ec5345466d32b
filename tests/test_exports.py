"""The public names: one sorted list, one table of where they live, and the same to type checkers."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

import neurogloss


def test_names_are_sorted_and_are_those_of_the_table() -> None:
    assert list(neurogloss.__all__) == sorted(neurogloss._HOME)
    assert dir(neurogloss) == sorted(neurogloss._HOME)


def test_type_checkers_see_the_same_table() -> None:
    source = Path(neurogloss.__file__).read_text(encoding="utf-8")
    declared = {
        alias.name: (node.module or "").removeprefix("neurogloss.")
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("neurogloss.")
        for alias in node.names
    }
    assert declared == neurogloss._HOME


@pytest.mark.parametrize("name", neurogloss.__all__)
def test_each_name_resolves_to_what_its_home_defines(name: str) -> None:
    value = getattr(neurogloss, name)
    assert value is vars(importlib.import_module(f"neurogloss.{neurogloss._HOME[name]}"))[name]
    assert value.__module__ == f"neurogloss.{neurogloss._HOME[name]}"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'labels'"):
        neurogloss.labels  # noqa: B018
