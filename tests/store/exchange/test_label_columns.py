"""JSON lines, Parquet and data sets: the same columns, out and in again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from neurogloss.errors import UserError
from neurogloss.records import Facet, Side, State
from neurogloss.store.exchange import columns, dataset, tables
from neurogloss.store.exchange.formats import FORMATS
from neurogloss.store.exchange.records import Entry

UNIT = "org/subject/model.layers.14.mlp/neurons/3"
FILES = ["labels.jsonl", "labels.jsonl.gz", "labels.parquet"]


def module(name: str) -> Any:
    return FORMATS["parquet" if name.endswith("parquet") else "jsonl"]


def test_a_label_is_one_row_with_everything(entries: list[Entry]) -> None:
    row = columns.row(entries[0])
    assert tuple(row) == columns.NAMES
    assert row["version"] == 1
    assert [row[name] for name in ("unit", "subject", "hookpoint", "layer", "dictionary", "index", "sign")] == [
        *(UNIT, "org/subject", "model.layers.14.mlp", 14, "neurons", 3, 1)
    ]
    assert [row[name] for name in ("text", "side", "state", "validation")] == [
        *("parts of the\nday", "mixed", "accepted", 0.75)
    ]
    assert row["facets"] == [{"text": "dawn", "share": 0.5}, {"text": "dusk | night", "share": 0.25}]
    detection = row["scores"][0]
    assert [detection[name] for name in ("scorer", "judge", "metric", "floor", "floor_low", "floor_high")] == [
        *("detection", "similarity", "auroc", 0.5, 0.4, 0.6)
    ]
    # Undefined is null.
    assert detection["metrics"] == [{"name": "auprc", "value": 0.7}, {"name": "mcc", "value": None}]
    assert detection["failures"] == [{"name": "refusal", "count": 1}]
    assert row["statistics"]["density"] == 10 / 200
    assert json.loads(row["provenance"]) == {"explainer": "pmi"}
    assert json.loads(row["settings"]) == entries[0].settings


def test_a_failure_is_a_row_without_text(entries: list[Entry]) -> None:
    row = columns.row(entries[2])
    assert [row[name] for name in ("text", "side", "state", "reason")] == [None, None, "refusal", "it declined"]
    assert (row["facets"], row["scores"], row["validation"]) == ([], [], None)


@pytest.mark.parametrize("name", FILES)
def test_what_is_written_reads_back(name: str, tmp_path: Path, entries: list[Entry]) -> None:
    path = tmp_path / "new" / name
    module(name).write(path, iter(entries))
    reading = module(name).read(path)
    assert (reading.files, reading.without_text) == ((path,), 1)
    assert [row.unit for row in reading.found] == [entry.label.unit for entry in entries[:2]]
    first, second = reading.found
    assert (first.text, first.method, first.side) == ("parts of the\nday", "m1", Side.MIXED)
    assert first.facets == (Facet("dawn", 0.5), Facet("dusk | night", 0.25))
    # Its own scores go along, and what the unit's name says does not.
    assert first.source["scores"] == columns.row(entries[0])["scores"]
    assert set(first.source) == {"state", "reason", "scores", "validation", "provenance"}
    assert second.side is Side.INPUT
    assert path.name in first.where and first.where.endswith(" 1")


@pytest.mark.parametrize("name", FILES)
def test_the_same_labels_are_the_same_bytes(name: str, tmp_path: Path, entries: list[Entry]) -> None:
    for folder in ("a", "b"):
        module(name).write(tmp_path / folder / name, entries)
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("name", [*FILES, "dataset"])
def test_nothing_is_overwritten_and_nothing_half_written(name: str, tmp_path: Path, entries: list[Entry]) -> None:
    write = dataset.write if name == "dataset" else module(name).write
    path = tmp_path / name

    def broken() -> Iterator[Entry]:
        yield entries[0]
        raise RuntimeError("the ledger went away")

    with pytest.raises(RuntimeError):
        write(path, broken())
    assert list(tmp_path.iterdir()) == []
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match=f"Expected nothing at {path}"):
        write(path, entries)
    assert path.read_text(encoding="utf-8") == "mine"


def test_unit_and_text_are_enough(write_lines: Callable[..., Path]) -> None:
    path = write_lines({"unit": UNIT, "text": "cats"}, "", {"unit": f"{UNIT}-", "text": "dogs", "rating": 4})
    first, second = tables.read_jsonl(path).found
    assert (str(first.unit), first.text, first.side, first.facets) == (UNIT, "cats", Side.INPUT, ())
    assert (second.where, second.source) == (f"{path}, line 3", {"rating": 4})


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ({"text": "cats"}, "unit: Field required"),
        ({"unit": UNIT}, "text: Field required"),
        ({"unit": UNIT, "text": 7}, "text: Input should be a valid string"),
        ({"unit": UNIT, "text": " \n"}, "a text, found an empty one"),
        ({"unit": "803", "text": "cats"}, "expected subject/hookpoint/dictionary/index, found '803'"),
        ({"unit": UNIT, "text": "cats", "side": "left"}, "side: Input should be 'input', 'output'"),
        ({"unit": UNIT, "text": "cats", "facets": [{"text": "a", "share": 1.5}]}, "facets.0.share"),
        ({"unit": UNIT, "text": "cats", "version": 2}, "has version 2 of the columns"),
        ([UNIT, "cats"], "list instead of an object"),
        ('{"unit": ', "Expecting value"),
        ("[" * 100_000, "recursion"),
        ('{"unit": 1' + "0" * 5000 + "}", "Exceeds the limit"),
    ],
)
def test_a_line_that_is_no_label_is_named(line: Any, found: str, write_lines: Callable[..., Path]) -> None:
    path = write_lines({"unit": UNIT, "text": "cats"}, line)
    with pytest.raises(UserError) as caught:
        tables.read_jsonl(path)
    assert f"{path}, line 2" in str(caught.value) and found in str(caught.value)


def test_a_file_cut_short_is_refused(tmp_path: Path, entries: list[Entry]) -> None:
    for name in FILES[1:]:
        module(name).write(tmp_path / name, entries)
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(UserError, match=f"Expected a whole .* {tmp_path / name}"):
            module(name).read(tmp_path / name)
    (tmp_path / "latin.jsonl").write_bytes(b'{"unit": "\xe9"}\n')
    with pytest.raises(UserError, match=r"latin.jsonl, line 1.*utf-8"):
        tables.read_jsonl(tmp_path / "latin.jsonl")


def test_parquet_without_the_columns_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"unit": [UNIT], "label": ["cats"]}), tmp_path / "other.parquet")
    with pytest.raises(UserError, match="found unit, label. Add text"):
        tables.read_parquet(tmp_path / "other.parquet")
    pq.write_table(pa.table({"unit": [UNIT] * 2, "text": ["cats", ""]}), tmp_path / "empty.parquet")
    with pytest.raises(UserError, match="empty.parquet, row 2: expected a text"):
        tables.read_parquet(tmp_path / "empty.parquet")


def test_parquet_has_the_documented_schema(tmp_path: Path, entries: list[Entry]) -> None:
    tables.write_parquet(tmp_path / "labels.parquet", entries)
    schema = pq.read_schema(tmp_path / "labels.parquet")
    assert tuple(schema.names) == columns.NAMES
    assert schema.metadata[b"neurogloss_labels"] == b"1"
    assert pq.read_table(tmp_path / "labels.parquet").to_pylist() == [columns.row(entry) for entry in entries]


def test_a_data_set_loads_with_its_library(
    tmp_path: Path, entries: list[Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    dataset.write(tmp_path / "labels", entries)
    loaded = datasets.load_dataset(str(tmp_path / "labels"), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.to_list() == [columns.row(entry) for entry in entries]


def test_the_card_says_what_is_in_it(tmp_path: Path, entries: list[Entry]) -> None:
    second = replace(entries[1], label=replace(entries[1].label, state=State.ACCEPTED))
    dataset.write(tmp_path / "my labels", [entries[0], second, entries[2]])
    card = (tmp_path / "my labels" / "README.md").read_text(encoding="utf-8")
    assert card.startswith('---\npretty_name: "my labels"\n')
    assert "| org/subject/model.layers.14.mlp/neurons | 3 |" in card
    assert "| accepted | 2 |\n| refusal | 1 |" in card
    assert "| detection | auroc | similarity | 1 | 0.800 | 0.500 |" in card
    assert '"name": "pmi"' in card
