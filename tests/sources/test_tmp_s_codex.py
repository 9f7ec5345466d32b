"""Code that lies beside a model is not run, whatever its configuration asks for and whoever sits at the terminal."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from neurogloss.errors import UserError
from neurogloss.sources import loading


@pytest.mark.parametrize(
    "asked",
    [
        {"model_type": "mine", "auto_map": {"AutoConfig": "code.Mine"}},
        {"model_type": "mine", "auto_map": {"AutoConfig": "code.Mine", "AutoModelForCausalLM": "code.Mine"}},
    ],
)
def test_a_model_that_brings_code_is_refused(
    tiny_subject_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, object]
) -> None:
    folder, ran = Path(shutil.copytree(tiny_subject_folder, tmp_path / "model")), tmp_path / "ran"
    (folder / "code.py").write_text(f"open({str(ran)!r}, 'w')\nclass Mine: pass\n", encoding="utf-8")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, **asked}), encoding="utf-8")
    asked_at_the_terminal: list[str] = []
    monkeypatch.setattr(loading, "LOCAL", {"local_files_only": True})
    monkeypatch.setattr("builtins.input", lambda prompt="": asked_at_the_terminal.append(prompt) or "y")
    with pytest.raises(UserError, match="holds no language model that loads"):
        loading.read(folder, None)
    assert not ran.exists() and not asked_at_the_terminal
