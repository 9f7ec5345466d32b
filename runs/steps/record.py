"""From what a pipeline passes on to what is labelled, and from a label to plain values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from neurogloss.errors import UserError
from neurogloss.protocols import Scorer
from neurogloss.records import Evidence, Label, Score
from neurogloss.runs.contexts import ContextSettings
from neurogloss.runs.steps.evidence import UnitName, evidence_of


def given(
    values: Mapping[str, Any],
    settings: ContextSettings,
    texts: str = "texts",
    activations: str = "activations",
    unit: str = "unit",
) -> Evidence:
    """The evidence of one unit from a mapping that has it under the given keys, `unit` may be left out.

    Raises:
        UserError: a key is missing, or what is there does not fit together.
    """
    require(values, texts, activations)
    return named(values[texts], values[activations], values.get(unit, 0), settings)


def require(found: Iterable[Any], *names: str) -> None:
    """Raises UserError where one of the names is not among those found."""
    there = list(found)
    if not set(names) <= set(there):
        raise UserError(
            f"Expected {', '.join(names)}; found {', '.join(map(str, there)) or 'nothing'}. "
            "Say by argument under which names to look instead."
        )


def named(texts: Sequence[Any], activations: Sequence[Any], unit: UnitName, settings: ContextSettings) -> Evidence:
    """As `evidence_of`; an error names the unit."""
    try:
        return evidence_of(texts, activations, unit, settings.threshold, settings.seed)
    except UserError as error:
        raise UserError(f"Unit {unit}: {error}") from None


NUMBERS: Mapping[str, Callable[[Score], float]] = {
    "score": lambda score: score.score.value,
    "low": lambda score: score.score.low,
    "high": lambda score: score.score.high,
    "floor": lambda score: score.floor.value,
    "p": lambda score: score.p_value,
}


def columns(scorers: Sequence[Scorer]) -> list[str]:
    """The names under which `plain` gives a label; they depend on the scorers alone."""
    return ["state", "reason", "explanation", "method", *(f"{s.name}_{name}" for s in scorers for name in NUMBERS)]


def plain(label: Label, scorers: Sequence[Scorer]) -> dict[str, Any]:
    """A label as text and numbers: empty where there is no explanation, NaN where a number is undefined."""
    found = {score.scorer: score for score in label.scores}
    return {
        "state": label.state.value,
        "reason": label.reason,
        "explanation": label.explanation.text if label.explanation else "",
        "method": label.method,
        **{
            f"{scorer.name}_{name}": number(found[scorer.name]) if scorer.name in found else math.nan
            for scorer in scorers
            for name, number in NUMBERS.items()
        },
    }
