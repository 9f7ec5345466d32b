"""The columns of a label, version 1: what JSON lines, Parquet and data sets have in common.

Columns are only ever added; one that changes its meaning raises VERSION. docs/exchange.md describes them.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError

from neurogloss.errors import UserError, imported
from neurogloss.ids import UnitId, canonical_json, layer_of
from neurogloss.records import Facet, Interval, Score, Side
from neurogloss.store.exchange.files import INSTALL, plain
from neurogloss.store.exchange.records import Entry, Found

VERSION = 1
DERIVED = ("subject", "hookpoint", "layer", "dictionary", "index", "sign", "settings", "statistics")
"""Columns that an import leaves out: the unit's name says them, or the run that imports knows better."""


def row(entry: Entry) -> dict[str, Any]:
    """One label as JSON; undefined numbers are None."""
    label, unit, told, counted = entry.label, entry.label.unit, entry.label.explanation, entry.statistics
    values = {
        "version": VERSION,
        "unit": str(unit),
        "subject": unit.subject,
        "hookpoint": unit.hookpoint,
        "layer": layer_of(unit.hookpoint),
        "dictionary": unit.dictionary,
        "index": unit.index,
        "sign": unit.sign,
        "text": told.text if told else None,
        "side": told.side.value if told else None,
        "facets": list(map(asdict, told.facets)) if told else [],
        "state": label.state.value,
        "reason": label.reason,
        "scores": [_score(score) for score in label.scores],
        "validation": told.validation if told else None,
        "statistics": {name: getattr(counted, name) for name in STATISTICS} if counted else None,
        "method": label.method,
        "provenance": canonical_json(plain(told.provenance)) if told else None,
        "settings": canonical_json(plain(entry.settings)),
    }
    return {name: plain(value) for name, value in values.items()}


def _score(score: Score) -> dict[str, Any]:
    def limits(name: str, interval: Interval) -> dict[str, float]:
        return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}

    return {
        "scorer": score.scorer,
        "judge": score.judge,
        "metric": score.metric,
        **limits("score", score.score),
        **limits("floor", score.floor),
        **limits("excess", score.excess),
        "p_value": score.p_value,
        "metrics": [{"name": name, "value": value} for name, value in sorted(score.metrics.items())],
        "n_questions": score.n_questions,
        "failures": [{"name": str(name), "count": count} for name, count in sorted(score.failures.items())],
    }


def arrow() -> Any:
    """pyarrow. Raises MissingExtra where it is not installed."""
    return imported("pyarrow", INSTALL)


def schema() -> Any:
    """The columns as a pyarrow schema, the version in its metadata."""
    pa = arrow()
    text, whole, number = pa.string(), pa.int64(), pa.float64()
    limits = [f"{name}{end}" for name in ("score", "floor", "excess") for end in ("", "_low", "_high")]
    score = [
        *((name, text) for name in ("scorer", "judge", "metric")),
        *((name, number) for name in (*limits, "p_value")),
        ("metrics", pa.list_(pa.struct([("name", text), ("value", number)]))),
        ("n_questions", whole),
        ("failures", pa.list_(pa.struct([("name", text), ("count", whole)]))),
    ]
    statistics = [
        (name, pa.list_(whole) if name == "histogram" else whole if name.startswith("n_") else number)
        for name in STATISTICS
    ]
    types = {
        "version": pa.int32(),
        "layer": pa.int32(),
        "index": whole,
        "sign": pa.int32(),
        "facets": pa.list_(pa.struct([("text", text), ("share", number)])),
        "scores": pa.list_(pa.struct(score)),
        "validation": number,
        "statistics": pa.struct(statistics),
    }
    columns = [(name, types.get(name, text)) for name in NAMES]
    return pa.schema(columns, metadata={"neurogloss_labels": str(VERSION)})


STATISTICS = ("n_contexts", "n_active", "density", "threshold", "maximum", "mean", "histogram")
"""Of a unit, in their order."""
NAMES = (
    *("version", "unit", "subject", "hookpoint", "layer", "dictionary", "index", "sign", "text", "side", "facets"),
    *("state", "reason", "scores", "validation", "statistics", "method", "provenance", "settings"),
)
"""The columns in their order."""


class _Facet(BaseModel):
    model_config = ConfigDict(extra="forbid")
    text: StrictStr
    share: Annotated[float, Field(ge=0, le=1)]


class _Row(BaseModel):
    """What of a row decides the label; all else is kept as its source."""

    model_config = ConfigDict(extra="allow")
    unit: StrictStr
    text: StrictStr | None
    version: StrictInt = VERSION
    side: Side | None = None
    facets: tuple[_Facet, ...] | None = None
    method: StrictStr = ""


def found(values: dict[str, Any], where: str) -> Found | None:
    """The explanation that a row holds; None where its text is null. `where` names the row in errors.

    Raises:
        UserError: a row without unit or text, or with values that do not fit.
    """
    try:
        line = _Row.model_validate(values)
        unit = UnitId.parse(line.unit)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        column = ".".join(map(str, first["loc"]))
        raise _mend(where, f"a label with unit and text; {column}: {first['msg']}") from None
    except ValueError as error:
        raise _mend(where, f"a unit; {error}") from None
    if line.version > VERSION:
        raise UserError(
            f"{where} has version {line.version} of the columns of a label; this neurogloss knows {VERSION}. "
            "Update with:  pip install --upgrade neurogloss"
        )
    if line.text is None:
        return None
    if not line.text.strip():
        raise _mend(where, "a text, found an empty one")
    decided = {*_Row.model_fields, *DERIVED}
    return Found(
        where,
        line.text,
        unit,
        method=line.method,
        side=line.side or Side.INPUT,
        facets=tuple(Facet(facet.text, facet.share) for facet in line.facets or ()),
        source={name: plain(value) for name, value in values.items() if name not in decided},
    )


def _mend(where: str, message: str) -> UserError:
    return UserError(f"{where}: expected {message}. Mend that row, and import again; nothing was imported.")
