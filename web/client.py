"""The service from Python: a method for each address, with what it answers as the models of `web.schemas`.

with Client("http://127.0.0.1:8600") as client:
    for hit in client.search("dates and numbers"):
        print(hit.label.unit, hit.label.explanation)
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Any, Self, TypeAlias, TypeVar
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError
from pyreqwest.client import SyncClientBuilder
from pyreqwest.exceptions import RequestError
from pyreqwest.request import SyncRequestBuilder

from neurogloss.errors import UserError, first_line
from neurogloss.foreign import read_json
from neurogloss.web import schemas

SECONDS = 120.0
"""For one answer: a live subject has to be loaded first."""
STREAM_SECONDS = 86_400.0
Item = TypeVar("Item")
Query: TypeAlias = Mapping[str, Any]
NOTHING: Query = {}


class Client:
    """A service, asked from one thread at a time; a context manager.

    Every method raises UserError with what the service says, or where no service answers.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        """
        Args:
            url: as `neurogloss serve` printed it.
            token: where the service demands one.
        """
        self.url = url.rstrip("/")
        try:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            self._http = SyncClientBuilder().default_headers(headers).build()
        except ValueError:  # whose text holds the token
            raise UserError("Expected a token on one line. Give the one that the service has.") from None

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # --- runs -------------------------------------------------------------------------------------

    def runs(self) -> list[schemas.Run]:
        return self._get(list[schemas.Run], "runs")

    def run(self, run: str) -> schemas.Run:
        return self._get(schemas.Run, _of(run))

    def numbers(self, run: str, method: str | None = None) -> schemas.Numbers:
        """What the scores of a method come to, by default the newest."""
        return self._get(schemas.Numbers, _of(run, "numbers"), {"method": method})

    def run_events(self, run: str) -> Generator[schemas.Run, None, None]:
        """The run, now and whenever it changes, for ten minutes."""
        return self._events(schemas.Run, _of(run, "events"))

    # --- finding ----------------------------------------------------------------------------------

    def search(
        self,
        q: str,
        run: Sequence[str] = (),
        *,
        where: str = "",
        by: str = "hybrid",
        state: Sequence[str] = (),
        k: int = 20,
    ) -> Iterator[schemas.Hit]:
        """Labels by what their explanations say, best first, asked for k at a time."""
        query = {"q": q, "run": run, "where": where, "by": by, "state": state, "k": k}
        return self._pages(schemas.Hit, "search", query)

    def units(
        self,
        run: str,
        *,
        where: str = "",
        state: Sequence[str] = (),
        sort: str = "unit",
        limit: int = 100,
        skip: int = 0,
    ) -> Iterator[schemas.Hit]:
        """Labels with an explanation, asked for `limit` at a time, the first `skip` passed over."""
        query = {"where": where, "state": state, "sort": sort, "limit": limit, "skip": skip}
        return self._pages(schemas.Hit, _of(run, "units"), query)

    def failed(
        self, run: str, *, state: Sequence[str] = (), method: str | None = None, limit: int = 100
    ) -> Iterator[schemas.Label]:
        """Labels without an explanation."""
        query = {"state": state, "method": method, "limit": limit}
        return self._pages(schemas.Label, _of(run, "failed"), query)

    # --- one unit ---------------------------------------------------------------------------------

    def unit(self, run: str, unit: str) -> schemas.Unit:
        """A unit by its id, or by the end of it."""
        return self._get(schemas.Unit, _of(run, "unit"), {"unit": unit})

    def contexts(self, run: str, unit: str, half: str = "score", limit: int = 20) -> schemas.Contexts:
        return self._get(schemas.Contexts, _of(run, "contexts"), {"unit": unit, "half": half, "limit": limit})

    def neighbours(self, run: str, unit: str, by: str = "meaning", k: int = 10) -> list[schemas.Neighbour]:
        """Units like it, by `meaning`, `decoder` or `coactivation`."""
        query = {"unit": unit, "by": by, "k": k}
        return self._get(list[schemas.Neighbour], _of(run, "neighbours"), query)

    def trace(self, run: str, unit: str, method: str | None = None) -> list[schemas.Step]:
        """How its explanation was come by."""
        return self._get(list[schemas.Step], _of(run, "trace"), {"unit": unit, "method": method})

    def answers(
        self, run: str, unit: str, scorer: str, *, wrong: bool = True, method: str | None = None, limit: int = 50
    ) -> Iterator[schemas.Answer]:
        """What a judge was asked of its explanation; `wrong`: only what it got wrong, or did not answer."""
        query = {"unit": unit, "scorer": scorer, "wrong": wrong, "method": method, "limit": limit}
        return self._pages(schemas.Answer, _of(run, "answers"), query)

    def image(self, path: str) -> bytes:
        """The file behind an `image` of an example or passage."""
        return self._send(self._http.get(f"{self.url}/{path.lstrip('/')}"))

    # --- the live subject -------------------------------------------------------------------------

    def firing(self, run: str, text: str, k: int = 20, where: str = "") -> list[schemas.Firing]:
        """The units that fire most on a text."""
        return self._get(list[schemas.Firing], _of(run, "firing"), {"text": text, "k": k, "where": where})

    def activations(self, run: str, unit: str, text: str) -> schemas.Example:
        """A unit's activations on a text."""
        return self._post(schemas.Example, _of(run, "activations"), {"unit": unit, "text": text})

    def steer(
        self,
        run: str,
        unit: str,
        prompts: Sequence[str],
        *,
        kl: float | None = None,
        strength: float | None = None,
    ) -> schemas.Steering:
        """Prompts continued with the unit raised: by a strength, or until it changes the next token by `kl`."""
        body = {"unit": unit, "prompts": list(prompts), "kl": kl, "strength": strength}
        return self._post(schemas.Steering, _of(run, "steer"), body)

    # --- jobs -------------------------------------------------------------------------------------

    def label(self, run: str, units: str, **settings: Any) -> schemas.Job:
        """Ask for labels; settings as of `neurogloss label`, without those that name models."""
        return self._post(schemas.Job, _of(run, "label"), {"units": units, **settings})

    def score(self, run: str, units: str, scorers: Sequence[str], **settings: Any) -> schemas.Job:
        """Ask for scores of explanations that are there."""
        return self._post(schemas.Job, _of(run, "score"), {"units": units, "scorers": list(scorers), **settings})

    def compare(self, a: Mapping[str, str], b: Mapping[str, str], **settings: Any) -> schemas.Job:
        """Ask for a comparison; a side is `{"run": …}`, and a hookpoint and a dictionary if need be."""
        return self._post(schemas.Job, "compare", {"a": dict(a), "b": dict(b), **settings})

    def jobs(self) -> list[schemas.Job]:
        return self._get(list[schemas.Job], "jobs")

    def job(self, id: str) -> schemas.Job:
        return self._get(schemas.Job, f"jobs/{quote(id, safe='')}")

    def job_events(self, id: str) -> Generator[schemas.Job, None, None]:
        """The job, now and at each change, until it has ended."""
        return self._events(schemas.Job, f"jobs/{quote(id, safe='')}/events")

    def result(self, id: str) -> Any:
        """What a job came to, as JSON; of a comparison, a `comparisons.Comparison` reads it."""
        return read_json(self._send(self._http.get(f"{self.url}/api/jobs/{quote(id, safe='')}/result")))

    def cancel(self, id: str) -> schemas.Job:
        return _read(schemas.Job, self._send(self._http.delete(f"{self.url}/api/jobs/{quote(id, safe='')}")))

    # --- asking -----------------------------------------------------------------------------------

    def _get(self, kind: type[Item], path: str, query: Query = NOTHING) -> Item:
        return _read(kind, self._send(self._http.get(f"{self.url}/api/{path}").query(_flat(query))))

    def _post(self, kind: type[Item], path: str, body: Mapping[str, Any]) -> Item:
        given = {name: value for name, value in body.items() if value is not None}
        return _read(kind, self._send(self._http.post(f"{self.url}/api/{path}").body_json(given)))

    def _pages(self, kind: Any, path: str, query: Query) -> Iterator[Any]:
        cursor: str | None = ""
        while cursor is not None:
            page: schemas.Page[Any] = self._get(schemas.Page[kind], path, {**query, "cursor": cursor})
            yield from page.items
            # What is passed over is passed over once.
            cursor, query = page.next, {**query, "skip": None}

    def _events(self, kind: type[Item], path: str) -> Generator[Item, None, None]:
        request = self._http.get(f"{self.url}/api/{path}").timeout(timedelta(seconds=STREAM_SECONDS))
        try:
            # Without a limit an event waits until those behind it have filled a buffer.
            with request.streamed_read_buffer_limit(0).build_streamed() as answer:
                if answer.status != 200:
                    raise _problem(answer.status, bytes(answer.bytes()))
                for line in _lines(iter(answer.body_reader.read_chunk, None)):
                    if line.startswith(b"data:"):
                        yield _read(kind, line[5:])
        except RequestError as error:
            raise self._unreached(error) from error

    def _send(self, request: SyncRequestBuilder) -> bytes:
        try:
            answer = request.timeout(timedelta(seconds=SECONDS)).build().send()
            status, body = answer.status, bytes(answer.bytes())
        except RequestError as error:
            raise self._unreached(error) from error
        if not 200 <= status < 300:
            raise _problem(status, body)
        return body

    def _unreached(self, error: Exception) -> UserError:
        return UserError(
            f"Expected a neurogloss service at {self.url}, found none ({first_line(error)}). "
            "Start it with:  neurogloss serve RUN"
        )


def _of(run: str, what: str = "") -> str:
    return f"runs/{quote(run, safe='')}{what and '/'}{what}"


def _flat(query: Query) -> list[tuple[str, str]]:
    """Lists as repeated names; nothing for None, an empty list or text."""
    many = {name: value if isinstance(value, list | tuple) else [value] for name, value in query.items()}
    return [(name, _text(one)) for name, values in many.items() for one in values if one not in (None, "")]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _lines(chunks: Iterable[Any]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + bytes(chunk)).split(b"\n")
        yield from lines


def _problem(status: int, body: bytes) -> UserError:
    try:
        return UserError(schemas.Problem.model_validate_json(body).message)
    except ValidationError:
        return UserError(f"Expected an answer of a neurogloss service, found status {status} without a reason.")


@lru_cache(64)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _read(kind: type[Item], body: bytes) -> Item:
    try:
        found: Item = _adapter(kind).validate_json(body)  # type: ignore[arg-type]
        return found
    except ValidationError as error:
        raise UserError(
            f"Expected the answer of a service of this version, found another ({first_line(error)}). "
            "Bring both to one version."
        ) from None
