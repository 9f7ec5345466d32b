"""Imports go one way, and cheap commands stay cheap."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import neurogloss

ROOT = Path(__file__).parents[1]

# Each folder may import the spine, itself, and these.
ALLOWED: dict[str, set[str]] = {
    "spine": set(),
    "sources": set(),
    "engines": set(),
    "prompts": set(),
    "store": set(),
    "scorers": {"prompts"},
    "agent": {"prompts", "scorers", "sources", "engines", "store"},
    "runs": {"prompts", "scorers", "sources", "engines", "store", "agent"},
    "web": {"prompts", "scorers", "sources", "engines", "store", "agent", "runs"},
    "cli": {"prompts", "scorers", "sources", "engines", "store", "agent", "runs", "web"},
}
ROOMS = set(ALLOWED) - {"spine"}
HEAVY = {"torch", "chromadb", "langgraph", "transformers", "openai"}


def imported(tree: ast.AST, package: str) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that a module of `package` imports, inside functions as well."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *filter(None, [base])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            constants = (argument for argument in node.args if isinstance(argument, ast.Constant))
            yield from ((node.lineno, str(argument.value)) for argument in constants)


def room_of(name: str) -> str | None:
    """The room that an imported name lies in, also where the public API looks it up there."""
    top, _, rest = name.partition(".")
    if top != "neurogloss":
        return None
    first = rest.partition(".")[0]
    room = neurogloss._HOME.get(first, first).partition(".")[0]
    return room if room in ROOMS else None


def violations(room: str, path: Path, package: str) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    return [
        f"{path}:{line}: {room} may not import {name}; "
        f"beside the spine it may import: {', '.join(sorted(ALLOWED[room])) or 'nothing'}"
        for line, name in imported(tree, package)
        if room_of(name) not in {None, room, *ALLOWED[room]}
    ]


def folder_of(room: str) -> Path:
    return ROOT / "src" / "neurogloss" if room == "spine" else ROOT / room


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_imports_go_one_way(room: str) -> None:
    folder = folder_of(room)
    found = []
    for path in folder.rglob("*.py"):
        # These are doors: the public API looks names up on first use, `python -m` calls the command.
        if room == "spine" and path.name in {"__init__.py", "__main__.py", "results.py"}:
            continue
        inside = path.parent.relative_to(folder).parts
        found += violations(room, path, ".".join(("neurogloss", *([room] if room != "spine" else []), *inside)))
    assert not found, "\n".join(found)


def modules() -> dict[str, Path]:
    """Every module of the package by its full name."""
    found = {}
    for room in ALLOWED:
        folder = folder_of(room)
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join(["neurogloss", *([room] if room != "spine" else []), *parts])] = path
    return {name.removesuffix(".__init__"): path for name, path in found.items()}


def needs(name: str, path: Path, known: Collection[str]) -> set[str]:
    """The modules that a module imports, inside functions as well, but not for type checkers alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = {each if each in known else each.rpartition(".")[0] for _, each in imported(tree, package)}
    return found & set(known) - {name}


def circle(graph: Mapping[str, Collection[str]]) -> list[str]:
    """One circle of a graph of imports; empty if it has none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_circle_of_files_exists() -> None:
    known = modules()
    graph = {name: needs(name, path, known) for name, path in known.items()}
    assert len(graph) > 200 and len(graph["neurogloss.runs.label"]) > 5
    assert circle(graph) == []


def test_a_circle_is_found_inside_functions_and_not_for_type_checkers(tmp_path: Path) -> None:
    files = {
        "p.a": "from p import b\n",
        "p.b": "def later():\n    from p.c import x\n",
        "p.c": "if TYPE_CHECKING:\n    from p.a import y\n",
    }
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    paths = {name: tmp_path / f"{name}.py" for name in files}
    graph = {name: needs(name, path, paths) for name, path in paths.items()}
    assert graph == {"p.a": {"p.b"}, "p.b": {"p.c"}, "p.c": set()} and circle(graph) == []
    assert set(circle({**graph, "p.c": {"p.a"}})) == set(files)


def test_the_public_api_imports_rooms_for_type_checkers_only() -> None:
    tree = ast.parse((ROOT / "src" / "neurogloss" / "__init__.py").read_text(encoding="utf-8"))
    (guarded,) = (
        node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    tree.body.remove(guarded)
    assert [name for _, name in imported(tree, "neurogloss") if room_of(name)] == []


def test_a_violation_is_named_by_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "ledger.py"
    path.write_text(
        """from neurogloss.records import Score
from neurogloss.store.index import Index
from neurogloss.scorers import metrics
import neurogloss.runs.label
from ..prompts import render
from . import migrations
def later():
    from neurogloss import label, sources
    return importlib.import_module("neurogloss.cli")
""",
        encoding="utf-8",
    )
    found = violations("store", path, "neurogloss.store")
    assert [message.partition(": ")[0] for message in found] == [f"{path}:{line}" for line in (3, 4, 5, 8, 8, 9)]
    assert "store may not import neurogloss.scorers.metrics" in found[0]
    assert violations("agent", path, "neurogloss.agent")[-1].startswith(f"{path}:9: agent may not import")


@pytest.mark.parametrize("command", [["-c", "import neurogloss"], ["-m", "neurogloss", "--help"]])
def test_no_heavy_package_is_loaded_for(command: list[str]) -> None:
    # -X importtime writes a line to stderr for each module that is loaded, its name last.
    result = subprocess.run([sys.executable, "-X", "importtime", *command], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]
    loaded = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert "neurogloss" in loaded
    assert {name for name in loaded if name.partition(".")[0] in HEAVY} == set()
