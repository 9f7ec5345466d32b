"""The explorer's files: all there, nothing from elsewhere, small, with the licences of what is in them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from neurogloss import web

STATIC = Path(web.__file__).parent / "static"
OWN = sorted(path for path in STATIC.rglob("*.*") if "vendor" not in path.parts)
VENDOR = STATIC / "vendor"
LIMIT = 600 * 1024
"""Bytes of the bundled libraries."""


@pytest.mark.parametrize("path", [path for path in OWN if path.suffix == ".js"], ids=lambda path: path.name)
def test_what_a_module_imports_is_there_and_exported(path: Path) -> None:
    text = path.read_text("utf-8")
    for names, source in re.findall(r'^import \{([^}]*)\} from "([^"]+)"', text, re.MULTILINE):
        target = (path.parent / source).resolve()
        assert target.is_file(), source
        exported = re.findall(r"export (?:const|class|(?:async )?function) (\w+)", target.read_text("utf-8"))
        if target.parent != VENDOR:
            assert {name.strip() for name in names.split(",") if name.strip()} <= set(exported), source
    for source, name in re.findall(r'import\("([^"]+)"\)(?:\.then\(\(view\) => view\.(\w+)\))?', text):
        target = (path.parent / source).read_text("utf-8")
        assert not name or f"export function {name}(" in target, source


def test_the_page_loads_what_is_there_and_nothing_from_elsewhere() -> None:
    page = (STATIC / "index.html").read_text("utf-8")
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert loaded
    for path in loaded:
        assert (STATIC.parent / path).is_file(), path
    for file in OWN:
        assert not re.findall(
            r"(?:https?:)?//[\w.-]+\.(?:com|org|net|io|dev)\b", file.read_text("utf-8").replace("www.w3.org", "")
        )


def test_the_page_names_at_once_the_modules_that_the_search_needs() -> None:
    page = (STATIC / "index.html").read_text("utf-8")
    needed, rest = set(), {STATIC / "app.js"}
    while rest:
        path = rest.pop()
        needed.add(path)
        sources = re.findall(r'^import [^;]*from "([^"]+)"', path.read_text("utf-8"), re.MULTILINE)
        rest |= {(path.parent / source).resolve() for source in sources} - needed
    named = re.findall(r'<link rel="modulepreload" href="([^"]+)"', page)
    assert {STATIC.parent / path for path in named} == needed - {STATIC / "app.js"}


def test_text_is_never_made_markup() -> None:
    for file in OWN:
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", file.read_text("utf-8")
        )


def test_the_libraries_are_small_and_carry_their_licences() -> None:
    assert sum(path.stat().st_size for path in VENDOR.glob("*.js")) <= LIMIT
    licences = (VENDOR / "LICENSES.txt").read_text("utf-8")
    for name in ("preact", "htm", "@observablehq/plot", "d3-scale", "minisearch", "@noble/hashes"):
        assert re.search(rf"^{name} \d", licences, re.MULTILINE), name
