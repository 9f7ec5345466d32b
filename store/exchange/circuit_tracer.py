"""Feature files for the attribution graphs of circuit-tracer.

    features/N.json   one unit: its contexts, output tokens and histogram; N is Cantor's pairing of layer and index
    labels.json       the explanation of each, by `LAYER_INDEX` as in the ids of a graph's nodes

A graph shows the first with `"scan": "./features"`. Its nodes have room for a label, `clerp`: `fill` puts those of
the second there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from neurogloss.errors import UserError
from neurogloss.ids import UnitId, layer_of
from neurogloss.records import Evidence, Example
from neurogloss.store.exchange.files import json_line, new_folder, plain
from neurogloss.store.exchange.records import Entry, distinct

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


def write(path: Path, entries: Iterable[Entry]) -> None:
    """A file an entry.

    Raises:
        UserError: `path` exists; a unit without collected contexts, without a layer or of a negative side; two
            dictionaries at one layer.
    """
    labels: dict[str, str] = {}
    places: dict[int, str] = {}
    with new_folder(path) as folder:
        (folder / "features").mkdir()
        for entry in entries:
            unit, evidence = entry.label.unit, entry.evidence
            layer, place = _layer(unit), str(unit).rpartition("/")[0]
            if evidence is None:
                raise UserError(
                    f"Expected collected contexts of {unit}, found none. Export a run that has a cache."
                )
            if places.setdefault(layer, place) != place:
                raise UserError(
                    f"Expected one dictionary a layer, found {places[layer]} and {place}. Export one of them with "
                    "--hookpoint or --dictionary."
                )
            content = json_line(plain(_feature(entry, evidence, place)))
            (folder / "features" / f"{paired(layer, unit.index)}.json").write_bytes(content)
            if entry.label.explanation:
                labels[f"{layer}_{unit.index}"] = entry.label.explanation.text
        text = json.dumps(labels, ensure_ascii=False, indent=0)
        (folder / "labels.json").write_text(text, encoding="utf-8")


def fill(graph: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    """A graph file's content with the label of each node that has one; a label that is there already stays."""

    def labelled(node: Mapping[str, Any]) -> dict[str, Any]:
        # A feature's node is named LAYER_INDEX_POSITION.
        text = labels.get(str(node.get("node_id", "")).rpartition("_")[0], "")
        feature = "transcoder" in str(node.get("feature_type", ""))
        return {**node, "clerp": node.get("clerp") or (text if feature else "")}

    return {**graph, "nodes": [labelled(node) for node in graph["nodes"]]}


def paired(layer: int, index: int) -> int:
    """Cantor's pairing: one number for each pair of numbers from 0."""
    return (layer + index) * (layer + index + 1) // 2 + index


def _layer(unit: UnitId) -> int:
    layer = layer_of(unit.hookpoint)
    if layer is None or unit.sign < 0:
        raise UserError(
            f"Expected units of a layer's transcoder, which have one side; found {unit}. Choose others with "
            "--hookpoint or --dictionary."
        )
    return layer


def _feature(entry: Entry, evidence: Evidence, place: str) -> dict[str, Any]:
    halves = (evidence.explain, evidence.score)
    top = distinct(example for half in halves for example in half.top)
    uniform = distinct(example for half in halves for example in half.uniform)
    peaks = [example.peak for example in uniform]
    outputs = evidence.output_tokens
    return {
        "transcoder_id": place,
        "index": entry.label.unit.index,
        "examples_quantiles": [
            {"quantile_name": name, "examples": [_example(example) for example in examples]}
            for name, examples in (("Top activations", top), ("Uniform sample", uniform))
        ],
        "top_logits": [token for token, _ in outputs.promoted] if outputs else [],
        "bottom_logits": [token for token, _ in outputs.suppressed] if outputs else [],
        "act_min": 0.0,
        "act_max": evidence.statistics.maximum,
        "quantile_values": np.quantile(peaks, QUANTILES).tolist() if peaks else [],
        "histogram": [float(count) for count in evidence.statistics.histogram],
        "activation_frequency": evidence.statistics.density,
    }


def _example(example: Example) -> dict[str, Any]:
    return {
        "tokens_acts_list": list(example.activations),
        "train_token_ind": example.activations.index(example.peak),
        "is_repeated_datapoint": False,
        "tokens": list(example.context.tokens),
    }
