"""Images that a user's own generator draws or edits, for experiments on a unit that looks at images.

A generator is a class, named `module:Class` and called without arguments when it is first needed. It has
`draw(text, seed)` and, if it can, `edit(picture, text, seed)`. Both give an image of Pillow, and should give the
same one for the same seed.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurogloss.errors import UserError, first_line
from neurogloss.registry import load

if TYPE_CHECKING:
    from PIL.Image import Image


class Generator:
    """A user's own. Raises UserError where there is none at that place."""

    def __init__(self, place: str) -> None:
        """`place`: `module:Class`."""
        self.name = place
        self._kind = load(place, "a generator of images")
        if not callable(getattr(self._kind, "draw", None)):
            raise UserError(f"Expected {place} to have draw(text, seed), found none. Give it one.")

    @property
    def edits(self) -> bool:
        """Whether it can change an image that is there."""
        return callable(getattr(self._kind, "edit", None))

    def draw(self, text: str, seed: int) -> Image:
        """An image of what the text says, RGB. Raises UserError where the generator fails."""
        return self._image("draw", text, seed)

    def edit(self, picture: str, text: str, seed: int) -> Image:
        """The image of that path, changed as the text says, RGB. Raises UserError where the generator fails."""
        from neurogloss.sources.vision.pictures import open_picture

        return self._image("edit", open_picture(Path(picture)), text, seed)

    def _image(self, method: str, *given: object) -> Image:
        from PIL import Image as Pillow

        try:
            found = getattr(self._made, method)(*given)
        except Exception as error:  # whatever somebody else's code runs into
            raise UserError(f"The generator {self.name} failed: {first_line(error)}.") from error
        if not isinstance(found, Pillow.Image):
            raise UserError(f"Expected {method} of {self.name} to give an image, found {type(found).__name__}.")
        return found.convert("RGB")

    @cached_property
    def _made(self) -> Any:
        return self._kind()
