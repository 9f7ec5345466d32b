"""The examples run as they are, each as a process of its own, and print what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import neurogloss as ng
from neurogloss.cli import demo
from neurogloss.settings import CollectSettings, LabelSettings, read_config

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPT = f"scripted:{EXAMPLES / 'scripted_llm.jsonl'}"
SCORE = r"\d\.\d\d"


def run_example(name: str, *arguments: object) -> str:
    """What it prints."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *map(str, arguments)], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def quickstart(tiny_subject_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The run that the quickstart made of a small random model, and what it printed."""
    run = tmp_path_factory.mktemp("examples") / "run"
    options = [
        "--subject",
        tiny_subject_folder,
        "--hookpoint",
        "model.layers.1.mlp.down_proj.input",
        "--llm",
        SCRIPT,
    ]
    # The small model's tokenizer needs short contexts; 30,000 tokens activate its neurons often enough.
    return run, run_example("quickstart.py", "--run", run, "--tokens", 30_000, "--chars", 64, *options)


def test_quickstart(quickstart: tuple[Path, str]) -> None:
    run, printed = quickstart
    opened = ng.open_run(run)
    assert f"{opened.cache.manifest['counts']['contexts']} contexts read" in printed
    labels = list(opened.labels())
    assert len(labels) == 3
    for label in labels:
        assert label.explanation is not None and label.explanation.text.startswith("the words ")
        assert f": {label.explanation.text}\n" in printed
    assert len(re.findall(rf"    (?:detection|fuzzing) {SCORE}, floor {SCORE}", printed)) == 6
    found = printed.partition("nearest to 'how people speak':\n")[2].splitlines()
    assert len(found) == 2 and all(re.fullmatch(rf"    -?{SCORE} the words .*", line) for line in found)


def test_own_scorer(quickstart: tuple[Path, str]) -> None:
    run, _ = quickstart
    printed = run_example("own_scorer.py", run, "--units", "sample:2", "--llm", SCRIPT)
    lines = printed.splitlines()
    assert len(lines) == 2
    scores = rf":  detection {SCORE} \(floor {SCORE}\), strongest-tenth {SCORE} \(floor {SCORE}\)$"
    assert all(re.search(scores, line) for line in lines)
    label = next(ng.open_run(run).labels())
    assert label.explanation is not None
    outcomes = ng.open_run(run).outcomes(label.explanation, "strongest-tenth")
    assert {(outcome.question.stratum, outcome.question.truth) for outcome in outcomes} == {
        ("strong", True),
        ("silent", False),
    }


@pytest.mark.parametrize("llm", [[], ["--llm", SCRIPT]])
def test_own_source(llm: list[str]) -> None:
    printed = run_example("own_source.py", *llm)
    assert printed.startswith("toy/colours/detector/0 is accepted\n")
    (explanation,) = re.findall(r"^explanation: (.*)$", printed, re.MULTILINE)
    assert {"red", "green", "blue", "yellow"} & set(re.findall(r"\w+", explanation))
    (own, floor), *_ = re.findall(rf"^detection: ({SCORE}), floor ({SCORE})$", printed, re.MULTILINE)
    assert float(own) > float(floor)


@pytest.mark.parametrize(
    "name, llm",
    [("in_pandas.py", []), ("in_datasets.py", ["--llm", SCRIPT]), ("in_langchain.py", ["--llm", SCRIPT])],
)
def test_a_step_of_another_pipeline_labels_both_units(name: str, llm: list[str]) -> None:
    printed = run_example(name, *llm)
    units = re.findall(r"^toy/(colours|sizes)/detector/0\b.*\b(red|large)\b.*", printed, re.MULTILINE)
    assert units == [("colours", "red"), ("sizes", "large")]
    assert "accepted" in printed


def test_a_node_of_another_graph_tells_what_it_does() -> None:
    *nodes, report = run_example("in_langgraph.py", "--llm", SCRIPT).splitlines()
    assert nodes == ["measure", "label: accepted", "report"]
    assert "red" in report and re.search(rf"\(detection {SCORE}, floor {SCORE}\)$", report)


def test_the_steps_of_the_document_run_as_written() -> None:
    document = (EXAMPLES.parent / "docs" / "pipelines.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", document, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 5
    told = '\nassert label.state == labels.state[0] == labelled[0]["state"] == mapped[0]["state"] == "accepted"\n'
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks) + told], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert set(re.findall(r"examples/\w+\.py", document)) == {
        f"examples/{p.name}" for p in EXAMPLES.glob("in_*.py")
    }


def test_the_configuration_is_the_demo() -> None:
    config = read_config(EXAMPLES / "demo.toml")
    assert Path(config.run) == demo.DEFAULT_RUN
    assert config.collect == CollectSettings(
        hookpoints=demo.HOOKPOINTS, dictionaries=demo.DICTIONARIES, tokens=demo.TOKENS
    )
    assert config.label == LabelSettings(units=demo.UNITS)


@pytest.mark.parametrize(
    "path", sorted(path for path in EXAMPLES.iterdir() if path.is_file()), ids=lambda p: p.name
)
def test_each_example_opens_with_its_command(path: Path) -> None:
    opening = "".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:8])
    assert re.search(r"^(# )?    (python|neurogloss) ", opening, re.MULTILINE)
    assert f"examples/{path.name}" in opening
