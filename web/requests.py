"""What a job is asked for: chosen settings within limits. Which models are asked is never among them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_+-]*$", max_length=64)]
"""Of an explainer or scorer that is installed; none by its place in a module, which would run what it names."""
Text = Annotated[str, Field(max_length=500)]


class Request(BaseModel):
    """Base: unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class _Scoring(Request):
    """What labelling and scoring share; what is left out is as on the command line."""

    units: Annotated[str, Field(max_length=100_000, examples=["sample:24"])]
    """`all`, `sample:N`, indices and ranges, or full unit ids with commas."""
    scorers: Annotated[tuple[Name, ...], Field(min_length=1, max_length=20)] | None = None
    judge: Literal["similarity", "likelihood", "llm"] | None = None
    questions: Annotated[int, Field(ge=4, le=1_000)] | None = None
    floors: Annotated[int, Field(ge=1, le=20)] | None = None
    stop: Literal["width", "settled"] | None = None
    stop_width: Annotated[float, Field(gt=0, lt=1)] | None = None
    stop_error: Annotated[float, Field(gt=0, lt=1)] | None = None
    pictures: Literal["auto", "captions"] | None = None
    concurrency: Annotated[int, Field(ge=1, le=64)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None

    def settings(self) -> dict[str, Any]:
        """Of `neurogloss.settings.LabelSettings`, those that were given."""
        return self.model_dump(mode="json", exclude_none=True)


class LabelRequest(_Scoring):
    """Units to explain and to score."""

    explainer: Name | None = None
    effort: Literal["low", "medium", "high"] | None = None
    candidates: Annotated[int, Field(ge=1, le=20)] | None = None
    refinements: Annotated[int, Field(ge=0, le=5)] | None = None
    experiments: Annotated[int, Field(ge=1, le=20)] | None = None
    per_prompt: Annotated[int, Field(ge=1, le=50)] | None = None
    probabilities: bool | None = None
    min_active: Annotated[int, Field(ge=2, le=1_000)] | None = None
    unit_tokens: Annotated[int, Field(ge=1)] | None = None


class ScoreRequest(_Scoring):
    """Explanations to score by more scorers."""

    method: Text | None = None
    """Whose explanations; by default the newest."""

    def settings(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_none=True, exclude={"method"})


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
