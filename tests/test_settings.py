from __future__ import annotations

from pathlib import Path

import pytest

from neurogloss.errors import UserError
from neurogloss.settings import CollectSettings, LabelSettings, make, read_config


def test_defaults_are_enough_but_for_the_hookpoints() -> None:
    assert make(LabelSettings, {}) == LabelSettings()
    settings = make(CollectSettings, {"hookpoints": ["model.layers.0"]})
    assert settings.hookpoints == ("model.layers.0",)
    assert settings.corpus == "demo"


def test_every_wrong_setting_is_named_with_what_was_found() -> None:
    with pytest.raises(UserError) as caught:
        make(CollectSettings, {"hookpoints": [], "tokens": 0, "top": "many", "contex_chars": 64})
    message = str(caught.value)
    for line in ("hookpoints: ", "tokens: ", "top: ", "contex_chars: "):
        assert f"\n  {line}" in message
    assert "greater than or equal to 1, found 0" in message
    assert "found 'many'" in message
    assert "Known are: subject, dictionaries, hookpoints, " in message


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


def test_every_setting_says_what_it_means() -> None:
    for kind in (CollectSettings, LabelSettings):
        assert [name for name, field in kind.model_fields.items() if not field.description] == []


def config(folder: Path, text: str | bytes) -> Path:
    path = folder / "run.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_config_has_two_tables(tmp_path: Path) -> None:
    path = config(tmp_path, 'run = "runs/a"\n[collect]\nhookpoints = ["h"]\n[label]\nunits = "0-3"\n')
    assert read_config(path) == (Path("runs/a"), {"collect": {"hookpoints": ["h"]}, "label": {"units": "0-3"}})
    assert read_config(config(tmp_path, 'run = "runs/a"\n')) == (Path("runs/a"), {"collect": {}, "label": {}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run = ", "not valid TOML"),
        (b'run = "\xff"', "not valid TOML"),
        ("[collect]\n", "found no run"),
        ("run = 3\n", "needs `run = "),
        ('run = "a"\n[colect]\n', "found colect"),
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
