"""What all routes share, and how a GET of a run is answered: with an ETag, from JSON that is made once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Path, Request, Response
from pydantic import TypeAdapter

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


class NotModified(Exception):
    """Who asks has the answer already."""

    def __init__(self, etag: str) -> None:
        self.etag = etag


@dataclass(frozen=True)
class Asked:
    """A GET of some runs, as they were when it came."""

    service: Service
    readers: Sequence[Reader]
    etag: str

    @property
    def reader(self) -> Reader:
        """Of the one run."""
        return self.readers[0]

    @classmethod
    def of(cls, request: Request, service: Service, readers: Sequence[Reader]) -> Asked:
        """Raises NotModified where the request names the state that the runs are in."""
        state = [str(request.url.path), request.url.query, *(reader.state() for reader in readers)]
        etag = f'W/"{blake2b(repr(state).encode(), digest_size=12).hexdigest()}"'
        known = [each.strip() for each in request.headers.get("if-none-match", "").split(",")]
        if etag in known:
            raise NotModified(etag)
        return cls(service, readers, etag)

    def answer(self, kind: Any, value: Any) -> Response:
        """The value, of that type, as JSON."""
        return Response(_adapter(kind).dump_json(value), media_type="application/json", headers=headers(self.etag))


def one(request: Request, service: Served, run: RunName) -> Asked:
    """A GET of the run in the path."""
    return Asked.of(request, service, [service.reader(run)])


One = Annotated[Asked, Depends(one)]


def headers(etag: str) -> dict[str, str]:
    """To be asked about again each time, and not computed again."""
    return {"ETag": etag, "Cache-Control": "no-cache"}


@lru_cache(64)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
