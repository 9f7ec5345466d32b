"""What labelling costs and how a label was come by, as the commands tell it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import neurogloss as ng
from neurogloss.records import Facet
from neurogloss.store.ledger import Ledger

if TYPE_CHECKING:
    from conftest import Invoke


def test_a_dry_run_says_what_it_would_cost_and_writes_nothing(
    invoke: Invoke, run_copy: Path, tmp_path: Path, write_script: Callable[..., str]
) -> None:
    llm = write_script(tmp_path / "other.jsonl")
    before = (run_copy / "ledger.sqlite").stat().st_mtime_ns
    flags = ["label", run_copy, "--units", "0,5-", "--llm", llm, "--scorers", "detection", "--dry-run"]
    ended = invoke(*flags, "--prompt-price", "1000000")
    assert ended.code == 0, ended.err
    assert ended.out.startswith("4 units to label, estimated from 4: ")
    assert "prompt tokens" in ended.out and "costs" in ended.out
    (planned,) = invoke(*flags, "--json").rows
    assert planned["units"] == 4 and planned["usage"]["requests"] > 4 and planned["seconds"] > 0
    assert (run_copy / "ledger.sqlite").stat().st_mtime_ns == before


def test_explanations_are_scored_by_a_further_scorer_and_not_again(
    invoke: Invoke, run_copy: Path, tmp_path: Path
) -> None:
    script = tmp_path / "answers.jsonl"
    script.write_text(json.dumps({"match": "Texts:", "reply": {"answers": [True, False, True, True, False]}}))
    flags = ["score", run_copy, "--llm", f"scripted:{script}", "--scorers", "detection-hard"]
    (summary,) = invoke(*flags, "--questions", 20, "--json").rows
    labels = ng.open_run(run_copy).labels()
    found = [[score.scorer for score in label.scores] for label in labels if label.explanation]
    assert found and all("detection-hard" in names for names in found)
    assert summary["usage"]["requests"] > 0
    assert invoke(*flags, "--questions", 20, "--json").rows[0]["usage"]["requests"] == 0
    refused = invoke("score", run_copy, *flags[2:], "--stop", "soon")
    assert refused.code == 2 and "stop" in refused.err


def test_status_tells_what_models_were_asked(invoke: Invoke, small_run: Path) -> None:
    (told,) = invoke("status", small_run, "--json").rows
    ((method, usage),) = told["usage"].items()
    assert set(usage) == {"explain", "score"} and usage["score"]["requests"] > 0
    out = invoke("status", small_run).out
    assert f"explain: {usage['explain']['requests']:,} requests" in out and method in out


def test_a_trace_is_every_step_with_what_was_asked_and_answered(
    invoke: Invoke, small_run: Path, small_labels: list[ng.Label]
) -> None:
    label = small_labels[0]
    assert label.explanation is not None
    steps = invoke("show", label.unit, "--run", small_run, "--trace", "--json").rows
    assert [step["node"] for step in steps][:3] == ["gather", "explain", "screen"]
    assert steps[1]["calls"][0]["messages"][0][0] == "system"
    out = invoke("show", label.unit, "--run", small_run, "--trace").out
    assert "1. gather" in out and "2. explain" in out and f"chosen: {label.explanation.text}" in out
    assert out.count("You explain what one unit") == 1, "instructions that repeat are shown once"


def test_without_a_trace_the_command_says_why(
    invoke: Invoke, run_copy: Path, tmp_path: Path, write_script: Callable[..., str]
) -> None:
    llm = write_script(tmp_path / "other.jsonl")
    flags = ["--units", "0", "--llm", llm, "--scorers", "detection", "--effort", "low", "--no-trace"]
    assert invoke("label", run_copy, *flags).code == 0
    unit = next(ng.open_run(run_copy).labels()).unit
    ended = invoke("show", unit, "--run", run_copy, "--trace")
    assert ended.code == 2 and "--no-trace" in ended.err


def test_facets_are_shown_with_their_shares(invoke: Invoke, run_copy: Path, small_labels: list[ng.Label]) -> None:
    label = small_labels[0]
    assert label.explanation is not None
    facets = (Facet("days", 0.5), Facet("cities", 0.25))
    with Ledger(run_copy / "ledger.sqlite") as ledger:
        ledger.record_explained(replace(label.explanation, facets=facets), [])
    out = invoke("show", label.unit, "--run", run_copy).out
    assert "50%  days" in out and "25%  cities" in out and "25%  not explained" in out
