"""Bodies of requests: what clients may ask for, and how much of it.

A request names no URL, file, module or price: whoever starts the service decides which models it uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from neurogloss.settings import LabelSettings

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_+-]*$", max_length=64)]
"""Name of an installed explainer or scorer. `module:Class` is refused, because it would run any code it names."""
Text = Annotated[str, Field(max_length=500)]
SCORING: Mapping[str, Any] = {
    "units": Field(max_length=100_000, examples=["sample:24"]),
    "scorers": (Annotated[tuple[Name, ...], Field(min_length=1, max_length=20)], "Scorers by name."),
    "questions": Field(le=1_000),
    "floors": Field(le=20),
    "per_prompt": Field(le=50),
    "concurrency": Field(le=64),
    "seed": Field(ge=0, le=2**31 - 1),
    **dict.fromkeys(("judge", "probabilities", "stop", "stop_width", "stop_error", "pictures")),
}
"""Settings of both requests, with a lower limit, or with a narrower type and what it holds, or as they are."""
EXPLAINING: Mapping[str, Any] = {
    "explainer": (Name, "Explainer by name. Defaults to `default` with an LLM and to `pmi` without."),
    "candidates": Field(le=20),
    "refinements": Field(le=5),
    "experiments": Field(le=20),
    "min_active": Field(le=1_000),
    **dict.fromkeys(("effort", "unit_tokens")),
}
"""Further settings of a request to label."""


class Request(BaseModel):
    """Base class: unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    def settings(self) -> dict[str, Any]:
        """The `LabelSettings` that were given; the others have their defaults."""
        return self.model_dump(mode="json", exclude_none=True, exclude={"method"})


def _model(name: str, doc: str, limits: Mapping[str, Any], **own: Any) -> type[Request]:
    """A request with some of the settings. All but `units` may be left out."""
    for setting, limit in limits.items():
        field = LabelSettings.model_fields[setting]
        kind: Any = Annotated[(field.annotation, *field.metadata, limit)]
        description = field.description
        if isinstance(limit, tuple):
            kind, description = limit
        if setting == "units":
            own[setting] = (kind, Field(description=description))
        else:
            default = f" Default: {field.default}." if isinstance(field.default, int | float) else ""
            own[setting] = (kind | None, Field(None, description=f"{description}{default}"))
    return create_model(name, __base__=Request, __module__=__name__, __doc__=doc, **own)


if TYPE_CHECKING:

    class LabelRequest(Request): ...

    class ScoreRequest(Request):
        method: str | None
else:
    METHOD = (Text | None, Field(None, description="Method to score. Defaults to the newest."))
    LabelRequest = _model("LabelRequest", "Units to explain and to score.", {**SCORING, **EXPLAINING})
    ScoreRequest = _model("ScoreRequest", "Explanations to score by more scorers.", SCORING, method=METHOD)


class Side(Request):
    """A run, or a place in it."""

    run: Text
    hookpoint: Text | None = None
    dictionary: Text | None = None


class CompareRequest(Request):
    """Two sets of units to compare."""

    a: Side
    b: Side
    by: Annotated[
        tuple[Literal["text", "decoder", "coactivation", "correlation"], ...], Field(min_length=1, max_length=4)
    ] = ("text",)
    """The first ranks where several cannot be combined."""
    match: Literal["nearest", "mutual", "one-to-one", "clusters"] = "nearest"
    k: Annotated[int, Field(ge=1, le=50)] = 1
    """Neighbours a unit, of nearest and clusters."""


class ActivationsRequest(Request):
    """A text to read a unit's activations on."""

    text: Annotated[str, Field(min_length=1, max_length=20_000)]
    unit: Text


class SteerRequest(Request):
    """Prompts to continue with a unit raised."""

    unit: Text
    prompts: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=2_000)], ...], Field(min_length=1, max_length=8)
    ]
    kl: Annotated[float, Field(ge=-20, le=20)] | None = None
    """How much of the next token is to change, nats; below 0 the unit is lowered. By default 1."""
    strength: Annotated[float, Field(ge=-1e6, le=1e6)] | None = None
    """Added along the unit's direction instead, in units of activation."""
