"""The command as a process: without torch, interrupted, on a terminal that knows no Unicode."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import neurogloss as ng

# Runs the commands one after another; torch and transformers cannot be found, as if they were not installed.
WITHOUT_TORCH = """
import json, sys
from importlib.machinery import PathFinder
find_spec, absent = PathFinder.find_spec, {"torch", "transformers"}
PathFinder.find_spec = classmethod(
    lambda cls, name, *rest: None if name.partition(".")[0] in absent else find_spec(name, *rest)
)
from neurogloss.cli.app import run
for arguments in json.loads(sys.argv[1]):
    code = run(arguments)
    for stream in (sys.stdout, sys.stderr):
        print(f"exit {code}", file=stream, flush=True)
"""


def without_torch(*commands: list[str]) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of each command."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, json.dumps(commands)], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    outs, errs = (stream.split("exit ") for stream in (done.stdout, done.stderr))
    codes = [int(part.partition("\n")[0]) for part in outs[1:]]
    texts = [[part.partition("\n")[2] if i else part for i, part in enumerate(parts)] for parts in (outs, errs)]
    return list(zip(codes, texts[0], texts[1], strict=False))


def test_the_base_install_does_all_but_run_the_subject(
    run_copy: Path,
    small_labels: list[ng.Label],
    tmp_path: Path,
    tiny_subject_folder: Path,
    write_script: Callable[..., str],
) -> None:
    run, unit = str(run_copy), str(small_labels[0].unit)
    label = ["label", run, "--units", "7", "--llm", write_script(tmp_path / "script.jsonl")]
    works = [
        ["status", run, "--labels"],
        ["show", unit, "--run", run],
        ["search", "a word", "--run", run],
        ["similar", run, run],
        ["index", "check", run],
        ["index", "rebuild", run],
        [*label, "--scorers", "detection,fuzzing"],
        ["doctor", "--json"],
    ]
    fails = [
        ["collect", str(tmp_path / "new"), "--hookpoint", "x", "--subject", str(tiny_subject_folder)],
        [*label, "--scorers", "intervention"],
    ]
    ended = without_torch(*works, *fails)
    assert [code for code, _, _ in ended] == [0] * len(works) + [2] * len(fails), ended
    found = {row["what"].partition(":")[0]: row for row in map(json.loads, ended[7][1].splitlines())}
    assert (found["torch"]["ok"], found["torch"]["next"]) == (False, "pip install 'neurogloss[subject]'")
    for _, out, err in ended[len(works) :]:
        assert out == ""
        assert "torch is not installed, and this step needs it. Install it with:  pip install" in err
        assert "Traceback" not in err


def test_ctrl_c_ends_with_130_and_the_next_run_goes_on(
    run_copy: Path, tmp_path: Path, write_script: Callable[..., str]
) -> None:
    script = tmp_path / "slow.jsonl"
    command = [sys.executable, "-m", "neurogloss", "label", str(run_copy), "--units", "7,8", "--concurrency", "1"]
    command += ["--effort", "low", "--scorers", "detection", "--questions", "4"]
    # The first explanation comes, the second keeps the run waiting.
    llm = write_script(
        script,
        {"match": "Passages:", "reply": {"explanation": "a word"}, "times": 1},
        {"match": "Passages:", "reply": {"explanation": "never"}, "delay_s": 600},
    )
    process = subprocess.Popen([*command, "--llm", llm], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith("explaining: "):
            break
    wait_for_explained(run_copy, 1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (lines, err)
    assert out == ""
    assert "Interrupted. What was finished is kept; the same command goes on from there." in err
    assert "Traceback" not in err

    write_script(script)
    again = subprocess.run([*command, "--llm", llm, "--json"], capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    assert "explaining: 1 of 4 units" in again.stderr
    assert sum(json.loads(again.stdout)["states"].values()) == 4


def wait_for_explained(run: Path, n: int) -> None:
    """Until the newest method has n explanations; the process is given a minute."""
    import time

    for _ in range(600):
        labels = list(ng.open_run(run).labels(states={ng.State.EXPLAINED}))
        if len(labels) >= n:
            return
        time.sleep(0.1)
    raise AssertionError("nothing was explained")


def test_a_terminal_without_unicode_gets_substitutes(small_run: Path, small_labels: list[ng.Label]) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-m", "neurogloss", "show", str(small_labels[0].unit), "--run", str(small_run)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii() and "explained from:" in done.stdout


def test_a_reader_that_stops_reading_ends_it_quietly(small_run: Path) -> None:
    command = f"{sys.executable} -m neurogloss status {small_run} --labels --json | head -c 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("{", "")
