"""Write what is generated from the settings: the keywords of the Python functions, and the reference page."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from neurogloss import settings
from neurogloss.presentation import by_group, choices, flag, shown
from neurogloss.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
KEYWORDS, PAGE = ROOT / "src" / "neurogloss" / "keywords.py", ROOT / "docs" / "reference" / "settings.md"
CLASSES: tuple[type[Settings], ...] = (
    settings.PassSettings,
    settings.SubjectSettings,
    settings.CollectSettings,
    settings.ImageSettings,
    settings.ResponseSettings,
    settings.MethodSettings,
    settings.ContextSettings,
    settings.LabelSettings,
)
"""Base classes first."""
PAGES = {
    "neurogloss collect": settings.CollectSettings,
    "neurogloss collect-images": settings.ImageSettings,
    "neurogloss collect-responses": settings.ResponseSettings,
    "neurogloss label, neurogloss score": settings.LabelSettings,
    "neurogloss.label_contexts": settings.ContextSettings,
}
TYPES = (
    ("tuple", "list"),
    ("Path", "path"),
    ("bool", "yes or no"),
    ("int", "integer"),
    ("float", "number"),
    ("str", "text"),
)
COLUMNS = "| name | option | values | default | meaning |\n| --- | --- | --- | --- | --- |\n"
SIGNS = (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))
HEAD = '''"""Keywords of the functions that take settings, for type checkers and editors.

Written by scripts/write_settings.py from neurogloss.settings. Do not edit.
"""

from pathlib import Path
from typing import Literal, TypedDict
'''
INTRODUCTION = """# Settings

<!-- Written by scripts/write_settings.py from neurogloss.settings. Do not edit. -->

Options of a command, keys of a file for `neurogloss run`, fields of an HTTP request and keyword arguments in
Python are the same settings. A file has the tables `[collect]` and `[label]` (`examples/demo.toml`), and
`--set label.units=all` overrides one setting. An HTTP request takes [fewer settings](../service.md), with lower
limits.
"""


def keywords() -> str:
    """The source of `neurogloss.keywords`."""
    parts = [HEAD]
    for kind in CLASSES:
        base = kind.__bases__[0]
        inherits = "TypedDict" if base is Settings else base.__name__.replace("Settings", "Keywords")
        new = [name for name in kind.model_fields if name not in base.model_fields]
        lines = [f"    {name}: {type_of(kind.model_fields[name])}" for name in new]
        parts.append(
            f"\n\nclass {kind.__name__.replace('Settings', 'Keywords')}({inherits}, total=False):\n"
            + "\n".join(lines)
            + "\n"
        )
    return "".join(parts)


def type_of(field: FieldInfo) -> str:
    """The annotation of a setting as it is written, as a caller may give it."""
    kind: Any = field.annotation
    text = kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind)
    text = re.sub(r"typing\.|pathlib\.(_local\.)?", "", text)
    text = re.sub(r"Optional\[(.*)\]$", r"\1 | None", text).replace("'", '"')
    return text.replace("tuple[str, ...]", "tuple[str, ...] | list[str]").replace("Path |", "Path | str |")


def page() -> str:
    """The reference page in Markdown."""
    parts = [INTRODUCTION]
    for title, kind in PAGES.items():
        parts.append(f"\n## {title}\n\n{(kind.__doc__ or '').strip()}\n")
        for group, fields in groupby(by_group(kind), lambda each: shown(each[1]).group):
            rows = [_row(kind, name, field) for name, field in fields]
            parts.append(f"\n### {group}\n\n{COLUMNS}{''.join(rows)}")
    return "".join(parts)


def _row(kind: type[Settings], name: str, field: FieldInfo) -> str:
    default = "" if field.default in (None, "", (), PydanticUndefined) else field.default
    told = ", ".join(default) if isinstance(default, tuple) else str(default)
    option = f"`{flag(kind, name)}`" if kind is not settings.ContextSettings else ""
    cells = (f"`{name}`", option, _values(field), f"`{told}`" if told else "", _sentence(field))
    return f"| {' | '.join(cells)} |\n"


def _values(field: FieldInfo) -> str:
    """Type and range, or the choices."""
    if found := choices(field):
        return ", ".join(f"`{value}`" for value in found)
    words = re.findall(r"\w+", str(field.annotation))
    limits = [
        f"{sign} {getattr(rule, key)}" for rule in field.metadata for key, sign in SIGNS if hasattr(rule, key)
    ]
    return ", ".join([next(word for kind, word in TYPES if kind in words), *limits])


def _sentence(field: FieldInfo) -> str:
    return " ".join((field.description or "").split()).replace("|", "\\|")


def main() -> None:
    """Write both files."""
    KEYWORDS.write_text(keywords(), encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
