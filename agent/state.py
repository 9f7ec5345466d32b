"""What the two graphs hand from node to node.

The explain graph is given the explain half and the score graph the score half; neither can see the other's.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

from neurogloss.agent.trace import Step
from neurogloss.engines.usage import Call
from neurogloss.ids import UnitId
from neurogloss.protocols import HeldOut, Material, Scorer
from neurogloss.records import (
    Candidate,
    EvidenceHalf,
    Explanation,
    Failure,
    Outcome,
    OutputTokens,
    Score,
    State,
    UnitStatistics,
)
from neurogloss.scorers.floors import Floor


@dataclass(frozen=True, slots=True)
class Setback:
    """Why a unit goes no further."""

    failure: Failure
    reason: str


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate, and how it did on the validation slice."""

    candidate: Candidate
    origin: str
    """The node that it comes from."""
    value: float = math.nan
    """AUROC over the questions that were answered; NaN where none were asked."""
    asked: int = 0
    """Validation questions asked: fewer for a candidate that fell early."""


class Explained(TypedDict, total=False):
    """What comes of explaining."""

    explanations: list[Explanation]
    """Best first."""
    setback: Setback
    """In their place."""
    trace: Annotated[list[Step], operator.add]


class ExplainState(Explained, total=False):
    """From one unit's explain half to its ranked explanations, or to a setback."""

    unit: UnitId
    statistics: UnitStatistics
    half: EvidenceHalf
    """The explain half."""
    score_active: int
    """Active contexts that the score half keeps: whether explaining is worth its cost."""
    output_tokens: OutputTokens | None
    shortfall: str
    """Why the unit is not to be explained, whatever was seen of it; empty where nothing speaks against it."""
    calls: list[Call]
    """The unit's requests so far: grows while the graph runs."""
    deadline: float
    """By `time.monotonic`; infinite without a budget of seconds."""
    material: Material
    practice: EvidenceHalf
    """A slice of the explain half, off which mistakes are read."""
    validation: EvidenceHalf
    """Another one, on which candidates are ranked."""
    candidates: list[Candidate]
    """Not yet ranked."""
    origin: str
    """The node that they come from."""
    ranking: list[Ranked]
    """Best first."""
    rounds: int
    """Refinements and experiments so far."""
    stopped: str
    """Why there are no more of them."""
    facts: Mapping[str, Any]
    """JSON: what a node has to say about what it did."""


class Scored(TypedDict, total=False):
    """What comes of scoring."""

    scores: Annotated[list[Score], operator.add]
    outcomes: Annotated[list[Outcome], operator.add]
    state: State
    reason: str


class ScoreState(Scored, total=False):
    """From one explanation and the score half to scores and a verdict."""

    explanation: Explanation
    half: EvidenceHalf
    """The score half."""
    tuning_prompts: tuple[str, ...]
    """Texts of the explain half, on which the strength of an intervention is set."""
    density: float
    """The unit's natural rate over contexts."""
    floors: list[Floor]
    held_out: HeldOut
    effect: Mapping[str, float]
    """Strength and KL of the intervention; empty where there was none."""
    earlier: list[Score]
    """What the explanation has of other scorers: the verdict is on all."""


class ScorerState(TypedDict):
    """What one scorer's node is sent."""

    scorer: Scorer
    explanation: Explanation
    held_out: HeldOut
    density: float
    floors: list[Floor]
    effect: Mapping[str, float]
    """Of the intervention, for a scorer that is made of it; empty for others."""
