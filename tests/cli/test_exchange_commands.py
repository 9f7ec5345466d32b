"""export, import and diff, on a run that is there."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import neurogloss as ng
from neurogloss.store.exchange.columns import NAMES
from neurogloss.store.ledger import Ledger

if TYPE_CHECKING:
    from conftest import Ended, Invoke


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def said(ended: Ended) -> str:
    assert (ended.code, ended.out) == (2, "")
    return " ".join(ended.err.split())


def labels(run: Path, method: str) -> list[ng.Label]:
    return list(ng.open_run(run).labels(method=method))


@pytest.fixture
def exported(invoke: Invoke, small_run: Path, tmp_path: Path) -> Path:
    path = tmp_path / "labels.jsonl"
    assert invoke("export", small_run, path, "--format", "jsonl").out == f"5 labels in {path}\n"
    return path


# --- export ---------------------------------------------------------------------------------------


def test_export_says_what_it_wrote(
    invoke: Invoke, small_run: Path, small_labels: list[ng.Label], exported: Path, tmp_path: Path
) -> None:
    rows = lines(exported)
    assert [row["unit"] for row in rows] == [str(label.unit) for label in small_labels]
    assert tuple(rows[0]) == NAMES
    assert [row["scores"][0]["scorer"] for row in rows] == [label.scores[0].scorer for label in small_labels]
    assert rows[0]["statistics"]["n_contexts"] == ng.open_run(small_run).cache.manifest["counts"]["contexts"]

    ended = invoke("export", small_run, tmp_path / "np", "--format", "neuronpedia", "--json")
    assert ended.rows == [{"out": str(tmp_path / "np"), "format": "neuronpedia", "labels": 5}]
    contexts = [
        row
        for file in (tmp_path / "np").rglob("activations/batch-0.jsonl.gz")
        for row in map(json.loads, gzip.decompress(file.read_bytes()).splitlines())
    ]
    label = small_labels[0]
    top = ng.open_run(small_run).evidence(label.unit).explain.top[0]
    (shown,) = (
        row for row in contexts if row["dataIndex"] == top.context.id and row["index"] == str(label.unit.index)
    )
    assert (shown["tokens"], shown["values"]) == (list(top.context.tokens), list(top.activations))


def test_export_of_one_place(
    invoke: Invoke, small_run: Path, small_labels: list[ng.Label], hookpoints: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "one.jsonl"
    assert invoke("export", small_run, out, "--format", "jsonl", "--hookpoint", hookpoints[1]).code == 0
    assert [row["unit"] for row in lines(out)] == [
        str(label.unit) for label in small_labels if label.unit.hookpoint == hookpoints[1]
    ]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--format", "csv"], "(jsonl, parquet, dataset, neuronpedia, circuit-tracer), found 'csv'"),
        (["--format", "delphi"], "Expected a format that can be written"),
        (["--format", "jsonl", "--method", "nobody"], "found nobody"),
        (["--format", "jsonl", "--hookpoint", "nowhere"], "to export, found none there"),
        ([], "Missing option '--format'"),
    ],
)
def test_export_that_cannot_be(
    options: list[str], found: str, invoke: Invoke, small_run: Path, tmp_path: Path
) -> None:
    assert found in said(invoke("export", small_run, tmp_path / "out", *options)).replace(" │ │ ", " ")
    assert not (tmp_path / "out").exists()


# --- import ---------------------------------------------------------------------------------------


def test_import_beside_what_is_there(
    invoke: Invoke, run_copy: Path, small_labels: list[ng.Label], exported: Path
) -> None:
    ended = invoke("import", run_copy, exported, "--format", "jsonl")
    assert ended.code == 0, ended.err
    method = ended.out.partition(":")[0]
    assert ended.out == (f"{method}: 5 explanations\nMake them searchable:  neurogloss index rebuild {run_copy}\n")
    mine = labels(run_copy, small_labels[0].method)
    assert mine == small_labels
    imported = labels(run_copy, method)
    assert [(label.unit, label.state) for label in imported] == [
        (label.unit, ng.State.EXPLAINED) for label in small_labels
    ]
    told = [label.explanation for label in imported]
    assert [e.text for e in told if e] == [label.explanation.text for label in small_labels if label.explanation]
    assert told[0] is not None
    assert told[0].provenance["where"] == "labels.jsonl, line 1"
    assert told[0].provenance["source"]["scores"] == lines(exported)[0]["scores"]
    assert "was imported already" in said(invoke("import", run_copy, exported, "--format", "jsonl"))


def test_import_of_units_that_the_run_has_not(invoke: Invoke, run_copy: Path, exported: Path) -> None:
    with Ledger(run_copy / "ledger.sqlite") as ledger:
        before = ledger.dump()
    rows = lines(exported)
    place = rows[1]["unit"].rpartition("/")[0]
    for unit, found in ((f"{place}/99999", "Expected an index"), ("a/b/c/1", "Expected a unit of")):
        text = "".join(f"{json.dumps(row)}\n" for row in (rows[0], {"unit": unit, "text": "cats"}))
        exported.write_text(text, encoding="utf-8")
        error = said(invoke("import", run_copy, exported, "--format", "jsonl"))
        assert error.startswith(f"neurogloss: {exported}, line 2: {found}")
        assert error.endswith("Nothing was imported.")
    with Ledger(run_copy / "ledger.sqlite") as ledger:
        assert ledger.dump() == before


def test_import_without_a_run(invoke: Invoke, tmp_path: Path) -> None:
    results = tmp_path / "results" / "explanations"
    results.mkdir(parents=True)
    (results / "layers.5_latent17.txt").write_text('"names of rivers"', encoding="utf-8")
    (results / "layers.5_latent18.txt").write_text('"Explanation could not be parsed."', encoding="utf-8")
    run = tmp_path / "new"
    place = "layers.5=org/subject/model.layers.5/sae"
    assert "--at layers.5=" in said(invoke("import", run, results.parent, "--format", "delphi"))
    assert not (run / "ledger.sqlite").exists()
    assert "Expected SUBJECT" in said(invoke("import", run, results.parent, "--format", "delphi", "--at", "sae"))
    ended = invoke("import", run, results.parent, "--format", "delphi", "--at", place)
    assert "1 units have none in" in ended.out
    (label,) = ng.open_run(run).labels()
    assert str(label.unit) == "org/subject/model.layers.5/sae/17"
    assert invoke("index", "rebuild", run).code == 0
    (hit,) = invoke("search", "rivers", "--run", run, "--json").rows
    assert hit["label"]["explanation"]["text"] == "names of rivers"
    # What came in goes out again, too.
    assert invoke("export", run, tmp_path / "np", "--format", "neuronpedia").code == 0
    assert "Expected collected contexts" in said(
        invoke("export", run, tmp_path / "c", "--format", "circuit-tracer")
    )


def test_import_into_a_folder_of_something_else(invoke: Invoke, tmp_path: Path, exported: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").touch()
    assert "Expected a run folder at" in said(invoke("import", tmp_path / "photos", exported, "--format", "jsonl"))
    assert "found: No such file" in said(
        invoke("import", tmp_path / "r", tmp_path / "no.jsonl", "--format", "jsonl")
    )
    assert not (tmp_path / "r").exists()


# --- diff -----------------------------------------------------------------------------------------


def test_diff_of_a_run_and_what_became_of_it(
    invoke: Invoke, small_run: Path, small_labels: list[ng.Label], exported: Path, tmp_path: Path
) -> None:
    rows = lines(exported)[1:]
    rows[0]["text"] = "cats [and] dogs"
    exported.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    other = tmp_path / "other"
    assert invoke("import", other, exported, "--format", "jsonl").code == 0
    shown = invoke("diff", small_run, other)
    assert (shown.code, shown.err) == (0, "")
    # Imported labels wait for their scores: the state of each has changed.
    assert shown.out.endswith(f"4 changed, 0 the same; 1 only in {small_run}, 0 only in {other}\n")
    assert "cats [and] dogs" in shown.out and "rejected" in shown.out
    (row,) = invoke("diff", small_run, other, "--json").rows
    assert row["only_a"] == [str(small_labels[0].unit)]
    assert [change["text"] for change in row["changes"]] == [True, False, False, False]
    assert row["changes"][0]["b"]["explanation"]["text"] == "cats [and] dogs"


def test_diff_of_two_methods_of_one_run(
    invoke: Invoke, run_copy: Path, small_labels: list[ng.Label], exported: Path
) -> None:
    assert "twice. Name two of its methods" in said(invoke("diff", run_copy, run_copy))
    (imported,) = invoke("import", run_copy, exported, "--format", "jsonl", "--json").rows
    (method,) = imported["methods"]
    methods = ["--method-a", small_labels[0].method, "--method-b", method]
    shown = invoke("diff", run_copy, run_copy, *methods)
    assert shown.out.endswith("5 changed, 0 the same; 0 only in " + f"{run_copy}, 0 only in {run_copy}\n")
    same = invoke("diff", run_copy, run_copy, "--method-a", method, "--method-b", small_labels[0].method, "--json")
    assert same.rows[0]["unchanged"] == 0
