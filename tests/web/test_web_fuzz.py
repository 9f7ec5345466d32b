"""Whatever fits the OpenAPI document, or nearly does, is answered as it says, never by a failure."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from neurogloss.engines.embedder import MiniLM
from neurogloss.web.app import create_app
from neurogloss.web.options import Options

CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance]
QUIET = list(HealthCheck)
EXAMPLES = 8
"""Of each operation and kind."""


def test_no_request_breaks_the_service(labelled: Path, imported: Path, minilm: MiniLM) -> None:
    """Of a service that takes no jobs. Streams of events, which go on for minutes, are left out."""
    app = create_app([labelled, imported], Options(max_jobs=0, allow_hosts=("testserver",)))
    document = schemathesis.openapi.from_asgi("/openapi.json", app).exclude(path_regex="/events$")
    operations: list[Any] = [found.ok() for found in document.get_all_operations()]  # type: ignore[union-attr]
    assert len(operations) > 20
    for operation in operations:
        check(operation, GenerationMode.POSITIVE)
        with suppress(Unsatisfiable):  # of what takes nothing there are no wrong requests
            check(operation, GenerationMode.NEGATIVE)


def check(operation: Any, mode: GenerationMode) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=QUIET)
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        if "run" in case.path_parameters:
            case.path_parameters = {**case.path_parameters, "run": "labelled"}  # any other is soon answered
        case.validate_response(case.call(), checks=CHECKS)

    ask()
