"""Finding units: by what is said of them, or by browsing."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from neurogloss.errors import UserError
from neurogloss.ids import UnitId
from neurogloss.records import Label, State
from neurogloss.store import search as searching
from neurogloss.store.search import By, SearchResult
from neurogloss.web import schemas, views
from neurogloss.web.problems import RESPONSES
from neurogloss.web.readers import Reader
from neurogloss.web.service import One, Served, answer_once

router = APIRouter(prefix="/api", tags=["search"], responses=RESPONSES)
DEEPEST = 1_000
"""Results of one search at most, over all pages."""
Hits = schemas.Page[schemas.Hit]
Where = Annotated[
    str,
    Query(
        description="A filter: fields, comparisons, `and`, `or`, `not`",
        examples=['layer >= 10 and detection.auroc > 0.8 and state == "accepted"'],
        max_length=2_000,
    ),
]
States = Annotated[list[State] | None, Query(description="Only labels in these states", max_length=len(State))]
Cursor = Annotated[str, Query(description="`next` of the page before", max_length=5_000)]
Limit = Annotated[int, Query(ge=1, le=500)]


@router.get("/search", summary="Labels by what their explanations say")
def search(
    request: Request,
    response: Response,
    service: Served,
    q: Annotated[str, Query(min_length=1, max_length=2_000, examples=["dates and numbers"])],
    run: Annotated[list[str] | None, Query(description="By default all", max_length=100)] = None,
    where: Where = "",
    by: By = By.HYBRID,
    state: States = None,
    k: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Cursor = "",
) -> Hits:
    """Best first; of several runs by their similarity alone. A page goes as deep as 1,000 results."""
    names = list(dict.fromkeys(run or service.readers))
    readers = [service.reader(name) for name in names]
    answer_once(request, response, readers)
    begin = _offset(cursor)
    wanted = min(begin + k, DEEPEST)
    if len(readers) > 1 and by is By.LEXICAL:
        raise UserError("Expected one run to search by words, found several. Search them by dense or hybrid.")
    found: list[tuple[Reader, SearchResult]] = []
    missing: list[UserError] = []
    for reader in readers:
        try:
            found += [(reader, hit) for hit in _found(reader, q, wanted + 1, state, where, by)]
        except UserError as error:
            missing.append(error)
    if missing and (run or len(missing) == len(readers)):
        raise missing[0]
    if len(readers) > 1:
        found.sort(key=lambda each: -each[1].similarity)
    page = [_hit(reader, hit) for reader, hit in found[begin:wanted]]
    more = len(found) > wanted and wanted < DEEPEST
    return Hits(items=page, next=str(wanted) if more else None)


def _found(
    reader: Reader, query: str, k: int, states: list[State] | None, where: str, by: By
) -> list[SearchResult]:
    """Raises UserError where the run cannot be searched so."""
    with reader.opened() as opened:
        if opened is None:
            return []
        return searching.search(opened.index, opened.ledger, query, k, states, where=where, by=by)


def _hit(reader: Reader, found: SearchResult) -> schemas.Hit:
    with reader.opened() as opened:
        assert opened is not None
        return views.hit(reader, opened.ledger, found.label, found.similarity, found.same)


def _offset(cursor: str) -> int:
    if not cursor:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 4):
        raise UserError("Expected the cursor of a page of results, found another. Begin with the first page.")
    return int(cursor)


@router.get("/runs/{run}/units", summary="Labels with an explanation, filtered and sorted")
def units(
    reader: One,
    where: Where = "",
    state: States = None,
    sort: Annotated[
        str,
        Query(
            description="Fields, separated by commas; a minus puts the largest first",
            examples=["-detection.excess_low,unit"],
            max_length=500,
        ),
    ] = "unit",
    limit: Limit = 100,
    cursor: Cursor = "",
    skip: Annotated[int, Query(ge=0, le=10_000_000, description="Passed over after the cursor")] = 0,
) -> Hits:
    """Labels of every method."""
    with reader.opened() as opened:
        if opened is None:
            return Hits(items=[], total=0)
        ledger, documents = opened.ledger, opened.ledger.documents
        condition = searching.condition_of(documents, state, where)
        found = documents.page(sort, condition, cursor, skip, limit)
        labels = ledger.explained([entry.id for entry in found.entries])
        same = documents.same([entry.words for entry in found.entries], condition)
        hits = [views.hit(reader, ledger, labels[entry.id], same=same[entry.words]) for entry in found.entries]
    return Hits(items=hits, total=found.total, next=found.next)


@router.get("/runs/{run}/failed", summary="Labels without an explanation, and why")
def failed(
    reader: One,
    state: States = None,
    method: Annotated[str | None, Query(description="By default the newest", max_length=200)] = None,
    limit: Limit = 100,
    cursor: Cursor = "",
) -> schemas.Page[Label]:
    """A page in the order of units; its cursor is its last unit."""
    try:
        after = UnitId.parse(cursor) if cursor else None
    except ValueError:
        raise UserError("Expected the cursor of a page, found another. Begin with the first page.") from None
    with reader.opened() as opened:
        if opened is None:
            return schemas.Page(items=[], total=0)
        chosen = method or opened.ledger.newest_method() or ""
        labels, total = opened.ledger.failed(chosen, state, after, limit)
    more = str(labels[-1].unit) if len(labels) == limit else None
    return schemas.Page(items=labels, total=total, next=more)
