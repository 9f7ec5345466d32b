"""/api/runs/{run}/firing, activations, steer: what is asked of a live subject."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from neurogloss.protocols import Steering
from neurogloss.web import schemas, views
from neurogloss.web.problems import RESPONSES
from neurogloss.web.requests import ActivationsRequest, SteerRequest
from neurogloss.web.service import RunName, Served

router = APIRouter(
    prefix="/api/runs/{run}",
    tags=["live"],
    responses={**RESPONSES, 429: {"model": schemas.Problem, "description": "The subject is busy"}},
)


@router.get("/firing", summary="The units that fire most on a text")
def firing(
    service: Served,
    run: RunName,
    text: Annotated[str, Query(min_length=1, max_length=20_000, examples=["The cat sat on the mat."])],
    k: Annotated[int, Query(ge=1, le=200)] = 20,
    where: Annotated[str, Query(max_length=2_000, description="Only labels that pass, as in search")] = "",
) -> list[schemas.Firing]:
    reader = service.reader(run)
    return [
        schemas.Firing(
            unit=each.unit,
            share=each.share,
            example=views.example(reader, each.example),
            label=each.label,
        )
        for each in service.live.firing(reader, text, k, where)
    ]


@router.post("/activations", summary="A unit's activations on a text")
def activations(service: Served, run: RunName, request: ActivationsRequest) -> schemas.Example:
    reader = service.reader(run)
    with reader.opened() as opened:
        unit = reader.unit(request.unit, opened)
    return views.example(reader, service.live.activations(reader, unit, request.text))


@router.post("/steer", summary="Prompts continued with a unit raised")
def steer(service: Served, run: RunName, request: SteerRequest) -> Steering:
    reader = service.reader(run)
    with reader.opened() as opened:
        unit = reader.unit(request.unit, opened)
    return service.live.steer(reader, unit, request.prompts, request.kl, request.strength)
