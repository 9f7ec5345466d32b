"""The benchmark of the service, small: every question is answered, and its run is a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import neurogloss as ng
from benchmarks import service
from benchmarks.store import METHOD
from neurogloss.records import State

LABELS = 40


def test_it_asks_everything_of_a_run_that_it_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(service, "visits", lambda url: iter(()))
    run = tmp_path / "run"
    code = service.main(["--labels", str(LABELS), "--requests", "3", "--run", str(run), "--json"])
    found = {row["what"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    kinds = service.questions("run", 2, LABELS)
    assert len(found) == 3 * len(kinds) + 1 and all(row["figure"] > 0 for row in found.values())
    for kind in kinds:
        assert found[f"{kind}: p95, ms"]["figure"] >= found[f"{kind}: p50, ms"]["figure"]
    goals = [row["met"] for row in found.values() if row["goal"]]
    assert len(goals) == 4 and code == int(not all(goals))
    opened = ng.open_run(run)
    assert opened.status() == {METHOD: {State.ACCEPTED: LABELS}}
    assert all([score.scorer for score in label.scores] == ["detection", "fuzzing"] for label in opened.labels())


def test_a_question_is_typed_letter_by_letter() -> None:
    asked = [query["q"] for _, query in service.questions("run", 30, LABELS)["search, letter by letter"]]
    assert len(asked[0]) == 1
    for before, after in zip(asked, asked[1:], strict=False):
        assert after[:-1] == before or len(after) == 1
