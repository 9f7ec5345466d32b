"""What the index holds of the ledger: one document an explanation, with flat metadata to filter on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from neurogloss.ids import layer_of
from neurogloss.records import Label, UnitStatistics
from neurogloss.store.ledger import Ledger

Scalar: TypeAlias = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Document:
    """One row of the index."""

    id: str
    text: str
    metadata: dict[str, Scalar]
    """unit, subject, hookpoint, dictionary, method, state; where defined: layer, density, and of each scorer S its
    S, S_floor and S_excess_low."""


def documents(ledger: Ledger) -> Iterator[Document]:
    """The chosen explanation of every label that has one, in any state."""
    for label in ledger.labels():
        if label.explanation is not None:
            metadata = _metadata(label, ledger.statistics(label.unit))
            yield Document(label.explanation.id, label.explanation.text, metadata)


def _metadata(label: Label, statistics: UnitStatistics | None) -> dict[str, Scalar]:
    """Flat, as Chroma wants it."""
    unit = label.unit
    metadata: dict[str, Scalar] = {
        "unit": str(unit),
        "subject": unit.subject,
        "hookpoint": unit.hookpoint,
        "dictionary": unit.dictionary,
        "method": label.method,
        "state": label.state.value,
    }
    layer = layer_of(unit.hookpoint)
    if layer is not None:
        metadata["layer"] = layer
    if statistics is not None:
        metadata["density"] = _number(statistics.density)
    for score in label.scores:
        numbers = {
            score.scorer: score.score.value,
            f"{score.scorer}_floor": score.floor.value,
            f"{score.scorer}_excess_low": score.excess.low,
        }
        metadata |= {name: _number(value) for name, value in numbers.items() if math.isfinite(value)}
    return metadata


def _number(value: float) -> float:
    """Nine significant digits: with all 17 Chroma gives some floats back as their neighbour."""
    return float(f"{value:.9g}")
