"""The fixed menu of experiments: what an explainer may ask of the subject and of the explain half. Never code.

A call that does not fit its tool is answered with what was wrong, so that the model can mend it. Nothing here
sees the score half.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from neurogloss.errors import NeuroglossError, UserError, first_line
from neurogloss.ids import UnitId, derive_seed
from neurogloss.llm import Tool, ToolCall
from neurogloss.protocols import LiveSubject, Material
from neurogloss.records import Example, Passage
from neurogloss.registry import load
from neurogloss.sources.vision.steering import Cut

if TYPE_CHECKING:
    from PIL.Image import Image

Text = Annotated[str, Field(min_length=1, max_length=400)]
SHOWN = 4
"""Contexts or units that one call shows."""


class _Arguments(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Activations(_Arguments):
    """How strongly the unit responds to texts of your own: 0 to 10, relative to its largest known activation."""

    texts: list[Text] = Field(min_length=1, max_length=8)


class Contexts(_Arguments):
    """Passages in which the unit is active at a quantile of its strength: 1 the strongest, 0 the weakest."""

    quantile: float = Field(ge=0, le=1)


class OutputTokens(_Arguments):
    """Tokens that the unit makes the model more and less likely to write next; of pictures, classes to name."""


class Steer(_Arguments):
    """How the model continues a text with the unit raised, beside how it does without."""

    prompt: Text
    strength: float = Field(default=1.0, gt=0, le=4, description="divergence caused, in nats: 0.3 mild, 3 strong")


class Neighbours(_Arguments):
    """Units that fire in the same passages, with their words: what this unit must be told apart from."""


class _Part(_Arguments):
    """A part of one of the pictures that were shown, from their edges in percent."""

    picture: int = Field(ge=1, description="its number in the lists")
    left: float = Field(default=0, ge=0, lt=100)
    top: float = Field(default=0, ge=0, lt=100)
    right: float = Field(default=100, gt=0, le=100)
    bottom: float = Field(default=100, gt=0, le=100)

    @model_validator(mode="after")
    def _has_an_area(self) -> Self:
        if self.left >= self.right or self.top >= self.bottom:
            raise ValueError("left lies before right, and top above bottom")
        return self

    @property
    def box(self) -> tuple[float, float, float, float]:
        return self.left / 100, self.top / 100, self.right / 100, self.bottom / 100


class Crop(_Part):
    """How strongly the unit responds to a part of a picture by itself: 0 to 10; and to the whole of it."""


class Mask(_Part):
    """How strongly the unit responds to a picture with a part painted over: 0 to 10; and to it as it is."""


class Combine(_Part):
    """How strongly the unit responds to another picture with a part of this one put into it, at the same place: 0
    to 10; and to the other as it is."""

    into: int = Field(ge=1, description="number of the other picture")


class Draw(_Arguments):
    """How strongly the unit responds to pictures drawn as you describe them: 0 to 10."""

    descriptions: list[Text] = Field(min_length=1, max_length=4)


class Edit(_Arguments):
    """How strongly the unit responds to a picture after it was changed as you say: 0 to 10; and to it as it is."""

    picture: int = Field(ge=1, description="its number in the lists")
    change: Text


class Generator:
    """Draws or edits images: a user's own class, named `module:Class`.

    It is called without arguments when it is first needed. It has `draw(text, seed)` and, if it can,
    `edit(picture, text, seed)`. Both give an image of Pillow, and should give the same one for the same seed.

    Raises:
        UserError: there is none at that place.
    """

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


class Images(Protocol):
    """A live subject that looks at images."""

    def peaks(self, unit: UnitId, pictures: Sequence[Cut | Image]) -> Sequence[float]: ...


@dataclass(frozen=True)
class Laboratory:
    """What experiments are made with. What is None is not on the menu."""

    subject: Callable[[], LiveSubject] | None
    neighbours: Callable[[UnitId], Sequence[tuple[float, Sequence[Example]]]] | None
    """Overlap and top examples, of the explain half, of the units that fire in the same contexts."""
    images: Callable[[], Images] | None = None
    """The subject, where it looks at images."""
    generator: Generator | None = None
    """What draws images for it."""


class Menu:
    """The tools for one unit."""

    def __init__(self, laboratory: Laboratory, material: Material, pictures: Sequence[str] = ()) -> None:
        """`pictures`: paths of the images that the model was shown, in the order of their numbers."""
        self._laboratory, self._material, self._pictures = laboratory, material, pictures
        self._largest = max((e.peak for e in (*material.half.top, *material.half.uniform)), default=0.0)
        self._uses: dict[str, tuple[type[_Arguments], Callable[[Any], Any]]] = {
            "contexts": (Contexts, self._contexts)
        }
        if material.outputs is not None:
            self._uses["output_tokens"] = (OutputTokens, self._output_tokens)
        if laboratory.neighbours is not None:
            self._uses["neighbours"] = (Neighbours, self._neighbours)
        if laboratory.subject is not None:
            self._uses["activations"] = (Activations, self._activations)
            self._uses["steer"] = (Steer, self._steer)
        if laboratory.images is not None and pictures:
            self._uses["crop"] = (Crop, self._crop)
            self._uses["mask"] = (Mask, self._mask)
            self._uses["combine"] = (Combine, self._combine)
        if laboratory.images is not None and laboratory.generator is not None:
            self._uses["draw"] = (Draw, self._draw)
            if laboratory.generator.edits and pictures:
                self._uses["edit"] = (Edit, self._edit)

    @property
    def tools(self) -> tuple[Tool, ...]:
        """What a chat model is told of."""
        return tuple(
            Tool(name, " ".join((kind.__doc__ or "").split()), kind.model_json_schema())
            for name, (kind, _) in self._uses.items()
        )

    def use(self, call: ToolCall) -> str:
        """What a call finds, as JSON: `error` says what was wrong with it."""
        if call.name not in self._uses:
            return json.dumps({"error": f"no tool {call.name!r}; there are {', '.join(self._uses)}"})
        kind, work = self._uses[call.name]
        try:
            return json.dumps(work(kind.model_validate(dict(call.arguments))), ensure_ascii=False)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            return json.dumps({"error": wrong})
        except NeuroglossError as error:
            return json.dumps({"error": str(error)})

    def _activations(self, given: Activations) -> list[Mapping[str, Any]]:
        assert self._laboratory.subject is not None
        found = self._laboratory.subject().examples(self._material.unit, given.texts)
        return [{"text": _marked(example), "strength": self._strength(example)} for example in found]

    def _contexts(self, given: Contexts) -> list[Mapping[str, Any]]:
        examples = self._material.half.uniform or self._material.half.top
        start = round((1 - given.quantile) * max(len(examples) - SHOWN, 0))
        return [{"text": _marked(e), "strength": self._strength(e)} for e in examples[start : start + SHOWN]]

    def _output_tokens(self, given: OutputTokens) -> Mapping[str, Any]:
        outputs = self._material.outputs
        assert outputs is not None
        return {
            "more likely": [token for token, _ in outputs.promoted],
            "less likely": [token for token, _ in outputs.suppressed],
        }

    def _steer(self, given: Steer) -> Mapping[str, Any]:
        assert self._laboratory.subject is not None
        tuning = [context.text for context in self._material.half.negatives[:8]]
        steering = self._laboratory.subject().steer(
            self._material.unit, [given.prompt], tuning, self._material.seed, given.strength
        )
        return {"without": steering.texts[0].clean, "raised": steering.texts[0].steered}

    def _neighbours(self, given: Neighbours) -> list[Mapping[str, Any]]:
        assert self._laboratory.neighbours is not None
        found = self._laboratory.neighbours(self._material.unit)[:SHOWN]
        return [
            {"overlap": round(overlap, 2), "passages": [_marked(example) for example in examples[:2]]}
            for overlap, examples in found
        ]

    def _crop(self, given: Crop) -> Mapping[str, Any]:
        return self._changed(Cut(self._picture(given.picture), given.box), given.picture)

    def _mask(self, given: Mask) -> Mapping[str, Any]:
        return self._changed(Cut(self._picture(given.picture), given.box, painted_over=True), given.picture)

    def _combine(self, given: Combine) -> Mapping[str, Any]:
        other = self._picture(given.into)
        return self._changed(Cut(self._picture(given.picture), given.box, other), given.into)

    def _draw(self, given: Draw) -> list[Mapping[str, Any]]:
        generator = self._laboratory.generator
        assert self._laboratory.images is not None and generator is not None
        drawn = [generator.draw(text, self._seed(text)) for text in given.descriptions]
        found = self._laboratory.images().peaks(self._material.unit, drawn)
        strengths = map(self._relative, found)
        return [{"drawn": text, "strength": x} for text, x in zip(given.descriptions, strengths, strict=True)]

    def _edit(self, given: Edit) -> Mapping[str, Any]:
        assert self._laboratory.generator is not None
        picture = self._picture(given.picture)
        edited = self._laboratory.generator.edit(picture, given.change, self._seed(given.change))
        return self._changed(edited, given.picture)

    def _seed(self, text: str) -> int:
        return derive_seed(self._material.seed, "drawn", text) % 2**31

    def _changed(self, picture: Cut | Image, number: int) -> Mapping[str, Any]:
        assert self._laboratory.images is not None
        before = Cut(self._picture(number))
        found = self._laboratory.images().peaks(self._material.unit, [picture, before])
        strength, was = map(self._relative, found)
        return {"strength": strength, "was": was}

    def _picture(self, number: int) -> str:
        if number > len(self._pictures):
            raise UserError(f"there is no picture {number}; they end with {len(self._pictures)}")
        return self._pictures[number - 1]

    def _strength(self, example: Example) -> float:
        return self._relative(example.peak)

    def _relative(self, activation: float) -> float:
        return round(10 * activation / self._largest, 1) if self._largest > 0 else 0.0


def _marked(example: Example) -> str:
    """The text, its active tokens between << and >>."""
    marks = example.active_positions() if example.peak > 0 else ()
    return Passage.of(example.context, marks, example.grid).marked()
