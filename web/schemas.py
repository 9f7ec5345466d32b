"""What the service answers, as JSON: made of the records by name, read back as the same by the client.

A number that is undefined is null. A unit is its id as text. An image is the path of the service that sends it.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict


def _defined(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_defined)]
"""None where it is undefined."""
Name = Annotated[str, BeforeValidator(str)]
"""A unit, `subject/hookpoint/dictionary/index`."""


class View(BaseModel):
    """Made of a record by `model_validate(record)`."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


Item = TypeVar("Item")


class Page(View, Generic[Item]):
    """Some items of many."""

    items: list[Item]
    total: int | None = None
    """Of all pages, where it is known."""
    next: str | None = None
    """The cursor of the next page; null on the last."""


class Problem(View):
    """Why there is no answer."""

    error: str
    """A word for programs: `user_error`, `not_found`, `too_large`, `too_many_jobs`, `unauthorized`, …"""
    message: str
    """For people: what was expected, what was found, what to do next; the same as the command line says."""


# --- labels -----------------------------------------------------------------------------------------


class Interval(View):
    """A value with its 95 % interval."""

    value: Number
    low: Number
    high: Number


class Score(View):
    """As `neurogloss.records.Score`."""

    scorer: str
    judge: str
    metric: str
    score: Interval
    floor: Interval
    excess: Interval
    p_value: Number
    metrics: dict[str, Number]
    n_questions: int
    failures: dict[str, int]


class Facet(View):
    """As `neurogloss.records.Facet`."""

    text: str
    share: float


class Explanation(View):
    """As `neurogloss.records.Explanation`."""

    id: str
    text: str
    method: str
    rank: int
    side: str
    facets: list[Facet]
    validation: Number
    provenance: dict[str, Any]


class Label(View):
    """As `neurogloss.records.Label`."""

    unit: Name
    method: str
    state: str
    reason: str
    explanation: Explanation | None
    scores: list[Score]


# --- units ------------------------------------------------------------------------------------------


class Example(View):
    """A context with a unit's activation in it; without activations, one that did not activate it."""

    context: str
    """Id."""
    tokens: list[str]
    activations: list[float]
    """One a token, or of an image one a cell, row by row; empty of a context that did not activate the unit."""
    peak: float
    grid: tuple[int, int] | None = None
    """Rows and columns of cells that cover the image evenly."""
    image: str | None = None


class Statistics(View):
    """As `neurogloss.records.UnitStatistics`."""

    n_contexts: int
    n_active: int
    threshold: float
    maximum: float
    mean: float
    density: float
    histogram: list[int]


class OutputTokens(View):
    """As `neurogloss.records.OutputTokens`."""

    promoted: list[tuple[str, float]]
    suppressed: list[tuple[str, float]]
    kurtosis: Number


class Prediction(View):
    """What is known of a voxel's encoding model."""

    r: Number
    """Correlation of measured and predicted responses, held out."""
    ceiling: Number
    p_value: Number
    rois: list[str]


class Unit(View):
    """A unit's page, but for what is asked for by itself: contexts, neighbours, trace, answers."""

    unit: str
    labels: list[Label]
    """Of each method, the newest first."""
    candidates: list[Explanation]
    """Of the newest method, the chosen one first."""
    activity: str | None
    """dead, rare, dense or usual; null where nothing was collected."""
    statistics: Statistics | None
    edges: list[float]
    """Of the histogram's bins: one more than there are bins."""
    output_tokens: OutputTokens | None
    prediction: Prediction | None


class Contexts(View):
    """Contexts of a unit in one half of the documents, the strongest first."""

    half: Literal["explain", "score"]
    """The explanation was written from the first, and is scored on the second."""
    top: list[Example]
    uniform: list[Example]
    """A uniform sample of the active contexts: by it, quantiles."""
    negatives: list[Example]


class Neighbour(View):
    """A unit like another."""

    unit: Name
    value: Number
    """Cosine, or estimated share of contexts that activate both."""
    error: Number
    """Its standard error; null where it has none."""
    text: str | None
    state: str | None


class Passage(View):
    """A text or image that a judge was shown, with marks."""

    tokens: list[str]
    marks: list[int]
    grid: tuple[int, int] | None = None
    image: str | None = None


class Answer(View):
    """One question to a judge, and the answer."""

    scorer: str
    passages: list[Passage]
    truth: bool
    stratum: str
    probability: Number
    """Of `truth`; null where there is no answer."""
    right: bool | None
    failure: str | None
    reason: str


class Step(View):
    """One pass through one node of the agent's graph."""

    node: str
    facts: dict[str, Any]
    """What the node found or decided."""
    calls: list[dict[str, Any]]
    """Messages, answer, failure and tokens of each."""


class Hit(View):
    """A result of a search or of browsing."""

    run: str
    label: Label
    density: Number
    similarity: Number
    """Cosine of query and explanation; null where none was asked, or by words alone."""
    same: int
    """Labels that say the same."""
    strip: Example | None
    """The strongest context."""


class Firing(View):
    """A unit that fires on a text."""

    unit: Name
    share: Number
    """Of its largest activation in the corpus."""
    example: Example
    label: Label | None


class SteeredText(View):
    """As `neurogloss.records.SteeredText`."""

    prompt: str
    clean: str
    steered: str


class Steering(View):
    """As `neurogloss.records.Steering`."""

    strength: float
    kl: float
    texts: list[SteeredText]


# --- runs -------------------------------------------------------------------------------------------


class Method(View):
    """A labelling method of a run."""

    id: str
    explainer: str
    states: dict[str, int]
    usage: dict[str, dict[str, float]]
    """Requests and tokens by stage."""


class Site(View):
    """A place whose units were collected."""

    hookpoint: str
    dictionary: str
    units: int
    layer: int | None


class Run(View):
    """A run that is served, where it stands."""

    name: str
    subject: str
    measure: str | None
    """tokens, images or stimuli; null of a run that was only imported."""
    counts: dict[str, int]
    complete: bool
    sites: list[Site]
    methods: list[Method]
    """The newest first."""
    fields: dict[str, Literal["text", "number"]]
    """What search filters on; empty where there is no index."""
    live: bool
    """Whether texts can be tried and prompts steered."""


class Summary(View):
    """The mean over units with its interval."""

    n: int
    mean: Interval


class ScorerSummary(View):
    """As `neurogloss.scorers.summary.ScorerSummary`."""

    scorer: str
    metric: str
    score: Summary
    floor: Summary
    excess: Summary
    p_value: Number


class Point(View):
    """A unit's score beside its floor, to be drawn."""

    unit: str
    scorer: str
    score: Number
    floor: Number
    density: Number


class Numbers(View):
    """What a method's scores come to."""

    method: str
    scorers: list[ScorerSummary]
    recalls: dict[str, list[Number]]
    """By scorer: mean recall by decile of the peaks, the lowest first; of scorers that have it."""
    points: list[Point]
    """At most 2,000 units, drawn by hash."""


class Job(View):
    """Something that takes a while."""

    id: str
    kind: Literal["label", "score", "compare"]
    run: str
    request: dict[str, Any]
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    message: str
    """Of a job that failed, why; of one that is done, what it came to."""
    done: int
    total: int | None
    submitted: str
    """ISO 8601, UTC."""
    finished: str | None
