"""What all routes share: the runs, and the ETag of a GET of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, HTTPException, Path, Request, Response

from neurogloss.web.options import Options
from neurogloss.web.problems import not_found
from neurogloss.web.readers import Reader

if TYPE_CHECKING:
    from neurogloss.web.jobs import Jobs
    from neurogloss.web.live import Live


@dataclass(frozen=True)
class Service:
    """What is served."""

    readers: Mapping[str, Reader]
    options: Options
    jobs: Jobs
    live: Live

    def reader(self, run: str) -> Reader:
        """Raises Refusal where no run has that name."""
        found = self.readers.get(run)
        if found is None:
            raise not_found(f"Expected one of the runs {', '.join(self.readers)}; found {run!r}.")
        return found


def service(request: Request) -> Service:
    """Of the application that the request came to."""
    found: Service = request.app.state.service
    return found


Served = Annotated[Service, Depends(service)]
RunName = Annotated[str, Path(description="Name of a run, as in /api/runs", examples=["demo"])]


def answer_once(request: Request, response: Response, readers: Sequence[Reader]) -> None:
    """Put an ETag on the answer to a GET of these runs. Raises a 304 if the client names the same one."""
    state = [str(request.url.path), request.url.query, *(reader.state() for reader in readers)]
    etag = f'W/"{blake2b(repr(state).encode(), digest_size=12).hexdigest()}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if etag in [each.strip() for each in request.headers.get("if-none-match", "").split(",")]:
        raise HTTPException(304, headers=headers)
    response.headers.update(headers)


def one(request: Request, response: Response, service: Served, run: RunName) -> Reader:
    """The run in the path of a GET."""
    reader = service.reader(run)
    answer_once(request, response, [reader])
    return reader


One = Annotated[Reader, Depends(one)]
