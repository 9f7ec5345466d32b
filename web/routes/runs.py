"""Runs: what they hold, where they stand, what their scores come to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent

from neurogloss.web import schemas, views
from neurogloss.web.problems import RESPONSES, not_found
from neurogloss.web.readers import Reader
from neurogloss.web.service import Asked, One, RunName, Served, Service

router = APIRouter(prefix="/api/runs", tags=["runs"], responses=RESPONSES)
EVENT_SECONDS = 600
"""After which a stream of events ends; who still wants it opens it again."""


@router.get("", response_model=list[schemas.Run], summary="The runs that are served")
def runs(request: Request, service: Served) -> Response:
    asked = Asked.of(request, service, list(service.readers.values()))
    return asked.answer(list[schemas.Run], [_run(service, reader) for reader in asked.readers])


@router.get("/{run}", response_model=schemas.Run, summary="One run, where it stands")
def run(asked: One) -> Response:
    return asked.answer(schemas.Run, _run(asked.service, asked.reader))


@router.get(
    "/{run}/numbers", response_model=schemas.Numbers, summary="What a method's scores come to, beside their floors"
)
def numbers(
    asked: One, method: Annotated[str | None, Query(description="By default the newest", max_length=200)] = None
) -> Response:
    with asked.reader.opened() as opened:
        chosen = method or (opened.ledger.newest_method() if opened else None)
        if opened is None or chosen is None or chosen not in opened.ledger.methods():
            raise not_found(f"Expected a method of {asked.reader.name}, found {method or 'no labels yet'}.")
        ledger, state = opened.ledger, asked.reader.state()
        found = asked.reader.remember(("numbers", chosen), lambda: views.numbers(ledger, chosen), state)
    return asked.answer(schemas.Numbers, found)


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
