"""The service: HTTP API and explorer over run folders."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from neurogloss.web import access, problems
from neurogloss.web.jobs import Jobs
from neurogloss.web.live import Live
from neurogloss.web.options import Options
from neurogloss.web.readers import readers
from neurogloss.web.routes import images, jobs, live, runs, search, units
from neurogloss.web.service import Service

STATIC = Path(__file__).parent / "static"
EXAMPLES = Path(__file__).parent / "examples.json"
ROUTERS = (runs.router, search.router, units.router, images.router, live.router, jobs.router)
ABOUT = """Explanations of a model's units, with scores beside their floors: to search, to browse, to ask for.

A GET of a run carries an ETag: sent back in `If-None-Match`, it is answered by 304 while the run is as it was.
Every failure is a Problem: a word for programs, and a sentence that says what to do."""


def create_app(runs: Sequence[Path], options: Options) -> FastAPI:
    """The application that serves these runs.

    Raises:
        UserError: there is no run at a path, or an option is wrong.
    """
    found = readers(runs, options.embedder)
    folders = {name: reader.folder.path for name, reader in found.items()}
    service = Service(found, options, Jobs(folders, options), Live(options))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with service.jobs:
            yield
        for reader in found.values():
            reader.close()

    app = FastAPI(
        title="neurogloss",
        description=ABOUT,
        version=version("neurogloss"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    problems.install(app)

    for router in ROUTERS:
        app.include_router(router)

    @app.get("/", include_in_schema=False)
    def explorer() -> FileResponse:
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    access.protect(app, options)
    _document(app)
    return app


def _document(app: FastAPI) -> None:
    """Put an answer that was really given, shortened, beside each operation of the OpenAPI document."""
    document = app.openapi()
    for name, example in json.loads(EXAMPLES.read_text(encoding="utf-8")).items():
        method, path = name.split()
        answers = document["paths"][path][method.lower()]["responses"]
        answers[min(answers)]["content"]["application/json"]["example"] = example
