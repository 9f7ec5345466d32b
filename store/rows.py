"""Records to rows of the ledger and back, each in one function. NaN is stored as NULL."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from neurogloss.accounts import Standing, Usage
from neurogloss.errors import UserError, first_line
from neurogloss.ids import UnitId, canonical_json
from neurogloss.records import (
    Answer,
    Explanation,
    Facet,
    Failure,
    Interval,
    Label,
    Outcome,
    Passage,
    Question,
    Score,
    Side,
    State,
    UnitStatistics,
)

COSTS = tuple(field.name for field in fields(Usage))
"""Columns of `costs` that add up."""
_MEASURED = ("threshold", "maximum", "mean")
"""Statistics of a unit that may be NaN or infinite."""
P = ParamSpec("P")
R = TypeVar("R")


def _stored(read: Callable[P, R]) -> Callable[P, R]:
    """What a row that does not read makes a reader run into is said of the file: SQLite checks no values."""

    @wraps(read)
    def reader(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return read(*args, **kwargs)
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise UserError(
                f"Expected a whole ledger, found one with a row that does not read ({first_line(error)}). Restore "
                "it from a copy, or label the run again in a new folder."
            ) from error

    return reader


def _null(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _nan(value: float | str | None) -> float:
    return math.nan if value is None else float(value)


def _json_number(value: float) -> float | str | None:
    """JSON has no infinity: it is written as the string that `float` reads."""
    return str(float(value)) if math.isinf(value) else _null(value)


# --- units ----------------------------------------------------------------------------------------


def unit_row(unit: UnitId, statistics: UnitStatistics) -> tuple[Any, ...]:
    """A row of `units`. Raises ValueError where the id does not read back as the same unit."""
    if UnitId.parse(str(unit)) != unit:
        raise ValueError(f"hookpoint and dictionary have no slash and the sign is +1 or -1, found {unit!r}")
    values = {
        "n_contexts": int(statistics.n_contexts),
        "n_active": int(statistics.n_active),
        "histogram": [int(count) for count in statistics.histogram],
        **{name: _json_number(getattr(statistics, name)) for name in _MEASURED},
    }
    columns = (unit.subject, unit.hookpoint, unit.dictionary, int(unit.index), int(unit.sign))
    return (str(unit), *columns, canonical_json(values))


@_stored
def unit_of(row: sqlite3.Row) -> UnitId:
    return UnitId(row["subject"], row["hookpoint"], row["dictionary"], row["idx"], row["sign"])


@_stored
def settings_of(text: str) -> Mapping[str, Any]:
    """Of a method."""
    settings: Mapping[str, Any] = json.loads(text)
    return settings


@_stored
def statistics_of(text: str) -> UnitStatistics:
    values = json.loads(text)
    measured = {name: _nan(values[name]) for name in _MEASURED}
    return UnitStatistics(**{**values, **measured, "histogram": tuple(values["histogram"])})


# --- explanations and labels ----------------------------------------------------------------------


def explanation_row(explanation: Explanation) -> tuple[Any, ...]:
    """A row of `explanations`. A validation of NaN becomes None: both mean that there is none."""
    validation = None if explanation.validation is None else _null(explanation.validation)
    return (
        explanation.id,
        explanation.method,
        str(explanation.unit),
        int(explanation.rank),
        explanation.text,
        validation,
        canonical_json(dict(explanation.provenance)),
        explanation.side.value,
        canonical_json([[facet.text, facet.share] for facet in explanation.facets]),
    )


@_stored
def explanation_of(row: sqlite3.Row) -> Explanation:
    """From a row with the columns of `units` and `explanations`."""
    return Explanation(
        unit=unit_of(row),
        text=row["text"],
        method=row["method"],
        rank=row["rank"],
        side=Side(row["side"]),
        facets=tuple(Facet(text, share) for text, share in json.loads(row["facets"])),
        validation=row["validation"],
        provenance=json.loads(row["provenance"]),
    )


@_stored
def label_of(row: sqlite3.Row, scores: Sequence[Score]) -> Label:
    """From a row with the columns of `units`, `labels` and, where there is one, `explanations`."""
    return Label(
        unit=unit_of(row),
        method=row["method"],
        state=State(row["state"]),
        reason=row["reason"],
        explanation=None if row["explanation"] is None else explanation_of(row),
        scores=tuple(scores),
    )


@_stored
def standing_of(row: sqlite3.Row) -> Standing:
    """From a row with a label's columns, and the scorers of its explanation as a list in JSON."""
    scorers = frozenset(filter(None, json.loads(row["scorers"])))
    return Standing(State(row["state"]), row["attempts"], row["explanation"] is not None, scorers)


# --- scores ---------------------------------------------------------------------------------------


def score_row(explanation: str, score: Score) -> tuple[Any, ...]:
    intervals = [
        _null(limit)
        for interval in (score.score, score.floor, score.excess)
        for limit in (interval.value, interval.low, interval.high)
    ]
    return (
        explanation,
        score.scorer,
        score.judge,
        score.metric,
        *intervals,
        _null(score.p_value),
        canonical_json({name: _json_number(value) for name, value in score.metrics.items()}),
        int(score.n_questions),
        canonical_json({str(failure): int(count) for failure, count in score.failures.items()}),
    )


@_stored
def score_of(row: sqlite3.Row) -> Score:
    def interval(name: str) -> Interval:
        return Interval(_nan(row[name]), _nan(row[f"{name}_low"]), _nan(row[f"{name}_high"]))

    return Score(
        scorer=row["scorer"],
        judge=row["judge"],
        metric=row["metric"],
        score=interval("score"),
        floor=interval("floor"),
        excess=interval("excess"),
        p_value=_nan(row["p_value"]),
        metrics={name: _nan(value) for name, value in json.loads(row["metrics"]).items()},
        n_questions=row["n_questions"],
        failures=json.loads(row["failures"]),
    )


# --- questions and answers ------------------------------------------------------------------------


def question_row(explanation: str, scorer: str, n: int, question: Question) -> tuple[Any, ...]:
    passages = [_passage_row(passage) for passage in question.passages]
    return explanation, scorer, n, int(question.truth), question.stratum, canonical_json(passages)


def _passage_row(passage: Passage) -> list[Any]:
    row = [list(passage.tokens), [int(mark) for mark in passage.marks]]
    return [*row, passage.picture, passage.grid] if passage.picture else row


def _passage(tokens: list[str], marks: list[int], picture: str = "", grid: list[int] | None = None) -> Passage:
    return Passage(tuple(tokens), tuple(marks), picture, (grid[0], grid[1]) if grid else None)


def answer_row(explanation: str, position: int, n: int, outcome: Outcome) -> tuple[Any, ...]:
    """A row of `answers`: the `position`-th outcome of its scorer, an answer to question `n`."""
    answer = outcome.answer
    probability = None if answer.probability is None else float(answer.probability)
    failure = None if answer.failure is None else answer.failure.value
    return explanation, outcome.scorer, position, outcome.asked, n, probability, failure, answer.reason


@_stored
def outcome_of(row: sqlite3.Row) -> Outcome:
    """From a row with the columns of `questions` and `answers`."""
    passages = tuple(_passage(*passage) for passage in json.loads(row["passages"]))
    failure = None if row["failure"] is None else Failure(row["failure"])
    return Outcome(
        scorer=row["scorer"],
        asked=row["asked"],
        question=Question(passages, bool(row["truth"]), row["stratum"]),
        answer=Answer(row["probability"], failure, row["reason"]),
    )
