"""Labels for tables: functions for `datasets.Dataset.map`, and a data frame in, a data frame out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from neurogloss.errors import MissingExtra, UserError
from neurogloss.records import Evidence
from neurogloss.runs.contexts import ContextSettings, label_each, scorers_of
from neurogloss.runs.steps.record import columns, given, named, plain, require
from neurogloss.settings import make
from neurogloss.tasks import wait

if TYPE_CHECKING:
    import pandas


def label_row(
    row: Mapping[str, Any],
    *,
    texts: str = "texts",
    activations: str = "activations",
    unit: str = "unit",
    **values: Any,
) -> dict[str, Any]:
    """Label the unit of one row: `dataset.map(label_row, fn_kwargs={"llm": …})`.

    Args:
        row: holds the unit's texts and its activations, and may hold its name, as `label_contexts` takes them.
        texts, activations, unit: names of those columns.
        values: settings by name, see `ContextSettings`.

    Returns:
        The label's columns: `state`, `reason`, `explanation` (empty where there is none), `method`, and of each
        scorer SCORER_score, SCORER_low and SCORER_high (95 % interval), SCORER_floor and SCORER_p, NaN where
        undefined.

    Raises:
        UserError: as `label_contexts`.
    """
    settings = make(ContextSettings, values)
    return _label([given(row, settings, texts, activations, unit)], settings)[0]


def label_rows(
    batch: Mapping[str, Sequence[Any]],
    *,
    texts: str = "texts",
    activations: str = "activations",
    unit: str = "unit",
    **values: Any,
) -> dict[str, list[Any]]:
    """Label the units of several rows: `dataset.map(label_rows, batched=True, fn_kwargs={"llm": …})`.

    As `label_row`, of columns; up to `concurrency` units are in flight at a server.
    """
    settings = make(ContextSettings, values)
    require(batch, texts, activations)
    there = {name: batch[name] for name in (texts, activations, unit) if name in batch}
    rows = [dict(zip(there, row, strict=True)) for row in zip(*there.values(), strict=True)]
    found = _label([given(row, settings, texts, activations, unit) for row in rows], settings)
    return {name: [record[name] for record in found] for name in columns(scorers_of(settings))}


def label_frame(
    frame: pandas.DataFrame,
    *,
    unit: str = "unit",
    text: str = "text",
    activation: str = "activation",
    **values: Any,
) -> pandas.DataFrame:
    """Label each unit of a tidy data frame, which has a row for each text of each unit.

    Args:
        frame: is not changed.
        unit, text, activation: names of the columns: a unit's name or index, one of its texts, and its activation
            there, a number or one for each token.
        values: settings by name, see `ContextSettings`.

    Returns:
        A row for each unit in the order of their first rows, with the unit column's value as index and the columns
        that `label_row` gives.

    Raises:
        MissingExtra: pandas is not installed.
        UserError: a column or a unit's name is missing, or as `label_contexts`.
    """
    try:
        import pandas as pd
    except ImportError:
        raise MissingExtra("pandas", "pip install pandas") from None
    settings = make(ContextSettings, values)
    require(frame.columns, unit, text, activation)
    if frame[unit].isna().any():
        raise UserError(f"Some rows have no {unit}. Drop them, or give them one.")
    groups: dict[Any, pandas.DataFrame] = dict(iter(frame.groupby(unit, sort=False, observed=True)))
    measured = [named(list(rows[text]), list(rows[activation]), name, settings) for name, rows in groups.items()]
    index = pd.Index(list(groups), name=unit)
    return pd.DataFrame(_label(measured, settings), index=index, columns=columns(scorers_of(settings)))


def _label(measured: Sequence[Evidence], settings: ContextSettings) -> list[dict[str, Any]]:
    scorers = scorers_of(settings)
    return [plain(label, scorers) for label in wait(partial(label_each, measured, settings))]
