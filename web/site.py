"""The explorer as files, for any static host: what the service answers about chosen units.

1. Units are chosen: all with an explanation, some of them by hash, or those that are named.
2. What their pages ask the service for is written down, a file an answer, named by a hash of its address: no name
   of a run or a unit is ever a path.
3. All labels of the chosen units are one more file, by which the page searches; images lie beside.
4. All is written to a folder beside, which takes the name once it is whole: there is never half an export.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha1
from heapq import nsmallest
from itertools import product
from mimetypes import guess_extension
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from urllib.parse import unquote

import orjson
from pydantic_core import to_jsonable_python

from neurogloss.errors import UserError
from neurogloss.ids import UnitId, hash64
from neurogloss.protocols import Progress, Quiet
from neurogloss.web import views
from neurogloss.web.app import STATIC, create_app
from neurogloss.web.options import Options
from neurogloss.web.problems import Refusal
from neurogloss.web.readers import Reader
from neurogloss.web.routes import images, runs, search, units
from neurogloss.web.schemas import Hit

PARTS: tuple[tuple[str, Callable[..., Any], Mapping[str, Any]], ...] = (
    ("contexts", units.contexts, {"half": "score", "limit": 64}),
    ("contexts", units.contexts, {"half": "explain", "limit": 64}),
    ("neighbours", units.neighbours, {"by": "meaning", "k": 10}),
    ("neighbours", units.neighbours, {"by": "decoder", "k": 10}),
    ("neighbours", units.neighbours, {"by": "coactivation", "k": 10}),
)
"""What a unit's page asks for, as it asks for it."""
ANSWERS = 20
"""Questions that it asks for at once."""
HEAD = '<meta name="neurogloss-site" content="data/">\n<script src="static/from-file.js" defer></script>\n</head>'
_IMAGE = re.compile(r"/api/runs/([^/]+)/images/([0-9a-f]{16})")
_QUIET = Quiet()


@dataclass(frozen=True, slots=True)
class Site:
    """What was written."""

    units: int
    files: int
    bytes: int


def write_site(
    folders: Sequence[Path],
    out: Path,
    chosen: str = "all",
    where: str = "",
    embedder: str | None = None,
    progress: Progress = _QUIET,
) -> Site:
    """Write the explorer of these runs to `out`, a folder that is new or empty.

    Args:
        chosen: `all` with an explanation, `sample:N` of each run, or names of units, separated by commas.
        where: of all, only those with a label that passes this filter.

    Raises:
        UserError: there is no run or no such unit, the filter is none, or the folder is not empty.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"Expected a new or an empty folder at {out}, found one in use. Give another.")
    found_runs = create_app(folders, Options(embedder=embedder)).state.service.readers
    readers: list[Reader] = list(found_runs.values())
    try:
        hits = [_hits(reader, where) for reader in readers]
        found = _choose(readers, hits, chosen, where)
        with _made_whole(out) as folder:
            files = _Files(folder, readers)
            files.write(
                "search.json", [hit for some, names in zip(hits, found, strict=True) for hit in _of(some, names)]
            )
            progress.start("export", sum(map(len, found)), "units")
            for reader, names in zip(readers, found, strict=True):
                _write_run(files, reader)
                for name in names:
                    _write_unit(files, reader, UnitId.parse(name))
                    progress.advance()
            files.put("runs", [views.run(reader, False) for reader in readers])
            written = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    finally:
        for reader in readers:
            reader.close()
    return Site(sum(map(len, found)), len(written), sum(written))


# --- which units -------------------------------------------------------------------------------------


def _hits(reader: Reader, where: str) -> list[Hit]:
    """Labels with an explanation that pass, in the order in which the page lists them."""
    fields = views.run(reader, False).fields
    limits = [name for name in ("detection.excess_low", *fields) if name in fields and name.endswith("excess_low")]
    order = f"-{limits[0]},unit" if limits else "unit"
    found: list[Hit] = []
    cursor: str | None = ""
    while cursor is not None:
        page = search.units(reader, where, None, order, limit=500, cursor=cursor, skip=0)
        found += page.items
        cursor = page.next
    return found


def _choose(readers: Sequence[Reader], hits: Sequence[list[Hit]], chosen: str, where: str) -> list[list[str]]:
    """Ids of units, of each run."""
    explained = [list(dict.fromkeys(str(hit.label.unit) for hit in some)) for some in hits]
    if chosen == "all":
        found = explained
    elif chosen.startswith("sample:"):
        number = chosen.removeprefix("sample:")
        if not (number.isascii() and number.isdigit() and int(number)):
            raise UserError(f"Expected sample:N with a whole number N, found {chosen}.")
        found = [nsmallest(int(number), some, key=hash64) for some in explained]
    elif where:
        raise UserError("Expected names of units or a filter, found both. Leave one away.")
    else:
        found = _named(readers, [name.strip() for name in chosen.split(",") if name.strip()])
    if not any(found):
        raise UserError(
            f"Expected units to export, found none with an explanation{' that passes' if where else ''}. "
            "Label some first, or choose others."
        )
    return found


def _named(readers: Sequence[Reader], names: Sequence[str]) -> list[list[str]]:
    """Raises UserError where no run has a unit of that name."""
    found: list[dict[str, None]] = [{} for _ in readers]
    for name in names:
        refusals = []
        for reader, mine in zip(readers, found, strict=True):
            with reader.opened() as opened:
                try:
                    mine[str(reader.unit(name, opened))] = None
                except Refusal as refusal:
                    refusals.append(refusal.detail)
        if len(refusals) == len(readers):
            raise UserError(refusals[0])
    return [list(mine) for mine in found]


def _of(hits: list[Hit], names: Sequence[str]) -> list[Hit]:
    wanted = set(names)
    return [hit for hit in hits if str(hit.label.unit) in wanted]


# --- what is written of them -------------------------------------------------------------------------


def _write_run(files: _Files, reader: Reader) -> None:
    base = f"runs/{reader.name}"
    run = views.run(reader, False)
    files.put(base, run)
    for method in run.methods:
        files.put(base + "/numbers", runs.numbers(reader, method.id), method=method.id)


def _write_unit(files: _Files, reader: Reader, unit: UnitId) -> None:
    base, name = f"runs/{reader.name}", str(unit)
    about = units.unit(reader, unit)
    files.put(f"{base}/unit", about, unit=name)

    def write(part: str, ask: Callable[..., Any], **query: Any) -> Any:
        try:
            answer = ask(reader, unit, **query)
        except (Refusal, UserError):
            return None  # the run does not have it, and the page says so
        files.put(f"{base}/{part}", answer, unit=name, **query)
        return answer

    for part, ask, query in PARTS:
        write(part, ask, **query)
    for label in about.labels[:1]:
        write("trace", units.trace, method=label.method)
        for score, wrong in product(label.scores, (True, False)):
            cursor: str | None = ""
            while cursor is not None:
                query = {"scorer": score.scorer, "wrong": wrong, "limit": ANSWERS, "cursor": cursor}
                page = write("answers", units.answers, **query)
                cursor = page and page.next


class _Files:
    """The folder's files."""

    def __init__(self, folder: Path, readers: Sequence[Reader]) -> None:
        self._folder, self._data = folder, folder / "data"
        self._runs = {reader.name: reader for reader in readers}
        self._images: dict[str, str | None] = {}
        shutil.copytree(STATIC, folder / "static", ignore=shutil.ignore_patterns("index.html"))
        page = (STATIC / "index.html").read_text(encoding="utf-8")
        (folder / "index.html").write_text(page.replace("</head>", HEAD), encoding="utf-8")
        self._data.mkdir()

    def put(self, path: str, answer: Any, **query: Any) -> None:
        """What the service answers at an address."""
        self.write(f"{_slug(address(path, query))}.json", answer)

    def write(self, file: str, answer: Any) -> None:
        (self._data / file).write_bytes(orjson.dumps(self._local(to_jsonable_python(answer))))

    def _local(self, answer: Any) -> Any:
        """The same with images of the folder."""
        if isinstance(answer, list):
            return [self._local(each) for each in answer]
        if not isinstance(answer, dict):
            return answer
        return {
            key: self._image(value) if key == "image" and isinstance(value, str) else self._local(value)
            for key, value in answer.items()
        }

    def _image(self, path: str) -> str | None:
        """Where the image is from the page on; None where the service has none. Other texts stay as they are."""
        named = _IMAGE.fullmatch(path)
        reader = self._runs.get(unquote(named[1])) if named else None
        if named is None or reader is None:
            return path
        if path not in self._images:
            self._images[path] = self._copied(path, reader, named[2])
        return self._images[path]

    def _copied(self, path: str, reader: Reader, context: str) -> str | None:
        try:
            data, kind = images.picture_of(reader, context)
        except Refusal:
            return None
        file = self._data / f"{_slug(path)}{guess_extension(kind)}"
        file.write_bytes(data)
        return file.relative_to(self._folder).as_posix()


def address(path: str, query: Mapping[str, Any]) -> str:
    """As the page names an answer: unescaped, parameters by name, without those that are empty or false."""
    said = [
        f"{name}={'true' if value is True else value}"
        for name, value in sorted(query.items())
        if value is not False and value != ""
    ]
    return f"{path}?{'&'.join(said)}" if said else path


def _slug(text: str) -> str:
    return sha1(text.encode(), usedforsecurity=False).hexdigest()[:20]


@contextmanager
def _made_whole(out: Path) -> Iterator[Path]:
    """A folder beside that takes the name at the end, or leaves nothing."""
    out = out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        folder.chmod(0o755)
        yield folder
        if out.exists():
            out.rmdir()
        folder.rename(out)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
