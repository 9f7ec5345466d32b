"""A small run: neurons of a random model, collected from the shipped corpus and labelled by a script."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import neurogloss as ng
from neurogloss.cli.app import run
from neurogloss.engines.embedder import MiniLM

HOOKPOINTS = ["model.layers.0.mlp.down_proj.input", "model.layers.1.mlp.down_proj.input"]
RULES = ({"match": "Passages:", "marks": 3}, {"match": "exts:|Pairs:", "words": "explanation"})


@dataclass(frozen=True)
class Ended:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[Any]:
        """Stdout as JSON, a value a line; fails where there is anything else."""
        return [json.loads(line) for line in self.out.splitlines()]


Invoke = Callable[..., Ended]


@pytest.fixture(scope="session")
def minilm() -> Iterator[None]:
    """The embedding model, read from disk once for all commands of the session."""
    shared = MiniLM()
    with pytest.MonkeyPatch.context() as patch:
        for module in ("runs.run", "runs.collect", "agent.models"):
            patch.setattr(f"neurogloss.{module}.MiniLM", lambda: shared)
        yield


@pytest.fixture
def invoke(minilm: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Run a command in this process, on a terminal of 80 columns without colours."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NEUROGLOSS_RUN", raising=False)

    def call(*arguments: object) -> Ended:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def write_script() -> Callable[..., str]:
    """Write rules for a scripted model to a file; returns what `--llm` takes."""

    def write(path: Path, *rules: dict[str, Any]) -> str:
        path.write_text("".join(f"{json.dumps(rule)}\n" for rule in rules or RULES), encoding="utf-8")
        return f"scripted:{path}"

    return write


@pytest.fixture(scope="session")
def config(
    tiny_subject_folder: Path, tmp_path_factory: pytest.TempPathFactory, write_script: Callable[..., str]
) -> Path:
    """A TOML file for `neurogloss run`, which collects and labels five units within seconds."""
    folder = tmp_path_factory.mktemp("cli")
    path = folder / "small.toml"
    # The tokenizer of the small model has little more than bytes: contexts are cut short, to fit 48 tokens.
    path.write_text(
        f"""run = {json.dumps(str(folder / "small"))}

[collect]
subject = {json.dumps(str(tiny_subject_folder))}
hookpoints = {json.dumps(HOOKPOINTS)}
tokens = 12_000
context_chars = 64
active_quantile = 0.8

[label]
units = "sample:5"
llm = {json.dumps(write_script(folder / "script.jsonl"))}
min_active = 5
questions = 20
""",
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="session")
def small_run(config: Path, minilm: None) -> Path:
    """The run that the file describes. Tests that write use `run_copy`."""
    assert run(["run", str(config)]) == 0
    return config.parent / "small"


@pytest.fixture
def run_copy(small_run: Path, tmp_path: Path) -> Path:
    """A run of the test's own."""
    return Path(shutil.copytree(small_run, tmp_path / "copy"))


@pytest.fixture(scope="session")
def small_labels(small_run: Path) -> list[ng.Label]:
    """The labels of the small run."""
    return list(ng.open_run(small_run).labels())


@pytest.fixture(scope="session")
def hookpoints() -> list[str]:
    """Those of the small run."""
    return HOOKPOINTS
