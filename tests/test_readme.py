"""Every command of the README runs as written."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from neurogloss.sources.corpus import read_documents
from neurogloss.sources.loading import packaged_folder
from neurogloss.sources.vision.shipped import shapes

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = re.findall(r"^```sh\n(.*?)^```", README, re.M | re.S)
PYTHON = re.findall(r"^```python\n(.*?)^```", README, re.M | re.S)


def commands() -> list[str]:
    """The shell lines of the README, continued lines joined, comments taken off."""
    lines = "\n".join(SHELL).replace("\\\n", " ").splitlines()
    return [line for line in (re.sub(r"\s#.*", "", line).strip() for line in lines) if line]


def runnable() -> list[str]:
    """Those that need nothing but this machine: not make's, and no server."""
    return [line for line in commands() if not re.search(r"^make |127\.0\.0\.1|llm serve", line)]


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    named = {word for line in commands() if line.startswith("make ") for word in line.split()[1:]}
    assert named and named <= targets


def served(command: list[str], folder: Path, environment: dict[str, str]) -> bytes:
    """The list of runs of a service that is started, asked and interrupted."""
    process = subprocess.Popen(
        [*command, "--json"], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        url = json.loads(process.stdout.readline())["url"]
        with urllib.request.urlopen(f"{url}/api/runs") as answer:
            return bytes(answer.read())
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


@pytest.mark.model
@pytest.mark.readme
@pytest.mark.timeout(2400)
def test_commands_run_as_written(tmp_path: Path) -> None:
    """On a small demo run, and with small things under the names that the README uses."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "120"}

    def run(command: list[str]) -> None:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"

    run(["neurogloss", "demo", "--tokens", "9000", "--units", "sample:6"])
    for name in ("examples", "scripts"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "my-model").symlink_to(packaged_folder())
    (tmp_path / "my-sae").symlink_to(ROOT / "sources" / "data" / "sae" / "seed-0")
    (tmp_path / "my-texts").mkdir()
    for i, document in enumerate(islice(read_documents("demo"), 100)):
        (tmp_path / "my-texts" / f"{i}.txt").write_text(document.text, encoding="utf-8")
    (tmp_path / "my-classifier").symlink_to(ROOT / "sources" / "data" / "vision" / "shapes-cnn")
    for name, read, _ in shapes(200):
        path = tmp_path / "my-images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(read())
    texts = [" ".join(document.text.split()[:12]) for document in islice(read_documents("demo"), 200)]
    rows = "".join('{},"{}"\n'.format(i, text.replace('"', "'")) for i, text in enumerate(texts))
    (tmp_path / "stimuli.csv").write_text(f"id,text\n{rows}", encoding="utf-8")
    np.save(tmp_path / "betas.npy", np.random.default_rng(0).normal(size=(len(texts), 8)))
    assert len(runnable()) >= 8
    for command in runnable():
        if command.startswith("neurogloss serve "):
            assert json.loads(served(shlex.split(command), tmp_path, environment))
        else:
            run(shlex.split(command))
    for code in PYTHON:
        run([sys.executable, "-c", code])
