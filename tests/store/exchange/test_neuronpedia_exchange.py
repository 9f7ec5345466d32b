"""Neuronpedia's batch folders: the layout that it documents, and its own client as a reader."""

from __future__ import annotations

import gzip
import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from neurogloss.errors import UserError
from neurogloss.ids import UnitId
from neurogloss.store.exchange import neuronpedia
from neurogloss.store.exchange.records import Entry

PEERS = Path(__file__).parents[3] / ".venv-peers" / "bin" / "python"
SOURCE = "subject/14-mlp-neurons"


def rows(path: Path) -> list[Any]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


@pytest.fixture
def folder(tmp_path: Path, entries: list[Entry]) -> Path:
    neuronpedia.write(tmp_path / "np", entries)
    return tmp_path / "np"


def test_each_side_of_a_dictionary_is_a_source(folder: Path) -> None:
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    about = [f"{name}.jsonl" for name in ("model", "release", "source", "sourceset")]
    batches = [f"{kind}/batch-0.jsonl.gz" for kind in ("activations", "explanations", "features")]
    sources = (f"{SOURCE}__negative", SOURCE)
    assert files == sorted(f"{source}/{name}" for source in sources for name in (*about, *batches))
    (source,) = (json.loads(line) for line in (folder / SOURCE / "source.jsonl").read_bytes().splitlines())
    assert (source["id"], source["modelId"], source["setName"]) == ("14-mlp-neurons", "subject", "mlp-neurons")


def test_a_unit_is_a_feature_with_contexts_and_an_explanation(folder: Path) -> None:
    named = {"modelId": "subject", "layer": "14-mlp-neurons", "index": "3"}
    feature, failed = rows(folder / SOURCE / "features" / "batch-0.jsonl.gz")
    assert failed["index"] == "5"
    told = {"maxActApprox": 3.25, "frac_nonzero": 0.05, "pos_str": [" day"], "neg_values": [-1.5]}
    assert feature.items() >= {**named, **told}.items()

    activations = [
        row for row in rows(folder / SOURCE / "activations" / "batch-0.jsonl.gz") if row["index"] == "3"
    ]
    # The second half's only context has the id of the first half's first one.
    assert [row["tokens"] for row in activations] == [["at", " noon"], ["at", " dusk"]]
    assert activations[0]["values"] == [0.0, 2.0]
    assert [activations[0][name] for name in ("maxValue", "maxValueTokenIndex", "minValue")] == [2.0, 1, 0.0]

    (explanation,) = rows(folder / SOURCE / "explanations" / "batch-0.jsonl.gz")
    assert explanation.items() >= {**named, "description": "parts of the\nday", "typeName": "m1"}.items()
    assert explanation["notes"] == (
        "org/subject/model.layers.14.mlp/neurons/3; accepted; detection auroc 0.800 (floor 0.500); "
        "fuzzing auroc 0.700 (floor 0.500)"
    )


def test_our_folders_read_back(folder: Path, entries: list[Entry]) -> None:
    reading = neuronpedia.read(folder)
    assert {row.unit: row.text for row in reading.found} == {
        entry.label.unit: entry.label.explanation.text for entry in entries if entry.label.explanation
    }
    assert {row.method for row in reading.found} == {"m1 pmi", "m1"}
    assert reading.found[1].source["frac_nonzero"] == 0.05
    assert len(reading.files) == 4
    contexts = [row for row in neuronpedia.read_activations(folder) if row[:2] == (SOURCE, 3)]
    assert contexts == [
        (SOURCE, 3, ["at", " noon"], [0.0, 2.0]),
        (SOURCE, 3, ["at", " dusk"], [0.0, 1.0]),
    ]


def test_units_go_in_batches(tmp_path: Path, entries: list[Entry], unit: Callable[..., UnitId]) -> None:
    label = entries[0].label
    many = [replace(entries[0], label=replace(label, unit=unit(i)), evidence=None) for i in range(130)]
    neuronpedia.write(tmp_path / "np", many)
    sizes = [len(rows(tmp_path / "np" / SOURCE / "features" / f"batch-{i}.jsonl.gz")) for i in (0, 1)]
    assert sizes == [128, 2]
    assert not (tmp_path / "np" / SOURCE / "activations").exists()
    neuronpedia.write(tmp_path / "again", many)
    first, second = (tmp_path / name / SOURCE / "features" / "batch-0.jsonl.gz" for name in ("np", "again"))
    assert first.read_bytes() == second.read_bytes()


def test_names_that_fall_together_are_refused(tmp_path: Path, entries: list[Entry]) -> None:
    other = replace(
        entries[0], label=replace(entries[0].label, unit=UnitId("a/subject", "x.14.mlp", "neurons", 1))
    )
    with pytest.raises(UserError, match="both 14-mlp-neurons there"):
        neuronpedia.write(tmp_path / "np", [entries[0], other])
    assert not (tmp_path / "np").exists()


THEIRS = {"modelId": "gemma-2-2b", "layer": "20-gemmascope-res-16k", "index": "204", "embedding": "[0.1]"}


def test_theirs_read_with_their_names(write_lines: Callable[..., Path], tmp_path: Path) -> None:
    first = {
        **THEIRS,
        "description": "time",
        "typeName": "oai_token-act-pair",
        "explanationModelName": "gpt-4o-mini",
    }
    write_lines(first, {**THEIRS, "description": ""}, name="20-x/explanations/batch-0.jsonl")
    write_lines({**THEIRS, "frac_nonzero": 0.01, "neg_str": []}, name="20-x/features/batch-0.jsonl")
    reading = neuronpedia.read(tmp_path)
    (row,) = reading.found
    assert (row.unit, row.place, row.index) == (None, "gemma-2-2b/20-gemmascope-res-16k", 204)
    assert (row.text, row.method) == ("time", "oai_token-act-pair gpt-4o-mini")
    assert reading.without_text == 1
    assert row.source["frac_nonzero"] == 0.01 and "embedding" not in row.source


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ({**THEIRS}, "description: Field required"),
        ({**THEIRS, "description": "x", "index": "all"}, "index: Input should be a valid integer"),
        ({**THEIRS, "description": "x", "index": -1}, "index: Input should be greater"),
    ],
)
def test_a_line_that_is_none_of_theirs_is_named(
    line: Any, found: str, write_lines: Callable[..., Path], tmp_path: Path
) -> None:
    path = write_lines({**THEIRS, "description": "x"}, line, name="explanations/batch-7.jsonl")
    with pytest.raises(UserError) as caught:
        neuronpedia.read(tmp_path)
    assert f"{path}, line 2" in str(caught.value) and found in str(caught.value)


def test_activations_need_a_value_a_token(write_lines: Callable[..., Path], tmp_path: Path) -> None:
    write_lines({**THEIRS, "tokens": ["a", "b"], "values": [1.0]}, name="activations/batch-0.jsonl")
    with pytest.raises(UserError, match="line 1: expected a value a token, found 1 for 2"):
        list(neuronpedia.read_activations(tmp_path))


def test_a_folder_without_explanations_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Expected explanations/batch-0.jsonl"):
        neuronpedia.read(tmp_path)


@pytest.mark.peers
def test_their_client_takes_our_rows(folder: Path) -> None:
    code = """
import gzip, json, pathlib, sys
from neuronpedia.np_activation import Activation
from neuronpedia.np_explanation import Explanation
for kind, read in (("activations", Activation), ("explanations", Explanation)):
    for file in sorted(pathlib.Path(sys.argv[1]).rglob(f"{kind}/*.gz")):
        for line in gzip.open(file):
            row = json.loads(line)
            # What exports call layer, the client calls source.
            print(read.from_np_db_json({**row, "source": row["layer"]}).index)
"""
    if subprocess.run([PEERS, "-c", "import neuronpedia"], capture_output=True).returncode:
        pytest.skip("neuronpedia is not in .venv-peers")
    read = subprocess.run([PEERS, "-c", code, folder], capture_output=True, text=True)
    assert read.returncode == 0, read.stderr
    assert sorted(read.stdout.split()) == ["3", "3", "3", "5", "5", "803", "803", "803"]
