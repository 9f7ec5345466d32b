"""/api/jobs, and what begins one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from neurogloss.web.jobs import Jobs
from neurogloss.web.problems import RESPONSES, Refusal
from neurogloss.web.requests import CompareRequest, LabelRequest, ScoreRequest
from neurogloss.web.schemas import Comparison, Job, Problem

router = APIRouter(prefix="/api", tags=["jobs"], responses=RESPONSES)
BEGUN: dict[str, Any] = {
    "status_code": 202,
    "responses": {429: {"model": Problem, "description": "Too many jobs wait and run"}},
}


def jobs_of(request: Request) -> Jobs:
    jobs: Jobs = request.app.state.service.jobs
    return jobs


TheJobs = Annotated[Jobs, Depends(jobs_of)]


@router.post("/runs/{run}/label", summary="Explain units and score the explanations", **BEGUN)
async def label(jobs: TheJobs, run: str, request: LabelRequest) -> Job:
    return jobs.begin("label", run, request)


@router.post("/runs/{run}/score", summary="Score explanations that are there by more scorers", **BEGUN)
async def score(jobs: TheJobs, run: str, request: ScoreRequest) -> Job:
    return jobs.begin("score", run, request)


@router.post("/compare", summary="Compare two runs, hookpoints or dictionaries", **BEGUN)
async def compare(jobs: TheJobs, request: CompareRequest) -> Job:
    return jobs.compare(request)


@router.get("/jobs", summary="The jobs, the newest first")
async def list_jobs(jobs: TheJobs) -> list[Job]:
    return jobs.all()


@router.get("/jobs/{job}", summary="A job, where it stands")
async def one_job(jobs: TheJobs, job: str) -> Job:
    return jobs.get(job)


@router.delete("/jobs/{job}", summary="Cancel a job; answers when it has ended")
async def cancel(jobs: TheJobs, job: str) -> Job:
    return await jobs.cancel(job)


@router.get(
    "/jobs/{job}/result",
    summary="What a job came to",
    response_model=Comparison | dict[str, Any],
    responses={
        200: {"description": "A comparison, or what `label --json` prints"},
        409: {"model": Problem, "description": "It has not ended, or not well"},
    },
)
async def result(jobs: TheJobs, job: str) -> FileResponse:
    found = jobs.get(job)
    if found.state != "done":
        because = f": {found.message}" if found.finished and found.message else "."
        raise Refusal(409, "no_result", f"Expected a job that is done, found one that is {found.state}{because}")
    return FileResponse(jobs.result_path(job), media_type="application/json")


@router.get(
    "/jobs/{job}/events",
    summary="The job at once and whenever it changes, until it has ended",
    response_class=EventSourceResponse,
)
async def events(jobs: TheJobs, job: Annotated[Job, Depends(one_job)]) -> AsyncIterator[ServerSentEvent]:
    async for each in jobs.changes(job.id):
        yield ServerSentEvent(data=each, event="job")
