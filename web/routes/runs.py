"""Runs: what they hold, where they stand, what their scores come to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent

from neurogloss.web import schemas, views
from neurogloss.web.problems import RESPONSES, not_found
from neurogloss.web.readers import Reader
from neurogloss.web.service import One, RunName, Served, Service, answer_once

router = APIRouter(prefix="/api/runs", tags=["runs"], responses=RESPONSES)
EVENT_SECONDS = 600
"""After which a stream of events ends; who still wants it opens it again."""


@router.get("", summary="The runs that are served")
def runs(request: Request, response: Response, service: Served) -> list[schemas.Run]:
    readers = list(service.readers.values())
    answer_once(request, response, readers)
    return [_run(service, reader) for reader in readers]


@router.get("/{run}", summary="One run, where it stands")
def run(service: Served, reader: One) -> schemas.Run:
    return _run(service, reader)


@router.get("/{run}/numbers", summary="What a method's scores come to, beside their floors")
def numbers(
    reader: One, method: Annotated[str | None, Query(description="By default the newest", max_length=200)] = None
) -> schemas.Numbers:
    with reader.opened() as opened:
        chosen = method or (opened.ledger.newest_method() if opened else None)
        if opened is None or chosen is None or chosen not in opened.ledger.methods():
            raise not_found(f"Expected a method of {reader.name}, found {method or 'no labels yet'}.")
        make = partial(views.numbers, opened.ledger, chosen)
        found: schemas.Numbers = reader.remember(("numbers", chosen), make, reader.state())
    return found


@router.get(
    "/{run}/events",
    response_class=EventSourceResponse,
    summary="The run, now and whenever it changes, as server-sent events `run`",
)
async def events(run: RunName, service: Served) -> AsyncIterator[ServerSentEvent]:
    reader = service.reader(run)
    before = ""
    for _ in range(EVENT_SECONDS):
        state = await run_in_threadpool(reader.state)
        if state != before:
            before = state
            yield ServerSentEvent(event="run", data=await run_in_threadpool(_run, service, reader))
        if await service.jobs.pause(1.0):
            return


def _run(service: Service, reader: Reader) -> schemas.Run:
    """Counted anew once something is written to the run."""
    live = service.live.available(reader)
    found: schemas.Run = reader.remember(("run", live), lambda: views.run(reader, live), reader.state())
    return found
