"""What the documents say to type exists, what they name is there, and the reference leaves nothing out."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest
import typer
from typer.core import TyperCommand

import neurogloss as ng
from neurogloss.cli.app import app

ROOT = Path(__file__).parents[1]
DOCUMENTS = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md")
}
COMMAND = typer.main.get_command(app)
BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
FOLDERS = "docs|examples|tests|scripts|benchmarks|sources|engines|prompts|scorers|agent|store|web|cli"
ENDS = {"|", ">", "&&", "&", "…"}
"""What a command is before, in a line of a shell or of prose."""


def typed(text: str) -> Iterator[tuple[list[str], bool]]:
    """The words after `neurogloss`, and whether it stands in a block and so has to be whole."""
    blocks = [line for block in BLOCK.findall(text) for line in re.sub(r"\s*\\\n\s*", " ", block).splitlines()]
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", BLOCK.sub("", text))]
    for line, whole in [*((line, True) for line in blocks), *((span, False) for span in spans)]:
        if found := re.match(r"(?:\$ )?neurogloss (?!\.)(.*?)(?:\s{4,}.*)?$", line):
            yield list(takewhile(lambda word: word not in ENDS, shlex.split(found[1], comments=True))), whole


def problem(words: list[str], whole: bool) -> str | None:
    """Why the command line would refuse it. Placeholders stand for any value: none is looked at."""
    command = COMMAND
    while words and hasattr(command, "commands"):
        if words[0] not in command.commands:
            return None if words[0] == "--help" else f"there is no command {words[0]}"
        command = command.commands[words[0]]
        words = words[1:]
    if not isinstance(command, TyperCommand):
        return None
    try:
        given, rest, _ = command.make_parser(typer.Context(command)).parse_args(list(words))
    except Exception as error:  # the library's own, which has no public name
        return str(error)
    missing = [each.name for each in command.params if each.required and not given.get(each.name or "")]
    return f"too much: {rest}" if rest else f"missing: {missing}" if whole and missing else None


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_is_to_be_typed_exists(document: str) -> None:
    found = {" ".join(words): problem(words, whole) for words, whole in typed(DOCUMENTS[document])}
    assert not {command: why for command, why in found.items() if why}


def test_commands_are_found_and_mistakes_too() -> None:
    block = "```sh\nneurogloss label RUN \\\n  --units all   # all\nneurogloss show UNIT    one unit\n```\n"
    label, show, serve = typed(f"{block}`neurogloss\nserve`")
    assert label == (["label", "RUN", "--units", "all"], True) and problem(*label) is None
    assert show == (["show", "UNIT"], True) and problem(*show) is None
    assert serve == (["serve"], False) and problem(*serve) is None
    for mistake in ("lable", "label RUN --unit 3", "label", "label RUN RUN", "index mend", "search --like"):
        assert problem(mistake.split(), True), mistake
    assert sum(1 for text in DOCUMENTS.values() for _ in typed(text)) > 100


def known_options() -> set[str]:
    """The options of all commands, benchmarks and scripts."""
    waiting, found = [COMMAND], set()
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        found.update(option for each in command.params for option in (*each.opts, *each.secondary_opts))
    sources = (path for folder in ("benchmarks", "scripts") for path in (ROOT / folder).rglob("*.py"))
    return found | {option for path in sources for option in re.findall(r'"(--[a-z-]+)"', path.read_text("utf-8"))}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_options_in_prose_exist(document: str) -> None:
    spans = re.findall(r"`([^`]+)`", BLOCK.sub("", DOCUMENTS[document]))
    named = {
        word for span in spans if span.startswith("--") for word in re.findall(r"(?<![\w-])--[a-z][a-z-]+", span)
    }
    assert named <= known_options()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_is_named_is_there(document: str) -> None:
    """Files by their path from the root, and links from the document; capitals stand for a reader's own name."""
    text = DOCUMENTS[document]
    paths = [path for path in re.findall(rf"`((?:{FOLDERS})/[\w/.-]+)`", text) if not re.search("[A-Z]", path)]
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", BLOCK.sub("", text))
    named = {*(ROOT / path for path in paths), *((ROOT / document).parent / link for link in links)}
    generated = {ROOT / "docs/reference/cli.md"}
    assert {path.resolve() for path in named if not path.exists()} <= generated


def test_every_public_name_is_in_the_reference() -> None:
    """By itself, or with the whole of its module."""
    shown = set(re.findall(r"^::: neurogloss\.([\w.]+)$", DOCUMENTS["docs/reference/python.md"], re.MULTILINE))
    named = {name for name in ng.__all__ if not {name, ng._HOME[name]} & shown}
    assert named | {name for name in ng.results.__all__ if f"results.{name}" not in shown} == set()
    for name in shown:
        target = ng
        for part in name.split("."):
            target = getattr(target, part)
