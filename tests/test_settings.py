from __future__ import annotations

import runpy
from pathlib import Path

import mypy.api
import pytest

import neurogloss as ng
from neurogloss.errors import UserError
from neurogloss.presentation import by_group, flag
from neurogloss.settings import (
    CollectSettings,
    ContextSettings,
    ImageSettings,
    LabelSettings,
    ResponseSettings,
    Settings,
    make,
    read_config,
)

ROOT = Path(__file__).resolve().parent.parent


def test_defaults_are_enough_but_for_the_hookpoints() -> None:
    assert make(LabelSettings, {}) == LabelSettings()
    settings = make(CollectSettings, {"hookpoints": ["model.layers.0"]})
    assert settings.hookpoints == ("model.layers.0",)
    assert settings.corpus == "demo"


def test_every_wrong_setting_is_named_with_what_was_found() -> None:
    with pytest.raises(UserError) as caught:
        make(CollectSettings, {"hookpoints": [], "tokens": 0, "top": "many", "contex_chars": 64})
    assert str(caught.value).splitlines() == [
        "Wrong settings:",
        "  hookpoints: expected the module whose neurons you mean (--hookpoint MODULE), found []",
        "  top: expected a valid integer, unable to parse string as an integer, found 'many'",
        "  tokens: expected a number greater than or equal to 1, found 0",
        "  contex_chars: no such setting. Did you mean context_chars or context_tokens?",
        "Correct them, or leave them out to use the defaults.",
    ]


def test_errors_name_what_the_user_typed() -> None:
    with pytest.raises(UserError) as caught:
        make(CollectSettings, {"hookpoints": [1], "dtype": "int"}, named=lambda name: flag(CollectSettings, name))
    assert "  --hookpoint.0: expected a valid string, found 1\n" in str(caught.value)
    assert "  --dtype: expected 'auto', 'float32', 'bfloat16' or 'float16', found 'int'\n" in str(caught.value)


def test_settings_by_name_override_those_of_the_object() -> None:
    given = LabelSettings(units="3", questions=20)
    assert make(LabelSettings, {"questions": 30}, given) == LabelSettings(units="3", questions=30)
    assert make(LabelSettings, {}, given) == given


def test_responses_that_another_run_predicts_have_another_hookpoint() -> None:
    given = {"subject": "s1", "stimuli": "table.csv"}
    assert make(ResponseSettings, given).hookpoints == ("measured",)
    assert make(ResponseSettings, {**given, "predicted_by": "runs/a"}).hookpoints == ("predicted",)


@pytest.mark.parametrize(
    ("name", "value"),
    [("effort", "guess"), ("judge", "coin"), ("alpha", 1.0), ("kl", 0), ("questions", 3)],
)
def test_values_out_of_range_are_refused(name: str, value: object) -> None:
    with pytest.raises(UserError, match=f"{name}: "):
        make(LabelSettings, {name: value})


def test_settings_do_not_change() -> None:
    settings = LabelSettings()
    with pytest.raises(ValueError, match="frozen"):
        settings.seed = 1  # type: ignore[misc]


def test_settings_survive_json() -> None:
    settings = LabelSettings(scorers=("detection",), llm="http://localhost:8000/v1")
    assert LabelSettings.model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize(
    "kind", [CollectSettings, ImageSettings, ResponseSettings, LabelSettings, ContextSettings]
)
def test_every_setting_says_what_it_means_and_has_a_group_and_a_flag_of_its_own(kind: type[Settings]) -> None:
    assert [name for name, field in kind.model_fields.items() if not field.description] == []
    assert len(by_group(kind)) == len({flag(kind, name) for name in kind.model_fields}) == len(kind.model_fields)


def test_what_is_generated_is_up_to_date() -> None:
    """Run scripts/write_settings.py if this fails."""
    script = runpy.run_path(str(ROOT / "scripts" / "write_settings.py"))
    assert script["KEYWORDS"].read_text("utf-8") == script["keywords"]()
    assert script["PAGE"].read_text("utf-8") == script["page"]()


def test_misspelt_and_mistyped_keywords_are_type_errors(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    lines = (
        'ng.label("runs/a", unitz="all")',
        'ng.collect("runs/a", hookpoints=3)',
        'ng.label("runs/a", judge="coin")',
        "ng.label_contexts([], [], min_actve=3)",
        'ng.label("runs/a", units="sample:4", scorers=["detection"])',
    )
    script.write_text("\n".join(("import neurogloss as ng", *lines)), encoding="utf-8")
    found, errors, _ = mypy.api.run(
        ["--config-file", str(ROOT / "pyproject.toml"), "--follow-imports=silent", "--no-pretty", str(script)]
    )
    assert errors == ""
    wrong = [
        (int(line.split(":")[1]), line.rpartition("[")[2]) for line in found.splitlines() if ": error:" in line
    ]
    assert wrong == [(2, "call-arg]"), (3, "arg-type]"), (4, "arg-type]"), (5, "call-arg]")], found


def test_a_misspelt_keyword_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match=r"min_actve: no such setting\. Did you mean min_active\?"):
        ng.label_contexts([], [], min_actve=3)  # type: ignore[call-arg]


def config(folder: Path, text: str | bytes) -> Path:
    path = folder / "run.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_config_has_two_tables(tmp_path: Path) -> None:
    path = config(tmp_path, 'run = "runs/a"\n[collect]\nhookpoints = ["h"]\n[label]\nunits = "0-3"\n')
    read = read_config(path, [("label", "questions", "8"), ("collect", "tokens", 5)])
    assert read.run == "runs/a"
    assert read.collect == CollectSettings(hookpoints=("h",), tokens=5)
    assert read.label == LabelSettings(units="0-3", questions=8)
    assert read_config(config(tmp_path, 'run = "a"\ncollect.dictionaries = ["x"]')).label == LabelSettings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run = ", "not valid TOML"),
        (b'run = "\xff"', "not valid TOML"),
        ("[collect]\n", "run: expected a value, found none"),
        ("run = 3\n", "run: expected a valid string, found 3"),
        ('run = "a"\n[colect]\n', r"colect: no such setting\. Did you mean collect\?"),
        (
            'run = "a"\ncollect = 3\n',
            "collect: expected a valid dictionary or instance of CollectSettings, found 3",
        ),
        ('run = "a"\n[label]\nunit = "all"\n', r"label\.unit: no such setting\. Did you mean units"),
    ],
)
def test_what_is_no_config_is_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = config(tmp_path, text)
    with pytest.raises(UserError, match=message) as caught:
        read_config(path)
    assert str(path) in str(caught.value)


def test_a_missing_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Expected a TOML file at .*none\.toml, found nothing"):
        read_config(tmp_path / "none.toml")
