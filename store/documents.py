"""What the index holds of the ledger: one document an explanation, with flat metadata to filter on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from neurogloss.ids import layer_of
from neurogloss.records import Explanation, Label, UnitStatistics
from neurogloss.store.ledger import Ledger

Scalar: TypeAlias = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Document:
    """One row of the index."""

    id: str
    text: str
    metadata: dict[str, Scalar]
    """By field: those of FIELDS, where the label has them, and of each scorer S with headline metric M its S, S.M
    (the same number), S.floor and S.excess_low, where they are defined."""

    @property
    def words(self) -> str:
        """The text without regard to case, white space and a full stop: equal for near-duplicates."""
        return " ".join(self.text.casefold().split()).rstrip(".")


FIELDS: Mapping[str, type] = {
    "unit": str,
    "subject": str,
    "hookpoint": str,
    "layer": float,
    "dictionary": str,
    "method": str,
    "state": str,
    "side": str,
    "density": float,
}
"""What every index can be filtered on, with its type; numbers are floats here."""


def documents(ledger: Ledger) -> Iterator[Document]:
    """The chosen explanation of every label that has one, in any state."""
    for label in ledger.labels():
        if label.explanation is not None:
            metadata = _metadata(label, label.explanation, ledger.statistics(label.unit))
            yield Document(label.explanation.id, label.explanation.text, metadata)


def _metadata(label: Label, explanation: Explanation, statistics: UnitStatistics | None) -> dict[str, Scalar]:
    """Flat, as Chroma wants it."""
    unit = label.unit
    metadata: dict[str, Scalar] = {
        "unit": str(unit),
        "subject": unit.subject,
        "hookpoint": unit.hookpoint,
        "dictionary": unit.dictionary,
        "method": label.method,
        "state": label.state.value,
        "side": explanation.side.value,
    }
    layer = layer_of(unit.hookpoint)
    if layer is not None:
        metadata["layer"] = layer
    if statistics is not None:
        metadata["density"] = _number(statistics.density)
    for score in label.scores:
        numbers = {
            score.scorer: score.score.value,
            f"{score.scorer}.auroc": score.metrics.get("auroc", math.nan),
            f"{score.scorer}.{score.metric}": score.score.value,
            f"{score.scorer}.floor": score.floor.value,
            f"{score.scorer}.excess_low": score.excess.low,
        }
        metadata |= {name: _number(value) for name, value in numbers.items() if math.isfinite(value)}
    return metadata


def _number(value: float) -> float:
    """Nine significant digits, none beyond the ninth place: others Chroma may give back as their neighbours."""
    return round(float(f"{value:.9g}"), 9) + 0.0
