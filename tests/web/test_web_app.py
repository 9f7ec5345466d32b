"""The service as a whole: what it documents, and how it fails."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from pydantic import TypeAdapter

from neurogloss.errors import UserError
from neurogloss.web import access
from neurogloss.web.app import EXAMPLES, ROUTERS, create_app
from neurogloss.web.options import Options
from neurogloss.web.schemas import Problem


@pytest.fixture(scope="module")
def document(api: TestClient) -> dict[str, Any]:
    return dict(api.get("/openapi.json").json())


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def routes() -> dict[str, APIRoute]:
    found = [
        route for router in (*ROUTERS, access.router) for route in router.routes if isinstance(route, APIRoute)
    ]
    return {f"{method} {route.path}": route for route in found for method in route.methods or ()}


def test_every_operation_says_what_it_does(document: dict[str, Any]) -> None:
    found = dict(operations(document))
    assert len(found) > 20
    assert [name for name, each in found.items() if not each.get("summary") or not each.get("tags")] == []
    names = [each["operationId"] for each in found.values()]
    assert len(set(names)) == len(names)


def test_every_answer_in_json_has_an_example(document: dict[str, Any]) -> None:
    without = []
    for name, operation in operations(document):
        answers = operation["responses"]
        content = answers[min(answers)].get("content", {}).get("application/json")
        if content is not None and "example" not in content:
            without.append(name)
    assert without == []


@pytest.mark.parametrize("name", sorted(json.loads(EXAMPLES.read_text(encoding="utf-8"))))
def test_an_example_is_such_an_answer(name: str, document: dict[str, Any]) -> None:
    example = json.loads(EXAMPLES.read_text(encoding="utf-8"))[name]
    model = routes()[name].response_model
    read = TypeAdapter(model).validate_python(example)
    assert TypeAdapter(model).dump_python(read, mode="json") == example


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "/api/nothing", 404, "not_found"),
        ("GET", "/api/runs/other", 404, "not_found"),
        ("GET", "/api/jobs/other", 404, "not_found"),
        ("PUT", "/api/runs", 405, "method_not_allowed"),
        ("GET", "/api/search", 422, "invalid"),
        ("GET", "/api/runs/labelled/units?where=layer", 400, "user_error"),
        ("GET", "/static/nothing.js", 404, "not_found"),
        ("GET", "/static/../app.py", 404, "not_found"),
        ("GET", "/static/%2e%2e/app.py", 404, "not_found"),
    ],
)
def test_a_failure_is_a_problem(api: TestClient, method: str, path: str, status: int, error: str) -> None:
    answer = api.request(method, path)
    assert answer.status_code == status
    problem = Problem.model_validate_json(answer.content)
    assert problem.error == error
    assert problem.message.startswith("Expected") and problem.message.endswith(".")


def test_no_other_page_is_let_in(api: TestClient) -> None:
    answer = api.get("/api/runs", headers={"Origin": "https://elsewhere.example"})
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert answer.headers["content-security-policy"].startswith("default-src 'self'")


def test_nothing_is_loaded_from_elsewhere(api: TestClient) -> None:
    assert api.get("/docs").status_code == api.get("/redoc").status_code == 404


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Expected a run folder"):
        create_app([tmp_path], Options())


def test_unforeseen_errors_do_not_show_what_is_inside(
    labelled: Path, monkeypatch: pytest.MonkeyPatch, minilm: Callable[..., Any]
) -> None:
    app: FastAPI = create_app([labelled], Options())

    def broken(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("neurogloss.web.views.run", broken)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        answer = client.get("/api/runs/labelled")
    assert answer.status_code == 500
    assert "secret" not in answer.text and answer.json()["error"] == "internal"
