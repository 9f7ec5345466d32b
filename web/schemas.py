"""JSON answers that only the service has. Records are served as they are.

An undefined number is null, a unit is its id as text, and an image is the path that the service sends it from.
"""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from neurogloss.accounts import Usage
from neurogloss.ids import UnitId
from neurogloss.records import Explanation, Label, Number, OutputTokens, UnitStatistics
from neurogloss.scorers.summary import ScorerSummary
from neurogloss.store.similarity import Level, Lone, Pair


class View(BaseModel):
    """Base class of the answers."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


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


class Prediction(View):
    """What is known of a voxel's encoding model."""

    r: Number
    """Correlation of measured and predicted responses, held out."""
    ceiling: Number
    p_value: Number
    rois: list[str]


class Unit(View):
    """A unit's page, but for what is asked for by itself: contexts, neighbours, trace, answers."""

    unit: UnitId
    labels: list[Label]
    """Of each method, the newest first."""
    candidates: list[Explanation]
    """Of the newest method, the chosen one first."""
    activity: str | None
    """dead, rare, dense or usual; null where nothing was collected."""
    statistics: UnitStatistics | None
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

    unit: UnitId
    value: Number
    """Cosine, or estimated share of contexts that activate both."""
    error: float | None
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
    probability: float | None
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
    density: float | None
    similarity: Number
    """Cosine of query and explanation; null where none was asked, or by words alone."""
    same: int
    """Labels that say the same."""
    strip: Example | None
    """The strongest context."""


class Firing(View):
    """A unit that fires on a text."""

    unit: UnitId
    share: Number
    """Of its largest activation in the corpus."""
    example: Example
    label: Label | None


# --- runs -------------------------------------------------------------------------------------------


class Method(View):
    """A labelling method of a run."""

    id: str
    explainer: str
    states: dict[str, int]
    usage: dict[str, Usage]
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


class Point(View):
    """A unit's score beside its floor, to be drawn."""

    unit: UnitId
    scorer: str
    score: Number
    floor: Number
    density: float | None


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


class Heat(View):
    """Two sets of places compared: each cell compares one place of A with one of B."""

    kind: str
    rows: list[str]
    columns: list[str]
    means: list[list[Number]]
    floors: list[list[Number]]


class Comparison(View):
    """Two sets of units compared."""

    model_config = ConfigDict(from_attributes=True)

    match: str
    ranked_by: str
    limit: Number
    levels: tuple[Level, ...]
    missing: dict[str, str]
    """Kinds of evidence that could not be used, and why."""
    units: tuple[int, int]
    matched: tuple[int, int]
    pairs: tuple[Pair, ...]
    """At most 5,000, the most alike first."""
    distinctive: tuple[tuple[Lone, ...], tuple[Lone, ...]]
    """Units that are like none of the other side, at most 500 a side."""
    heat: Heat | None = None
    """Place by place, unless each side is one place."""
