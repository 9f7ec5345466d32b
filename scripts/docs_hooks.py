"""What MkDocs does for this site beside its plugins.

1. A folder in the navigation stands for the pages in it.
2. The page of the command is written by Typer from the commands themselves.
3. Formulas become MathML, which browsers draw without a script.
"""

from __future__ import annotations

import html
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

COMMAND_PAGE = "reference/cli.md"
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Folders in the navigation as their pages."""
    docs = Path(config.docs_dir)
    for entry in config.nav or ():
        for title, place in entry.items():
            if isinstance(place, str) and (docs / place).is_dir():
                entry[title] = sorted(path.relative_to(docs).as_posix() for path in (docs / place).glob("*.md"))
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the page of the command."""
    files.append(File.generated(config, COMMAND_PAGE, content=command_page()))
    return files


def on_page_content(content: str, **_: Any) -> str:
    """Formulas as MathML."""
    return FORMULA.sub(_mathml, content)


def command_page() -> str:
    """Markdown of all commands with their options. Raises CalledProcessError."""
    typer = [sys.executable, "-m", "typer", "neurogloss.cli.app", "utils", "docs"]
    done = subprocess.run(
        [*typer, "--name", "neurogloss", "--title", "The command"], check=True, text=True, stdout=subprocess.PIPE
    )
    # A list's beginnings of sentences are no more than its headings say.
    return re.sub(r"^\*\*Commands\*\*:\n\n(\* .*\n)+", "", done.stdout, flags=re.M)


def _mathml(found: re.Match[str]) -> str:
    element, bracket, formula = found.groups()
    drawn = convert(html.unescape(formula), display="block" if bracket == "[" else "inline")
    return f"<{element}>{drawn}</{element}>"
