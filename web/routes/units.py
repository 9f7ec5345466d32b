"""One unit: its page, and what is asked for by itself."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query

from neurogloss.errors import UserError
from neurogloss.ids import UnitId
from neurogloss.records import Label
from neurogloss.store import search as searching
from neurogloss.web import schemas, views
from neurogloss.web.problems import RESPONSES, not_found
from neurogloss.web.readers import Opened, Reader
from neurogloss.web.service import One

router = APIRouter(prefix="/api/runs/{run}", tags=["units"], responses=RESPONSES)
UnitName = Annotated[
    str, Query(description="Id of a unit, or its end where that is of one alone", min_length=1, max_length=1_000)
]
Method = Annotated[str | None, Query(description="By default the newest", max_length=200)]


def named(reader: One, unit: UnitName) -> UnitId:
    """The unit that is asked for."""
    with reader.opened() as opened:
        return reader.unit(unit, opened)


Named = Annotated[UnitId, Depends(named)]


@router.get("/unit", summary="A unit: labels, candidates, statistics")
def unit(reader: One, wanted: Named) -> schemas.Unit:
    with reader.opened() as opened:
        return views.unit(reader, opened, wanted)


@router.get("/contexts", summary="What was seen of a unit in one half")
def contexts(
    reader: One,
    wanted: Named,
    half: Literal["explain", "score"] = "score",
    limit: Annotated[int, Query(ge=1, le=200, description="Of each kind at most")] = 20,
) -> schemas.Contexts:
    return views.contexts(reader, wanted, half, limit)


@router.get("/neighbours", summary="Units like this one")
def neighbours(
    reader: One,
    wanted: Named,
    by: Literal["meaning", "decoder", "coactivation"] = "meaning",
    k: Annotated[int, Query(ge=1, le=100)] = 10,
) -> list[schemas.Neighbour]:
    """By what their explanations say, by their directions, or by the contexts that both fire in."""
    near: list[tuple[UnitId, float, float | None]]
    if by == "meaning":
        with reader.opened() as opened:
            hits = searching.search(opened.index, opened.ledger, wanted, k) if opened else []
        near = [(hit.label.unit, hit.similarity, None) for hit in hits]
    elif reader.cache is None:
        raise UserError(
            f"Expected collected activations in {reader.name}, found none. Ask for neighbours by meaning."
        )
    elif by == "decoder":
        near = [(other, cosine, None) for other, cosine in reader.run.aligned(wanted, k)]
    else:
        near = [(other.unit, other.jaccard, other.error) for other in reader.run.coactive(wanted, k)]
    with reader.opened() as opened:
        return [_neighbour(opened, *each) for each in near]


def _neighbour(opened: Opened | None, unit: UnitId, value: float, error: float | None) -> schemas.Neighbour:
    label = opened.ledger.label(unit) if opened else None
    text = label.explanation.text if label and label.explanation else None
    return schemas.Neighbour(
        unit=unit, value=value, error=error, text=text, state=label.state.value if label else None
    )


@router.get("/trace", summary="How a unit's explanation was come by, step by step")
def trace(reader: One, wanted: Named, method: Method = None) -> list[schemas.Step]:
    with reader.opened() as opened:
        label = _label(reader, opened, wanted, method)
    return [schemas.Step(**step) for step in reader.run.trace(label)]


@router.get("/answers", summary="What judges were asked of a unit's explanation")
def answers(
    reader: One,
    wanted: Named,
    scorer: Annotated[str, Query(description="One that the label has a score of", max_length=200)],
    wrong: Annotated[bool, Query(description="Only what was answered wrongly, or not at all")] = False,
    method: Method = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str, Query(pattern=r"^[0-9]{0,7}$", description="`next` of the page before")] = "",
) -> schemas.Page[schemas.Answer]:
    """In the order in which they were asked; of floors nothing."""
    with reader.opened() as opened:
        label = _label(reader, opened, wanted, method)
        own = label.explanation.id if label.explanation else ""
        outcomes = opened.ledger.outcomes(own, scorer) if opened else []
    kept = [each for each in outcomes if each.asked == own and not (wrong and views.right(each))]
    begin = int(cursor or 0)
    page = [views.answer(reader, each) for each in kept[begin : begin + limit]]
    more = str(begin + limit) if begin + limit < len(kept) else None
    return schemas.Page(items=page, total=len(kept), next=more)


def _label(reader: Reader, opened: Opened | None, unit: UnitId, method: str | None) -> Label:
    """Raises Refusal where the unit has none."""
    label = opened.ledger.label(unit, method) if opened else None
    if label is None:
        raise not_found(f"{unit} has no label{f' of {method}' if method else ''} in {reader.name}.")
    return label
