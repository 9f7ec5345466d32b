"""neurogloss search and neurogloss index, as they are typed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

import neurogloss as ng

Invoke = Callable[..., Any]
QUESTION = "words about people"


@pytest.mark.parametrize("by", ["dense", "lexical", "hybrid"])
def test_ways_to_search(invoke: Invoke, small_run: Path, small_labels: list[ng.Label], by: str) -> None:
    explained = [label for label in small_labels if label.explanation]
    words = explained[0].explanation.text
    rows = invoke("search", words, "--run", small_run, "--by", by, "--json").rows
    assert rows[0]["label"]["explanation"]["text"] == words
    assert (rows[0]["similarity"] is None) == (by == "lexical")
    assert by == "lexical" or rows[0]["similarity"] == pytest.approx(1, abs=1e-3)
    assert sum(row["same"] for row in rows) <= len(explained)


def test_several_runs_by_similarity(
    invoke: Invoke, small_run: Path, small_labels: list[ng.Label], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    copytree(small_run, other)
    rows = invoke("search", QUESTION, "--run", small_run, "--run", other, "-k", 4, "--json").rows
    near = [row["similarity"] for row in rows]
    assert len(rows) == 4 and near == sorted(near, reverse=True)
    units = [row["label"]["unit"] for row in rows]
    assert units[0] == units[1] and units[2] == units[3]  # each once from either
    for wrong in (["--by", "lexical"], ["--kind", "contexts"], ["--open"]):
        assert invoke("search", QUESTION, "--run", small_run, "--run", other, *wrong).code == 2


def test_filters(invoke: Invoke, small_run: Path, small_labels: list[ng.Label], hookpoints: list[str]) -> None:
    rows = invoke("search", QUESTION, "--run", small_run, "--where", "layer == 1 and density < 0.9", "--json").rows
    assert rows and {row["label"]["unit"].split("/")[-3] for row in rows} == {hookpoints[1]}
    assert invoke("search", QUESTION, "--run", small_run, "--where", "layer > 5").out.endswith("fits\n")
    wrong = invoke("search", QUESTION, "--run", small_run, "--where", "layr > 5")
    assert wrong.code == 2 and "nearest are layer" in wrong.err and wrong.out == ""


def test_like_a_unit(invoke: Invoke, small_run: Path, small_labels: list[ng.Label]) -> None:
    unit = str(next(label.unit for label in small_labels if label.explanation))
    rows = invoke("search", "--like", unit, "--run", small_run, "--json").rows
    assert rows and unit not in {row["label"]["unit"] for row in rows}
    assert "“like" in invoke("search", "--like", unit, "--run", small_run).out


def test_by_activation(invoke: Invoke, small_run: Path) -> None:
    text = "The king and the queen went home."
    rows = invoke("search", "--by-activation", text, "--run", small_run, "-k", 4, "--json").rows
    assert len(rows) == 4 and [row["share"] for row in rows] == sorted(
        (row["share"] for row in rows), reverse=True
    )
    run = ng.open_run(small_run)
    for row in rows:
        statistics = run.cache.statistics(ng.UnitId.parse(row["unit"]))
        peak = max(row["example"]["activations"])
        assert peak > statistics.threshold and row["share"] == pytest.approx(peak / statistics.maximum)
    assert "of max" in invoke("search", "--by-activation", text, "--run", small_run).out
    where = ["--where", "layer == 0", "-k", 100]
    labelled = invoke("search", "--by-activation", text, "--run", small_run, *where, "--json").rows
    assert all(".layers.0." in row["unit"] and row["label"] for row in labelled)


@pytest.mark.parametrize("arguments", [[], ["words", "--like", "3"], ["--like", "3", "--by-activation", "x"]])
def test_one_thing_to_search_by(invoke: Invoke, small_run: Path, arguments: list[str]) -> None:
    ended = invoke("search", *arguments, "--run", small_run)
    assert ended.code == 2 and "Expected one thing to search by" in ended.err


def test_a_server_that_is_not_there(invoke: Invoke, run_copy: Path) -> None:
    for url, found in (("http://127.0.0.1:9", "Expected a Chroma server"), ("nowhere", "Expected the URL")):
        ended = invoke("index", "rebuild", run_copy, "--server", url)
        assert ended.code == 2 and found in ended.err
    assert invoke("index", "rebuild", run_copy).code == 0
    assert invoke("index", "check", run_copy).out == "index and ledger agree\n"


def test_contexts(invoke: Invoke, run_copy: Path) -> None:
    refused = invoke("search", "people", "--kind", "contexts", "--run", run_copy)
    assert refused.code == 2 and f"neurogloss index contexts {run_copy}" in refused.err
    indexed = invoke("index", "contexts", run_copy, "--json").rows
    run = ng.open_run(run_copy)
    halves = {
        half: {f"{digest:016x}" for digest in run.cache.hashes(half).tolist()} for half in ("explain", "score")
    }
    assert indexed == [{"added": sum(map(len, halves.values()))}]
    assert invoke("index", "contexts", run_copy).out == "0 contexts indexed\n"
    wanted = run.cache.context(int(min(halves["score"]), 16))
    rows = invoke("search", wanted.text, "--kind", "contexts", "--run", run_copy, "--json").rows
    assert rows[0]["text"] == wanted.text and rows[0]["similarity"] == pytest.approx(1, abs=1e-3)
    where = ["--where", 'half == "explain"', "-k", 5, "--by", "dense"]
    rows = invoke("search", wanted.text, "--kind", "contexts", "--run", run_copy, "--json", *where).rows
    assert len(rows) == 5 and {row["id"] for row in rows} <= halves["explain"]
    assert "explain" in invoke("search", wanted.text, "--kind", "contexts", "--run", run_copy, *where).out
    alone = invoke("search", "--like", "3", "--kind", "contexts", "--run", run_copy)
    assert alone.code == 2 and "Contexts are searched by QUERY" in alone.err
    assert invoke("index", "rebuild", run_copy).code == 0
    assert invoke("index", "contexts", run_copy).out == "0 contexts indexed\n", "they outlive the other index"


def test_open_shows_the_best_on_the_page_of_the_run(
    invoke: Invoke, run_copy: Path, small_labels: list[ng.Label], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: not shown.append(url))
    search = ["search", QUESTION, "--run", run_copy, "-k", 1]
    unit = invoke(*search, "--json").rows[0]["label"]["unit"]

    missing = invoke(*search, "--open")
    assert missing.code == 2 and f"Make it with:  neurogloss report {run_copy}" in missing.err
    page = run_copy / "report.html"
    page.write_text("other units", encoding="utf-8")
    lacking = invoke(*search, "--open")
    assert lacking.code == 2 and f"neurogloss show {unit} --run" in lacking.err and shown == []

    page.write_text(f"<h3>{unit}</h3>", encoding="utf-8")
    assert invoke(*search, "--open", "--json").rows[0]["label"]["unit"] == unit
    assert shown == [f"{page.resolve().as_uri()}#{unit}"]
    monkeypatch.setattr("webbrowser.open", lambda url: False)
    assert f"the page is {page.resolve().as_uri()}#{unit}" in invoke(*search, "--open").err


def test_an_embedder_that_is_none(invoke: Invoke, small_run: Path, tmp_path: Path) -> None:
    for command in (
        ["search", "x", "--run", small_run],
        ["similar", small_run, small_run],
        ["index", "check", small_run],
    ):
        ended = invoke(*command, "--embedder", tmp_path)
        assert ended.code == 2 and "Expected a sentence-transformers folder" in ended.err and ended.out == ""
