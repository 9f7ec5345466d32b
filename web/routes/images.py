"""The images of a run's contexts, and no other file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Response
from fastapi import Path as InPath

from neurogloss.web.problems import RESPONSES, not_found
from neurogloss.web.readers import Reader
from neurogloss.web.service import One

router = APIRouter(prefix="/api/runs/{run}", tags=["images"], responses=RESPONSES)
LARGEST = 50_000_000
"""Bytes of an image that is sent."""
KINDS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
)
"""First bytes of what browsers show as images; no kind that holds scripts (SVG)."""


@router.get(
    "/images/{context}",
    response_class=Response,
    responses={200: {"content": {kind: {} for kind in ("image/png", "image/jpeg", "image/gif", "image/webp")}}},
    summary="The image of a context",
)
def image(
    reader: One,
    response: Response,
    context: Annotated[str, InPath(pattern="^[0-9a-f]{16}$", description="Id of a context")],
) -> Response:
    data, kind = picture_of(reader, context)
    return Response(data, media_type=kind, headers=response.headers)


def picture_of(reader: Reader, context: str) -> tuple[bytes, str]:
    """The image of a context and its media type. Raises Refusal if it has none that browsers show."""
    cache, name = reader.cache, reader.name
    try:
        picture = cache.context(int(context, 16)).picture if cache else ""
    except KeyError:
        picture = ""
    try:
        path = Path(picture)
        data = path.read_bytes() if picture and path.stat().st_size <= LARGEST else b""
    except OSError:
        data = b""
    kind = media_type(data)
    if kind is None:
        raise not_found(f"Expected a context of {name} with an image that browsers show, found none at {context}.")
    return data, kind


def media_type(data: bytes) -> str | None:
    """What the first bytes say; None of what is no image."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in KINDS if data.startswith(start)), None)
