"""What the compose file would start is what the commands are: their options, and vLLM's flags."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer
import yaml

from neurogloss.cli.app import app
from neurogloss.engines.serving import Build, Serving

FILE = Path(__file__).resolve().parents[1] / "examples" / "cluster" / "compose.yaml"
SERVICES: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))["services"]


def options(command: list[str]) -> dict[str, str]:
    """Those with two dashes, a flag's value empty."""
    return dict(word.partition("=")[::2] for word in command if word.startswith("--"))


def test_the_llm_gets_the_flags_of_llm_serve() -> None:
    words = Serving("Qwen/Qwen3-8B", "explainer").command(Build("python", "0.30", cpu=False))
    after = words[words.index("--served-model-name") :]
    ours = {
        word: value if not value.startswith("--") else ""
        for word, value in zip(after, [*after[1:], "--"], strict=True)
        if word.startswith("--")
    }
    theirs = options(SERVICES["llm"]["command"])
    assert theirs.pop("--model") == "Qwen/Qwen3-8B"
    shared = "--structured-outputs-config"
    assert json.loads(theirs.pop(shared)) == json.loads(ours.pop(shared))
    # Where it listens is the image's own choice, and the rest vLLM's default.
    left = ours.keys() - theirs.keys()
    assert left == {"--host", "--port", "--dtype", "--gpu-memory-utilization"}
    assert theirs.items() <= ours.items()


def test_the_service_gets_options_that_it_has() -> None:
    verb, run, *rest = SERVICES["neurogloss"]["command"]
    command = typer.main.get_command(app).commands[verb]  # type: ignore[attr-defined]
    given = [word.partition("=") for word in rest]
    arguments = [part for name, _, value in given for part in (name, value)]
    parsed = command.make_context(verb, [run, *arguments], resilient_parsing=True).params
    assert parsed["host"] == "0.0.0.0" and parsed["token_file"] == Path("/run/secrets/token")
    assert options(rest)["--llm"] == f"http://llm:{Serving('', '').port}"
    assert options(rest)["--model"] == options(SERVICES["llm"]["command"])["--served-model-name"]


def test_what_depends_is_there() -> None:
    assert set(SERVICES["neurogloss"]["depends_on"]) <= set(SERVICES)
    assert (FILE.parent / "Dockerfile").is_file()
