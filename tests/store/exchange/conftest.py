"""Labels of three units with all that a label can have, and evidence that can be worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neurogloss.ids import UnitId
from neurogloss.records import (
    Context,
    Evidence,
    EvidenceHalf,
    Example,
    Explanation,
    Facet,
    Label,
    OutputTokens,
    Score,
    Side,
    State,
    UnitStatistics,
)
from neurogloss.store.exchange.records import Entry

SETTINGS = {"explainer": {"name": "pmi"}, "seed": 0}


@pytest.fixture
def evidence(statistics: UnitStatistics) -> Callable[[UnitId], Evidence]:
    def half(*words: tuple[str, float]) -> EvidenceHalf:
        examples = tuple(
            Example(Context(f"{i:016x}", ("at", f" {w}")), (0.0, x)) for i, (w, x) in enumerate(words)
        )
        return EvidenceHalf(examples[:1], examples, ())

    def make(unit: UnitId) -> Evidence:
        outputs = OutputTokens(((" day", 2.0),), ((" cat", -1.5),))
        return Evidence(unit, statistics, half(("dawn", 3.25), ("dusk", 1.0)), half(("noon", 2.0)), outputs)

    return make


@pytest.fixture
def entries(
    unit: Callable[..., UnitId],
    score: Callable[..., Score],
    statistics: UnitStatistics,
    evidence: Callable[[UnitId], Evidence],
) -> list[Entry]:
    """An accepted label with two facets, one of a negative side that waits, one that failed."""
    facets = (Facet("dawn", 0.5), Facet("dusk | night", 0.25))
    told = Explanation(unit(3), "parts of the\nday", "m1", 0, Side.MIXED, facets, 0.75, {"explainer": "pmi"})
    other = Explanation(unit(803, -1), "cats", "m1")
    labels = [
        Label(unit(3), "m1", State.ACCEPTED, "", told, (score(), score("fuzzing", 0.7))),
        Label(unit(803, -1), "m1", State.EXPLAINED, "", other),
        Label(unit(5), "m1", State.REFUSAL, "it declined"),
    ]
    return [Entry(label, statistics, SETTINGS, evidence(label.unit)) for label in labels]


@pytest.fixture
def write_lines(tmp_path: Path) -> Callable[..., Path]:
    """Objects as JSON lines in a file; text as it is."""

    def write(*lines: Any, name: str = "labels.jsonl") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
        return path

    return write
