"""What the documentation's build does beside its plugins."""

from __future__ import annotations

import html
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from mkdocs.config.defaults import MkDocsConfig

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    yield importlib.import_module("docs_hooks")
    del sys.modules["docs_hooks"]


def test_formulas_are_drawn_without_a_script(hooks: ModuleType) -> None:
    page = r'<p>a <span class="arithmatex">\(x_i &lt; 3\)</span></p><div class="arithmatex">\[\frac{1}{2}\]</div>'
    drawn = hooks.on_page_content(page, page=None)
    assert drawn.startswith('<p>a <span><math xmlns="http://www.w3.org/1998/Math/MathML" display="inline">')
    assert "<msub><mi>x</mi><mi>i</mi></msub><mo><</mo><mn>3</mn>" in html.unescape(drawn)
    assert 'display="block"' in drawn and "<mfrac>" in drawn and "arithmatex" not in drawn
    assert hooks.on_page_content(r"<p>\(no formula\)</p>") == r"<p>\(no formula\)</p>"


def test_the_page_of_the_command_has_all_of_them(hooks: ModuleType) -> None:
    page = hooks.command_page()
    for heading in ("# The command", "## `neurogloss label`", "### `neurogloss index rebuild`"):
        assert f"\n{heading}\n" in f"\n{page}"
    assert "* `--stop-error <float>`: Error rate of the early-stopping intervals, over all scorers" in page
    assert "**Commands**" not in page and "...\n*" not in page


def test_a_folder_in_the_navigation_is_its_pages(hooks: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    for name in ("b.md", "a.md", "picture.png"):
        (tmp_path / "notes" / name).touch()
    config = MkDocsConfig()
    config.docs_dir = str(tmp_path)
    config.nav = [{"Home": "index.md"}, {"How-to": [{"One": "one.md"}]}, {"Notes": "notes"}]
    assert hooks.on_config(config).nav == [
        {"Home": "index.md"},
        {"How-to": [{"One": "one.md"}]},
        {"Notes": ["notes/a.md", "notes/b.md"]},
    ]
