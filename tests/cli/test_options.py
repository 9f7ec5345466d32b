"""Commands have an option for every setting, and errors name the option that was typed."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

from neurogloss.cli.app import app
from neurogloss.cli.options import chosen, said
from neurogloss.presentation import EXPLAINING, flag, shown
from neurogloss.settings import CollectSettings, ImageSettings, LabelSettings, ResponseSettings, Settings

if TYPE_CHECKING:
    from conftest import Invoke

COMMANDS: Any = typer.main.get_command(app).commands  # type: ignore[attr-defined]
TAKEN = [
    ("collect", CollectSettings),
    ("collect-images", ImageSettings),
    ("collect-responses", ResponseSettings),
    ("label", LabelSettings),
]


def options(command: str) -> dict[str, Any]:
    return {option: each for each in COMMANDS[command].params for option in each.opts}


@pytest.mark.parametrize(("command", "kind"), TAKEN)
def test_every_setting_has_an_option_with_its_group_and_help(command: str, kind: type[Settings]) -> None:
    found = options(command)
    for name, field in kind.model_fields.items():
        option = found[flag(kind, name)]
        assert (option.rich_help_panel, option.help) == (shown(field).group, field.description), name


def test_score_takes_all_settings_but_those_of_explaining() -> None:
    taken = {each.name for each in COMMANDS["score"].params} - {"run", "method", "engine", "json"}
    assert taken == {n for n, f in LabelSettings.model_fields.items() if shown(f).group != EXPLAINING.group}


@pytest.mark.parametrize(("command", "kind"), TAKEN)
def test_defaults_are_those_of_the_settings(command: str, kind: type[Settings]) -> None:
    given = {each.name: each.default for each in COMMANDS[command].params if each.name in kind.model_fields}
    assert said(kind, given) == {}


def test_options_become_settings() -> None:
    given = {"scorers": ["detection, fuzzing", "output"], "trace": False, "questions": "1_000", "kl": "0.5"}
    assert chosen(LabelSettings, given) == LabelSettings(
        scorers=("detection", "fuzzing", "output"), trace=False, questions=1000, kl=0.5
    )
    collected = chosen(CollectSettings, {"hookpoints": ["a", "b,c"], "dictionaries": ["x,y", "z", "w"]})
    assert (collected.hookpoints, collected.dictionaries) == (("a", "b", "c"), ("x,y", "z", "w"))


def test_all_wrong_options_are_named_as_they_were_typed(invoke: Invoke, tmp_path: Path) -> None:
    ended = invoke(
        "collect", tmp_path / "run", "--hookpoint", "a", "--dtype", "int", "--tokens", "many", "--top", 0
    )
    assert (ended.code, ended.out) == (2, "") and not (tmp_path / "run").exists()
    assert ended.err.splitlines() == [
        "neurogloss: Wrong settings:",
        "  --top: expected a number greater than or equal to 1, found '0'",
        "  --dtype: expected 'auto', 'float32', 'bfloat16' or 'float16', found 'int'",
        "  --tokens: expected a valid integer, unable to parse string as an integer, found 'many'",
        "Correct them, or leave them out to use the defaults.",
    ]


def test_help_shows_groups_defaults_and_choices(invoke: Invoke) -> None:
    told = invoke("label", "-h").out
    assert told == invoke("label", "--help").out
    for words in (
        "─ What to label ─",
        "─ Judging and scoring ─",
        "[default: 100]",
        "low|medium|high",
        "--no-trace",
    ):
        assert words in told


def test_choices_are_completed() -> None:
    completed = options("label")["--judge"].shell_complete(typer.Context(COMMANDS["label"]), "li")
    assert [each.value for each in completed] == ["likelihood"]


def test_the_version(invoke: Invoke) -> None:
    assert invoke("--version").out == f"neurogloss {version('neurogloss')}\n"
