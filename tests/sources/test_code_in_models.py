"""Code that lies beside a model is not run, whatever its configuration asks for and the user would answer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from neurogloss.errors import UserError
from neurogloss.sources import loading
from neurogloss.sources.vision import loading as vision


@pytest.mark.parametrize(
    "read", [lambda folder: loading.read(folder, None), lambda folder: vision.load(str(folder))]
)
def test_a_model_that_brings_code_is_refused(
    tiny_subject_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], object]
) -> None:
    folder, ran = Path(shutil.copytree(tiny_subject_folder, tmp_path / "model")), tmp_path / "ran"
    (folder / "code.py").write_text(f"open({str(ran)!r}, 'w')\nclass Mine: pass\n", encoding="utf-8")
    asked = {"model_type": "mine", "auto_map": {"AutoConfig": "code.Mine", "AutoModel": "code.Mine"}}
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, **asked}), encoding="utf-8")
    questions: list[str] = []
    monkeypatch.setattr("builtins.input", lambda prompt="": questions.append(prompt) or "y")
    with pytest.raises(UserError, match="holds no (language|image) model that loads"):
        read(folder)
    assert not ran.exists() and not questions
