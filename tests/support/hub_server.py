"""A stand-in for the hub on this machine: folders as repositories, to the clients' own requests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

COMMIT = "c0ffee" * 6 + "c0de"


def _entry(repository: Path, path: Path) -> dict[str, Any]:
    named = {"path": path.relative_to(repository).as_posix(), "oid": hashlib.sha1(bytes(path)).hexdigest()}
    return named | ({"type": "directory"} if path.is_dir() else {"type": "file", "size": path.stat().st_size})


class _Handler(BaseHTTPRequestHandler):
    root: Path
    asked: list[str]
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.asked.append(f"{self.command} {self.path}")
        path, _, query = self.path.partition("?")
        if path.startswith("/api/"):
            kind, organisation, name, *rest = path.removeprefix("/api/").split("/")
            self._describe(self.root / kind / organisation / name, rest, "recursive=true" in query.lower())
        else:
            *kind, organisation, name, _, _, rest = path.strip("/").split("/", 5 if "/datasets/" in path else 4)
            self._file(self.root / (kind or ["models"])[0] / organisation / name / rest)

    do_HEAD = do_GET

    def _describe(self, repository: Path, rest: list[str], recursive: bool) -> None:
        if not repository.is_dir():
            return self._send(404, b"", {"X-Error-Code": "RepoNotFound"})
        if rest[:1] == ["tree"]:
            folder = repository.joinpath(*rest[2:])
            found: Any = [_entry(repository, p) for p in (folder.rglob("*") if recursive else folder.glob("*"))]
        else:
            files = [p.relative_to(repository).as_posix() for p in repository.rglob("*") if p.is_file()]
            found = {"id": repository.name, "sha": COMMIT, "siblings": [{"rfilename": file} for file in files]}
        self._send(200, json.dumps(found).encode(), {"Content-Type": "application/json"})

    def _file(self, path: Path) -> None:
        if not path.is_file():
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
        data = path.read_bytes()
        headers = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "Accept-Ranges": "bytes"}
        asked = self.headers.get("Range")
        if asked is None:
            return self._send(200, data, headers)
        first, last = (int(end) for end in asked.removeprefix("bytes=").split("-"))
        headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        self._send(206, data[first : last + 1], headers)

    def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), "X-Repo-Commit": COMMIT, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@contextmanager
def hub(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve `root/models/ORG/NAME` and `root/datasets/ORG/NAME`: the address, and the requests as they come."""
    asked: list[str] = []
    handler = type("Handler", (_Handler,), {"root": root, "asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
