"""Pictures as a model is shown them: the image, and where it matters its marked cells.

1. The image is resized: its longer side has at most `LONGEST` pixels, and at least `SHORTEST`, so that what is
   small can be made out.
2. Where some cells are marked, what lies outside of them is darkened to a quarter of its light (as in the masked
   views of MILAN, Hernandez et al. 2022, arXiv:2201.11114), and they are outlined.
3. It becomes a JPEG file; the same image and marks give the same bytes.

A model that sees no pictures reads captions in their place (`in_words`).
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from neurogloss.errors import UserError, first_line, imported
from neurogloss.prompts.render import Prompt
from neurogloss.records import Context, Passage

LONGEST, SHORTEST = 448, 224
"""Pixels of the longer side."""
DIMMED = 0.25
OUTLINE = (255, 64, 0)
WIDTH = 5
"""Pixels of the outline, which lies outside of the marked cells."""
QUALITY = 90


def showing(prompt: Prompt, passages: Iterable[Passage]) -> Prompt:
    """The prompt, its last message followed by the pictures of those passages that have one.

    Raises:
        MissingExtra: Pillow is not installed.
        UserError: an image is not there any more, or does not decode.
    """
    pictures = tuple(draw(p.picture, p.marks, p.grid) for p in passages if p.picture)
    if not pictures:
        return prompt
    *before, last = prompt.messages
    return replace(prompt, messages=(*before, replace(last, pictures=pictures)))


def has_words(shown: Context | Passage) -> bool:
    """Whether one who sees no pictures can read it: not an image without a caption."""
    return not shown.picture or bool(shown.text.strip())


def in_words(passage: Passage) -> Passage | None:
    """The passage as one who sees no pictures reads it: an image is its caption.

    None where there are no words for it: an image without a caption, or of which only a part is marked.
    """
    if not passage.picture:
        return passage
    whole = passage.grid is None or len(passage.marks) in (0, passage.grid[0] * passage.grid[1])
    if not whole or not has_words(passage):
        return None
    return Passage(passage.tokens, tuple(range(len(passage.tokens))) if passage.marks else ())


def all_in_words(passages: Sequence[Passage]) -> tuple[Passage, ...] | None:
    """Each of them `in_words`; None where that is not possible of all."""
    found = tuple(words for passage in passages if (words := in_words(passage)))
    return found if len(found) == len(passages) else None


@lru_cache(256)
def draw(path: str, marks: tuple[int, ...] = (), grid: tuple[int, int] | None = None) -> bytes:
    """JPEG file of the image, its marked cells outlined; without marks, or with all cells marked, as it is.

    Args:
        marks: cells of the grid, counted row by row.

    Raises:
        MissingExtra, UserError: as `showing`.
    """
    image = _open(path)
    scale = min(LONGEST, max(SHORTEST, *image.size)) / max(image.size)
    image = image.resize([max(1, round(side * scale)) for side in image.size])
    if grid is not None and 0 < len(marks) < grid[0] * grid[1]:
        image = _marked(image, marks, grid)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def _marked(image: Any, marks: tuple[int, ...], grid: tuple[int, int]) -> Any:
    from PIL import Image, ImageFilter

    cells = Image.new("L", (grid[1], grid[0]))
    for cell in marks:
        cells.putpixel((cell % grid[1], cell // grid[1]), 255)
    inside = cells.resize(image.size, Image.Resampling.NEAREST)
    near = inside.filter(ImageFilter.MaxFilter(2 * WIDTH + 1))
    outlined = Image.composite(Image.new("RGB", image.size, OUTLINE), image.point(lambda v: v * DIMMED), near)
    return Image.composite(image, outlined, inside)


def _open(path: str) -> Any:
    Image = imported("PIL.Image", "pip install 'neurogloss[vision]'", "Pillow")
    try:
        with Image.open(path) as opened:
            return opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(
            f"Expected an image in {path}, found none that decodes: {first_line(error)}. Put it back where it was "
            "when the run was collected, or have captions read instead (--pictures captions)."
        ) from None
