"""circuit-tracer's feature files, with its own model of one as a reader."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from neurogloss.errors import UserError
from neurogloss.ids import UnitId
from neurogloss.store.exchange import circuit_tracer
from neurogloss.store.exchange.records import Entry

PEERS = Path(__file__).parents[3] / ".venv-peers" / "bin" / "python"


@pytest.fixture
def positive(entries: list[Entry]) -> list[Entry]:
    return [entries[0], entries[2]]


def test_cantor_pairing_counts_diagonals() -> None:
    assert [circuit_tracer.paired(*pair) for pair in ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2))] == [
        *range(6)
    ]


def test_a_unit_is_a_file_under_its_number(tmp_path: Path, positive: list[Entry]) -> None:
    circuit_tracer.write(tmp_path / "ct", positive)
    # Layer 14, units 3 and 5: 17 * 18 / 2 + 3 and 19 * 20 / 2 + 5.
    assert sorted(path.name for path in (tmp_path / "ct" / "features").iterdir()) == ["156.json", "195.json"]
    feature = json.loads((tmp_path / "ct" / "features" / "156.json").read_bytes())
    top, uniform = feature["examples_quantiles"]
    assert (top["quantile_name"], uniform["quantile_name"]) == ("Top activations", "Uniform sample")
    assert top["examples"] == [
        {
            "tokens_acts_list": [0.0, 2.0],
            "train_token_ind": 1,
            "is_repeated_datapoint": False,
            "tokens": ["at", " noon"],
        }
    ]
    assert feature["quantile_values"] == [1.0, 1.25, 1.5, 1.75, 2.0]
    assert [feature[name] for name in ("index", "act_max", "activation_frequency")] == [3, 3.25, 0.05]
    assert (feature["top_logits"], feature["bottom_logits"]) == ([" day"], [" cat"])
    labels = json.loads((tmp_path / "ct" / "labels.json").read_text(encoding="utf-8"))
    assert labels == {"14_3": "parts of the\nday"}


def test_labels_fill_a_graph() -> None:
    feature = {"feature_type": "cross layer transcoder", "clerp": ""}
    error = {"node_id": "0_14_2", "feature_type": "mlp reconstruction error", "clerp": ""}
    nodes = [{**feature, "node_id": "14_3_7"}, {**feature, "node_id": "14_3_8", "clerp": "mine"}, error]
    filled = circuit_tracer.fill({"qParams": {}, "nodes": nodes}, {"14_3": "day", "0_14": "not for errors"})
    assert [node["clerp"] for node in filled["nodes"]] == ["day", "mine", ""]
    assert nodes[0]["clerp"] == ""


def test_what_it_cannot_hold_is_refused(tmp_path: Path, entries: list[Entry], unit: Callable[..., UnitId]) -> None:
    def at(place: UnitId) -> Entry:
        return replace(entries[0], label=replace(entries[0].label, unit=place))

    for bad, found in (
        ([entries[1]], "one side"),
        ([at(UnitId("s", "embed", "sae", 1))], "a layer's transcoder"),
        ([entries[0], at(unit(1, hookpoint="model.layers.14"))], "one dictionary a layer"),
        ([replace(entries[0], evidence=None)], "Expected collected contexts of"),
    ):
        with pytest.raises(UserError, match=found):
            circuit_tracer.write(tmp_path / "ct", bad)
        assert not (tmp_path / "ct").exists()


@pytest.mark.peers
def test_their_model_takes_our_files(tmp_path: Path, positive: list[Entry]) -> None:
    circuit_tracer.write(tmp_path / "ct", positive)
    code = """
import importlib.util, pathlib, sys
# Their package imports a transformer library that one file does not need.
found = importlib.util.find_spec("circuit_tracer").submodule_search_locations[0]
spec = importlib.util.spec_from_file_location("models", f"{found}/frontend/feature_models.py")
models = importlib.util.module_from_spec(spec)
spec.loader.exec_module(models)
for file in sorted(pathlib.Path(sys.argv[1]).glob("*.json")):
    print(models.Model.model_validate_json(file.read_bytes()).index)
"""
    if not PEERS.exists():
        pytest.skip("no .venv-peers")
    read = subprocess.run([PEERS, "-c", code, tmp_path / "ct" / "features"], capture_output=True, text=True)
    assert read.returncode == 0, read.stderr
    assert read.stdout.split() == ["3", "5"]
