"""The records that flow between the folders. All are frozen; nothing mutates what it was given.

collect -> Evidence -> Explanation -> Question, Answer -> Score -> Label
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

from neurogloss.ids import UnitId, content_id

Number = Annotated[
    float,
    BeforeValidator(lambda value: math.nan if value is None else value),
    PlainSerializer(lambda value: value if math.isfinite(value) else None, float | None, when_used="json"),
]
"""A float that may be undefined: NaN in Python, null in JSON."""


class Failure(StrEnum):
    """Why there is no answer. A failure is a state with a reason, never a number."""

    TRANSPORT = "transport"
    REFUSAL = "refusal"
    UNPARSEABLE = "unparseable"
    EMPTY = "empty"
    TOO_LITTLE_EVIDENCE = "too_little_evidence"
    DEAD = "dead"


class State(StrEnum):
    """Where a unit stands under one labelling method."""

    EXPLAINED = "explained"
    """has an explanation, waits for its scores"""
    ACCEPTED = "accepted"
    """a score lies above its floor"""
    REJECTED = "rejected"
    """scored, and no score lies above its floor"""
    TRANSPORT = "transport"
    """the model could not be reached; a later run tries again"""
    REFUSAL = "refusal"
    UNPARSEABLE = "unparseable"
    EMPTY = "empty"
    TOO_LITTLE_EVIDENCE = "too_little_evidence"
    DEAD = "dead"


class Activity(StrEnum):
    """How often a unit fires, as far as that decides what its evidence can hold."""

    DEAD = "dead"
    """never active"""
    RARE = "rare"
    """active in fewer contexts of some half than the uniform sample has room for: those seen are all there are"""
    DENSE = "dense"
    """active in more than half of the contexts: few or none can be certified silent"""
    USUAL = "usual"


# --- evidence -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Context:
    """What a unit answers to as one thing: a window of a document, an image, or a stimulus with text and image.

    A window is cut at white space, and divided as the subject's tokenizer divides it. An image's text is its
    caption, where it has one, as one token; so is the text of a stimulus that was responded to as a whole.
    """

    id: str
    """16 hexadecimal digits: the context's hash, the same for every unit and every subject."""
    tokens: tuple[str, ...]
    """The text of each token."""
    text: str = field(init=False, repr=False, compare=False)
    """The tokens joined: the context's text, byte for byte."""
    picture: str = ""
    """Path of its image; empty where there is none."""
    content: str = field(init=False, repr=False, compare=False)
    """What makes two contexts the same to whoever sees them: the image where there is one, else the text."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", "".join(self.tokens))
        object.__setattr__(self, "content", self.picture or self.text)


@dataclass(frozen=True, slots=True)
class Example:
    """A context with one unit's activation in it."""

    context: Context
    activations: tuple[float, ...]
    """One a token, or of an image one a cell of its grid, row by row. Along the unit's sign: negative values of a
    signed unit's positive side are 0."""
    grid: tuple[int, int] | None = None
    """Rows and columns of cells that cover the image evenly; None of text."""

    @property
    def peak(self) -> float:
        return max(self.activations)

    def active_positions(self, fraction: float = 0.3) -> tuple[int, ...]:
        """Tokens or cells whose activation is at least `fraction` of the peak (delphi's and the paper's 0.3)."""
        limit = fraction * self.peak
        return tuple(i for i, value in enumerate(self.activations) if value > 0 and value >= limit)


@dataclass(frozen=True, slots=True)
class HardNegatives:
    """Contexts certified not to have activated the unit, though something speaks for it. No text is there twice.

    They may be among the plain negatives, too, which are a uniform sample and stay one.
    """

    neighbours: tuple[Context, ...] = ()
    """In which units fired that often fire together with this one; one of each in turn, the nearest first."""
    lexical: tuple[Context, ...] = ()
    """That hold a token at which the unit peaks elsewhere; one of each token in turn."""
    look_alikes: tuple[Context, ...] = ()
    """Nearest by embedding to the contexts with the largest peaks, the nearest first."""


@dataclass(frozen=True, slots=True)
class EvidenceHalf:
    """What was seen of a unit in one half of the documents."""

    top: tuple[Example, ...]
    """The contexts with the largest peaks, descending."""
    uniform: tuple[Example, ...]
    """A uniform sample of the active contexts, by descending peak."""
    negatives: tuple[Context, ...]
    """Contexts certified not to have activated the unit, a uniform sample."""
    hard: HardNegatives = HardNegatives()
    """Empty where none were asked for."""
    n_certified: int | None = None
    """Contexts of the half certified silent: of a dense unit, fewer than were asked for. None: unknown."""


@dataclass(frozen=True, slots=True)
class OutputTokens:
    """What a unit's direction promotes and suppresses: tokens through the language-model head, or classes."""

    promoted: tuple[tuple[str, float], ...]
    """Token and logit, or change of its log probability, descending."""
    suppressed: tuple[tuple[str, float], ...]
    """The same, ascending."""
    kurtosis: Number = math.nan
    """Excess kurtosis of the logits over the vocabulary: 0 for a normal distribution, large where the direction
    picks out few tokens. NaN where it is not known."""


@dataclass(frozen=True, slots=True)
class UnitStatistics:
    """Running statistics of one unit over both halves of the corpus."""

    n_contexts: int
    """Contexts read."""
    n_active: int
    """Contexts in which the unit's peak exceeded its threshold."""
    threshold: Number
    """What active means for this unit: the peak in a context exceeds this."""
    maximum: float
    """Largest activation seen; 0 where the unit never fired."""
    mean: float
    """Mean peak over its active contexts; 0 where it never fired."""
    histogram: tuple[int, ...]
    """Counts of active contexts by peak, in the log-2 bins of `neurogloss.sources.sketch`."""

    @property
    def density(self) -> float:
        """Share of contexts that activate the unit, in [0, 1]."""
        return self.n_active / self.n_contexts if self.n_contexts else 0.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything seen of one unit. The explainer gets `explain`, the scorers get `score`, never the other."""

    unit: UnitId
    statistics: UnitStatistics
    explain: EvidenceHalf
    score: EvidenceHalf
    output_tokens: OutputTokens | None = None
    activity: Activity = Activity.USUAL


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A unit that fires in the same contexts as another."""

    unit: UnitId
    jaccard: float
    """Estimate of the contexts that activate both, as a share of those that activate either."""
    error: float
    """Its standard error; 0 where all active contexts of both are known."""


# --- explaining and scoring -----------------------------------------------------------------------


class Side(StrEnum):
    """What an explanation speaks of."""

    INPUT = "input"
    """the contexts that activate the unit"""
    OUTPUT = "output"
    """what the unit makes the subject write"""
    MIXED = "mixed"
    """both"""
    UNCLEAR = "unclear"
    """the explainer found no pattern"""


@dataclass(frozen=True, slots=True)
class Facet:
    """One of several things that a unit answers to."""

    text: str
    share: float
    """Of the unit's activation mass over its examples, in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Words that an explainer proposes for one unit."""

    text: str
    side: Side = Side.INPUT
    facets: tuple[Facet, ...] = ()
    """Where the text names several things: each by itself, the largest first. What their shares lack of 1 is not
    explained."""
    details: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """JSON that goes into the explanation's provenance, such as the pattern that the text says."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Words for one unit, with where they come from."""

    unit: UnitId
    text: str
    method: str
    """Id of the labelling method (explainer, model, prompts, settings) in the ledger."""
    rank: int = 0
    """0 for the chosen candidate, 1 and up for the losers, best first."""
    side: Side = Side.INPUT
    facets: tuple[Facet, ...] = ()
    """Several things that the text names, each by itself. See `Candidate.facets`."""
    validation: float | None = None
    """AUROC on the validation slice of the explain half, by which candidates were ranked."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """JSON: explainer, model, prompt hash, tokens spent, seed."""

    @property
    def id(self) -> str:
        """Hash of unit, method, rank and text."""
        return content_id([str(self.unit), self.method, self.rank, self.text])


@dataclass(frozen=True, slots=True)
class Passage:
    """A text or an image to be judged, with marks where the question is about what is marked."""

    tokens: tuple[str, ...]
    marks: tuple[int, ...] = ()
    """Positions of the marked tokens, or cells of the grid, ascending."""
    picture: str = ""
    """Path of the image; empty where there is none."""
    grid: tuple[int, int] | None = None
    """Rows and columns of the image's cells, which the marks are of; None of text."""

    @classmethod
    def of(cls, context: Context, marks: Sequence[int] = (), grid: tuple[int, int] | None = None) -> Passage:
        """A context as it is judged."""
        return cls(context.tokens, tuple(marks), context.picture, grid)

    @property
    def content(self) -> str:
        """The image path if there is one, else the text."""
        return self.picture or self.text

    @property
    def text(self) -> str:
        return "".join(self.tokens)

    def marked(self, opening: str = "<<", closing: str = ">>") -> str:
        """The text with each maximal run of marked tokens between `opening` and `closing`; cells are not."""
        marks, out = set() if self.grid else set(self.marks), []
        for i, token in enumerate(self.tokens):
            before = opening if i in marks and i - 1 not in marks else ""
            after = closing if i in marks and i + 1 not in marks else ""
            out.append(before + token + after)
        return "".join(out)


@dataclass(frozen=True, slots=True)
class Question:
    """One thing asked of a judge about an explanation: one passage (does it fit?) or two (which fits?)."""

    passages: tuple[Passage, ...]
    truth: bool
    """The right answer: the passage fits; of two, the first does."""
    stratum: str = ""
    """What the question stands for, e.g. the activation decile it was drawn from."""
    activations: tuple[float, ...] = field(default=(), repr=False, compare=False)
    """The unit's, one a token of the first passage, where they are known. The ledger does not keep them."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A judge's answer to one question: a probability, or why there is none."""

    probability: float | None
    """Of the truth being True, in [0, 1]."""
    failure: Failure | None = None
    reason: str = ""
    values: tuple[float, ...] = field(default=(), repr=False, compare=False)
    """What the probability was made of, where that is measured: nats, an activation a token. Not in the ledger."""

    def __post_init__(self) -> None:
        if (self.probability is None) == (self.failure is None):
            raise ValueError("an answer is either a probability or a failure")
        if self.probability is not None and not 0.0 <= self.probability <= 1.0:
            raise ValueError(f"a probability lies in [0, 1], found {self.probability}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One question, of whom it was asked, and the answer."""

    scorer: str
    asked: str
    """Id of the explanation that the judge had before it: the unit's own, or a floor's."""
    question: Question
    answer: Answer


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and the limits of its interval. All three are NaN where the value is undefined."""

    value: Number
    low: Number
    high: Number

    @property
    def defined(self) -> bool:
        return not math.isnan(self.value)


@dataclass(frozen=True, slots=True)
class Score:
    """What one scorer measured of one explanation, beside its floor."""

    scorer: str
    judge: str
    metric: str
    """Name of the headline metric: the one that `score`, `floor` and `excess` are in."""
    score: Interval
    floor: Interval
    """The same questions answered for explanations of other units; undefined where there are none."""
    excess: Interval
    """Score minus floor, paired over questions; 95 % interval."""
    p_value: Number
    """One-sided: the chance of such an excess where the explanation says nothing. NaN where undefined."""
    metrics: Mapping[str, Number]
    """Further metrics by name; NaN where undefined."""
    n_questions: int
    failures: Mapping[str, int]
    """Questions without an answer, by failure. They are in no metric."""


@dataclass(frozen=True, slots=True)
class Label:
    """Where a unit stands under one method: its state, and what it has of explanation and scores."""

    unit: UnitId
    method: str
    state: State
    reason: str = ""
    """Why, where the state is a failure."""
    explanation: Explanation | None = None
    scores: tuple[Score, ...] = ()
