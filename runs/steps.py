"""Labelling as a step of another pipeline: rows in, rows out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Unpack

from neurogloss.errors import UserError
from neurogloss.keywords import ContextKeywords
from neurogloss.records import Evidence, Label, Score
from neurogloss.runs.contexts import label_each, scorers_of
from neurogloss.runs.given import evidence_of
from neurogloss.settings import ContextSettings, make
from neurogloss.tasks import wait

NUMBERS: Mapping[str, Callable[[Score], float]] = {
    "score": lambda score: score.score.value,
    "low": lambda score: score.score.low,
    "high": lambda score: score.score.high,
    "floor": lambda score: score.floor.value,
    "p": lambda score: score.p_value,
}
"""Columns of each scorer, named SCORER_score and so on."""


def label_rows(rows: Iterable[Mapping[str, Any]], **values: Unpack[ContextKeywords]) -> list[dict[str, Any]]:
    """Label one unit per row of a table, and return the labels as rows of text and numbers.

    Up to `concurrency` units are in flight at a server. Fits data frames, `datasets`, LangGraph nodes and
    LangChain steps; `examples/` has one of each.

    Args:
        rows: each has `texts` and `activations`, and may have a `unit`, as `label_contexts` takes them. Other keys
            are ignored. A `datasets.Dataset` is such an iterable.
        values: settings by name, see `ContextSettings`.

    Returns:
        One dictionary per row, in order: `unit`, `state`, `reason`, `explanation` ("" if there is none), `method`,
        and for each scorer SCORER_score, SCORER_low and SCORER_high (95 % interval), SCORER_floor and SCORER_p,
        NaN if undefined. The columns depend on the scorers alone.

    Raises:
        UserError: a row lacks a key, or as `label_contexts`; the message names the unit.
    """
    settings = make(ContextSettings, values)
    names = [scorer.name for scorer in scorers_of(settings)]
    measured = [_evidence(row, settings) for row in rows]
    return [_row(label, names) for label in wait(partial(label_each, measured, settings))]


def _evidence(row: Mapping[str, Any], settings: ContextSettings) -> Evidence:
    if not isinstance(row, Mapping) or not {"texts", "activations"} <= set(row):
        found = ", ".join(map(str, row)) if isinstance(row, Mapping) else f"{row!r:.60}"
        raise UserError(f"Expected rows with texts and activations; found {found}. Rename the columns.")
    unit = row.get("unit", 0)
    try:
        return evidence_of(row["texts"], row["activations"], unit, settings.threshold, settings.seed)
    except UserError as error:
        raise UserError(f"Unit {unit}: {error}") from None


def _row(label: Label, scorers: Iterable[str]) -> dict[str, Any]:
    found = {score.scorer: score for score in label.scores}
    return {
        "unit": str(label.unit),
        "state": label.state.value,
        "reason": label.reason,
        "explanation": label.explanation.text if label.explanation else "",
        "method": label.method,
        **{
            f"{scorer}_{name}": number(found[scorer]) if scorer in found else math.nan
            for scorer in scorers
            for name, number in NUMBERS.items()
        },
    }
