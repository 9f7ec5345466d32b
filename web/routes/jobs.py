"""/api/jobs, and what begins one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import FileResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from neurogloss.web.problems import RESPONSES, Refusal
from neurogloss.web.requests import CompareRequest, LabelRequest, ScoreRequest
from neurogloss.web.schemas import Comparison, Job, Problem
from neurogloss.web.service import Served

router = APIRouter(prefix="/api", tags=["jobs"], responses=RESPONSES)
BEGUN: dict[str, Any] = {
    "status_code": 202,
    "responses": {429: {"model": Problem, "description": "Too many jobs wait and run"}},
}


@router.post("/runs/{run}/label", summary="Explain units and score the explanations", **BEGUN)
async def label(service: Served, run: str, request: LabelRequest) -> Job:
    return service.jobs.begin("label", run, request)


@router.post("/runs/{run}/score", summary="Score explanations that are there by more scorers", **BEGUN)
async def score(service: Served, run: str, request: ScoreRequest) -> Job:
    return service.jobs.begin("score", run, request)


@router.post("/compare", summary="Compare two runs, hookpoints or dictionaries", **BEGUN)
async def compare(service: Served, request: CompareRequest) -> Job:
    return service.jobs.compare(request)


@router.get("/jobs", summary="The jobs, the newest first")
async def list_jobs(service: Served) -> list[Job]:
    return service.jobs.all()


@router.get("/jobs/{job}", summary="A job, where it stands")
async def one_job(service: Served, job: str) -> Job:
    return service.jobs.get(job)


@router.delete("/jobs/{job}", summary="Cancel a job; answers when it has ended")
async def cancel(service: Served, job: str) -> Job:
    return await service.jobs.cancel(job)


@router.get(
    "/jobs/{job}/result",
    summary="What a job came to",
    response_model=Comparison | dict[str, Any],
    responses={
        200: {"description": "A comparison, or what `label --json` prints"},
        409: {"model": Problem, "description": "It has not ended, or not well"},
    },
)
async def result(service: Served, job: str) -> FileResponse:
    found = service.jobs.get(job)
    if found.state != "done":
        because = f": {found.message}" if found.finished and found.message else "."
        raise Refusal(409, "no_result", f"Expected a job that is done, found one that is {found.state}{because}")
    return FileResponse(service.jobs.result_path(job), media_type="application/json")


@router.get(
    "/jobs/{job}/events",
    summary="The job at once and whenever it changes, until it has ended",
    response_class=EventSourceResponse,
)
async def events(service: Served, job: Annotated[Job, Depends(one_job)]) -> AsyncIterator[ServerSentEvent]:
    async for each in service.jobs.changes(job.id):
        yield ServerSentEvent(data=each, event="job")
