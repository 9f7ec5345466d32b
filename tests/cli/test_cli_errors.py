"""What the user can mend is said on stderr with exit code 2: expected, found, what to do. Never a traceback."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import neurogloss as ng

if TYPE_CHECKING:
    from conftest import Ended, Invoke


def said(ended: Ended) -> str:
    """The error on one line, where it is one: nothing on stdout, and no traceback."""
    assert (ended.code, ended.out) == (2, "")
    assert "Traceback" not in ended.err
    return " ".join(ended.err.split())


# --- arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["labels"], "No such command 'labels'"),
        (["status", "runs/x", "--bogus"], "No such option: --bogus"),
        (["collect", "runs/x"], "expected the module whose neurons you mean (--hookpoint MODULE), found ()"),
        (["show"], "Missing argument 'UNIT'"),
        (["search", "x", "-k", "0"], "greater than or equal to 1"),
        (["label", "runs/x", "--candidates", "three"], "--candidates"),
    ],
)
def test_arguments_that_do_not_fit(invoke: Invoke, arguments: list[str], found: str) -> None:
    assert found in said(invoke(*arguments)).replace(" │ │ ", " ")


def test_no_arguments_show_the_help(invoke: Invoke) -> None:
    ended = invoke()
    assert ended.code == 2
    assert "Usage: neurogloss" in ended.out + ended.err


# --- runs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ["status"],
        ["label"],
        ["show", "0", "--run"],
        ["search", "x", "--run"],
        ["index", "check"],
        ["index", "rebuild"],
    ],
)
def test_no_run_there(invoke: Invoke, command: list[str], tmp_path: Path) -> None:
    error = said(invoke(*command, tmp_path / "none"))
    assert f"Expected a run folder at {tmp_path / 'none'}, found nothing" in error
    assert "neurogloss collect" in error
    assert not (tmp_path / "none").exists()


def test_no_run_to_compare_with(invoke: Invoke, small_run: Path, tmp_path: Path) -> None:
    assert "found nothing" in said(invoke("similar", small_run, tmp_path / "none"))


@pytest.mark.parametrize("command", [["show", "0", "--run"], ["search", "x", "--run"], ["index", "check"]])
def test_no_labels_yet(invoke: Invoke, command: list[str], run_copy: Path) -> None:
    (run_copy / "ledger.sqlite").unlink()
    error = said(invoke(*command, run_copy))
    assert f"Expected labels in {run_copy}, found none" in error
    assert f"neurogloss label {run_copy} --units" in error


def test_a_run_folder_that_is_a_file(invoke: Invoke, tmp_path: Path, tiny_subject_folder: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine", encoding="utf-8")
    error = said(invoke("collect", file, "--hookpoint", "model.layers.0", "--subject", tiny_subject_folder))
    assert f"Expected to read and write {file}, found: File exists" in error
    assert file.read_text(encoding="utf-8") == "mine"


def test_a_run_that_was_collected_with_other_settings(
    invoke: Invoke, run_copy: Path, tiny_subject_folder: Path
) -> None:
    error = said(invoke("collect", run_copy, "--hookpoint", "model.layers.0", "--subject", tiny_subject_folder))
    assert "was collected with other settings" in error and "tokens=12000" in error


# --- collect --------------------------------------------------------------------------------------


def collecting(run: Path, subject: Path, corpus: Path, hookpoint: str = "model.layers.0") -> list[object]:
    return ["collect", run, "--subject", subject, "--corpus", corpus, "--hookpoint", hookpoint]


def test_an_unknown_hookpoint_lists_the_nearest(invoke: Invoke, tiny_subject_folder: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("some words", encoding="utf-8")
    ended = invoke(*collecting(tmp_path / "run", tiny_subject_folder, corpus, "model.layers.0.mlp.down_prj"))
    assert "found 'model.layers.0.mlp.down_prj'. The nearest are: model.layers.0.mlp.down_proj," in said(ended)


def test_an_unknown_subject(invoke: Invoke, tmp_path: Path) -> None:
    error = said(invoke(*collecting(tmp_path / "run", tmp_path / "no-model", tmp_path)))
    assert f"found '{tmp_path / 'no-model'}', which is no folder" in error


@pytest.mark.parametrize(
    ("name", "data", "found"),
    [
        ("missing.txt", None, "found nothing there"),
        ("latin.txt", "Zürich".encode("latin-1"), "Expected UTF-8"),
        ("broken.jsonl", b'{"text": "fine"}\n{"txt": 1}\n', "line 2"),
        ("broken.jsonl.gz", b"no gzip", "whole gzip file"),
        ("table.csv", b"a,b", "Expected files of .txt"),
        ("empty.txt", b"", "found none with any text"),
        ("blank.jsonl", b'{"text": "  "}\n', "found none with any text"),
    ],
)
def test_a_corpus_that_cannot_be_read(
    invoke: Invoke, tiny_subject_folder: Path, tmp_path: Path, name: str, data: bytes | None, found: str
) -> None:
    corpus = tmp_path / name
    if data is not None:
        corpus.write_bytes(data)
    error = said(invoke(*collecting(tmp_path / "run", tiny_subject_folder, corpus)))
    assert found in error and name in error


# --- label ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--units", "48"], "Expected an index from 0 to 47 at model.layers.0.mlp.down_proj.input, found 48."),
        (["--units", "first"], "Expected units such as all, sample:24, 0-99 or 512-; found 'first'."),
        (["--units", "sample:0"], "Expected sample:N"),
        (["--scorers", "detection,guessing"], "Expected a scorer (detection, detection-hard"),
        (["--explainer", "magic"], "Expected an explainer (default, llm, contrastive"),
        (["--questions", "1"], "questions: expected a number greater than or equal to 4, found"),
        (["--explainer", "llm"], "Expected an LLM for the explainer llm, found none. Give one with --llm"),
        (["--llm", "scripted:none.jsonl"], "Expected a script of rules"),
        (["--llm", "ftp://example.org"], "Expected a URL such as http://127.0.0.1:8000, or scripted:FILE"),
    ],
)
def test_settings_of_label_that_do_not_fit(
    invoke: Invoke, small_run: Path, options: list[str], found: str
) -> None:
    before = (small_run / "ledger.sqlite").read_bytes()
    assert found in said(invoke("label", small_run, *options))
    assert (small_run / "ledger.sqlite").read_bytes() == before


def test_no_server_at_that_address(invoke: Invoke, small_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.0)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        error = said(invoke("label", small_run, "--units", "0", "--llm", url))
    assert f"Expected an OpenAI-compatible server at {url}/v1, found none" in error
    assert "Start it, or correct its address." in error


def test_another_process_is_writing(invoke: Invoke, run_copy: Path) -> None:
    with ng.open_run(run_copy).folder.writing():
        assert f"Another process is writing to {run_copy}" in said(invoke("label", run_copy))


# --- show, similar, run ---------------------------------------------------------------------------


def test_a_unit_that_is_not_there(invoke: Invoke, small_run: Path, small_labels: list[ng.Label]) -> None:
    error = said(invoke("show", "99999", "--run", small_run))
    assert error == "neurogloss: Expected one unit that ends in /99999; found none. Give the full id."
    free = next(u for u in ng.open_run(small_run).cache.units() if u not in {label.unit for label in small_labels})
    assert f"{free} has no label in {small_run}" in said(invoke("show", free, "--run", small_run))


def test_a_hookpoint_without_explanations(invoke: Invoke, small_run: Path, hookpoints: list[str]) -> None:
    error = said(invoke("similar", small_run, small_run, "--hookpoint-a", "model.layers.7"))
    known = ", ".join(f"{hookpoint}/neurons" for hookpoint in hookpoints)
    assert f"Expected explanations at model.layers.7/any dictionary; {small_run} has {known}." in error
    error = said(invoke("similar", small_run, small_run, "--dictionary-b", "sae"))
    assert f"Expected explanations at any hookpoint/sae; {small_run} has {known}." in error


def test_a_ledger_that_is_none(invoke: Invoke, run_copy: Path) -> None:
    for path in run_copy.glob("ledger.sqlite*"):
        path.unlink()
    (run_copy / "ledger.sqlite").write_text("no database", encoding="utf-8")
    assert f"Expected a neurogloss ledger at {run_copy / 'ledger.sqlite'}" in said(invoke("status", run_copy))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, "Expected a TOML file at"),
        ("run = ", "is not valid TOML"),
        ("[collect]\n", "run: expected a value, found none"),
        ('run = "x"\n[colect]\n', "colect: no such setting. Did you mean collect?"),
        (
            'run = "x"\ncollect = 3\n',
            "collect: expected a valid dictionary or instance of CollectSettings, found 3",
        ),
        (
            'run = "x"\n[collect]\n',
            "collect.hookpoints: expected the module whose neurons you mean (--hookpoint MODULE), found ()",
        ),
        ('run = "x"\n[collect]\nhookpoints = ["a"]\nsettings = 1\n', "collect.settings: no such setting."),
        (
            'run = "x"\n[collect]\nhookpoints = ["a"]\n[label]\nunit = "all"\n',
            "label.unit: no such setting. Did you mean units?",
        ),
    ],
)
def test_a_configuration_that_does_not_hold(
    invoke: Invoke,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str | None,
    found: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("mine.toml").write_text(text, encoding="utf-8")
    assert found in said(invoke("run", "mine.toml"))
    assert not Path("x").exists()


def test_an_engine_that_is_none_is_said_before_anything_is_written(invoke: Invoke, tmp_path: Path) -> None:
    config, run = tmp_path / "mine.toml", tmp_path / "run"
    config.write_text(f'run = "{run}"\n[collect]\nhookpoints = ["a"]\n', encoding="utf-8")
    for line in (["run", config], ["similar", tmp_path, tmp_path], ["similar", tmp_path, tmp_path, "--grid"]):
        assert "Expected --engine local, ray or ray:ADDRESS, found 'dask'" in said(
            invoke(*line, "--engine", "dask")
        )
    assert not run.exists()


@pytest.mark.parametrize("override", ["label.units", "units=all", "label.=3", "store.path=x"])
def test_an_override_that_cannot_be_read(invoke: Invoke, config: Path, override: str) -> None:
    assert "Expected --set collect.NAME=VALUE or label.NAME=VALUE" in said(
        invoke("run", config, "--set", override)
    )


def test_an_override_that_is_no_toml(invoke: Invoke, config: Path) -> None:
    assert "Expected a value in TOML in --set collect.hookpoints=[a" in said(
        invoke("run", config, "--set", "collect.hookpoints=[a")
    )


def test_an_error_shows_no_control_characters(
    invoke: Invoke, run_copy: Path, tmp_path: Path, write_script: Callable[..., str]
) -> None:
    error = said(invoke("score", run_copy, "--method", "\x1b[2Jpmi"))
    assert "\x1b" not in error and "␛[2Jpmi" in error
