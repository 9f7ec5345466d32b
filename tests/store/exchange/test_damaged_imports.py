"""Files of other tools that are damaged or lie: refused in words, with nothing imported, or read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from damage import damage, fuzzed
from hypothesis import strategies as st

import neurogloss as ng
from neurogloss.errors import UserError
from neurogloss.store.exchange import neuronpedia, tables
from neurogloss.store.exchange.records import Entry

DELPHI: dict[str, Any] = {
    "run_config.json": {"explainer_model": "some/model"},
    "explanations/layers.1_latent7.txt": "days of the week",
    "scores/fuzz/layers.1_latent7.txt": [
        {"str_tokens": ["a"], "activating": True, "prediction": True, "probability": None}
    ],
}


def write(format: str, entries: list[Entry], folder: Path) -> str:
    """What is to be imported, from the folder on."""
    if format == "jsonl":
        tables.write_jsonl(folder / "labels.jsonl", iter(entries))
        return "labels.jsonl"
    if format == "parquet":
        tables.write_parquet(folder / "labels.parquet", iter(entries))
        return "labels.parquet"
    if format == "neuronpedia":
        neuronpedia.write(folder / "np", iter(entries))
        return "np"
    for name, value in DELPHI.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value), encoding="utf-8")
    return ""


@pytest.mark.parametrize("format", ["jsonl", "parquet", "neuronpedia", "delphi"])
@fuzzed(data=st.data())
def test_a_damaged_import_is_refused_or_read(
    format: str, data: st.DataObject, entries: list[Entry], tmp_path: Path
) -> None:
    whole, run = tmp_path / "whole", tmp_path / "run"
    shutil.rmtree(whole, ignore_errors=True)
    shutil.rmtree(run, ignore_errors=True)
    whole.mkdir()
    name = write(format, entries, whole)
    folder = damage(data, whole, tmp_path / "damaged")
    at = ["s/h/d"] if format == "delphi" else []
    try:
        found = ng.import_labels(run, folder / name, format, at=at)
    except (UserError, FileNotFoundError) as error:
        assert "\n" not in str(error)
        assert not (run / "ledger.sqlite").exists()
        return
    with ng.open_run(run).ledger() as ledger:
        assert len(list(ledger.labels())) == found.labels
