"""Every failure as a Problem: a word for programs, and the sentence that the command line says, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from neurogloss.errors import UserError
from neurogloss.web.schemas import Problem

_WORDS = {
    400: "user_error",
    401: "unauthorized",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "not_json",
    422: "invalid",
    429: "too_many",
}
_MESSAGES = {
    413: "Expected a body of at most 1,048,576 bytes, found more. Send less.",
    404: "Expected an address of this service, found another. See /openapi.json for those it has.",
    405: "Expected a method that this address takes, found another. See /openapi.json.",
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "What was asked for cannot be, and why"},
    404: {"model": Problem, "description": "There is no such run, unit or job"},
    422: {"model": Problem, "description": "The request has not the form that is documented"},
}
"""For the OpenAPI document: what every operation may answer instead."""


class Refusal(HTTPException):
    """The request gets that status and Problem."""

    def __init__(self, status: int, error: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, message, headers)
        self.error = error


def not_found(message: str) -> Refusal:
    return Refusal(404, "not_found", message)


def answer(status: int, error: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """The Problem as JSON."""
    body = Problem(error=error, message=message).model_dump_json()
    return Response(body, status, headers, media_type="application/json")


def of_refusal(refusal: Refusal) -> Response:
    return answer(refusal.status_code, refusal.error, refusal.detail, refusal.headers)


def install(app: FastAPI) -> None:
    """Answer every exception that is foreseen by a Problem; `neurogloss.web.access` does so for the others."""

    @app.exception_handler(UserError)
    async def mendable(request: Request, error: UserError) -> Response:
        return answer(400, _WORDS[400], str(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return answer(422, _WORDS[422], _said(error))

    @app.exception_handler(HTTPException)
    async def of_the_framework(request: Request, error: HTTPException) -> Response:
        if isinstance(error, Refusal):
            return of_refusal(error)
        if error.status_code == 304:
            return Response(status_code=304, headers=error.headers)
        message = _MESSAGES.get(error.status_code, str(error.detail))
        return answer(error.status_code, _WORDS.get(error.status_code, "refused"), message, error.headers)


def _said(error: RequestValidationError) -> str:
    """Each field that is wrong, and what was expected of it."""
    wrong = [f"{'.'.join(map(str, each['loc'][1:])) or each['loc'][0]}: {each['msg']}" for each in error.errors()]
    return f"Expected another request: {'; '.join(wrong[:5])}. See /openapi.json for what it takes."
