"""What the two graphs hand from node to node.

The explain graph is given the explain half and the score graph the score half; neither can see the other's.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, TypedDict

from neurogloss.ids import UnitId
from neurogloss.protocols import HeldOut, Material, Scorer
from neurogloss.records import (
    EvidenceHalf,
    Explanation,
    Failure,
    Outcome,
    OutputTokens,
    Question,
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


class ExplainState(TypedDict, total=False):
    """From one unit's explain half to its ranked explanations, or to a setback."""

    unit: UnitId
    statistics: UnitStatistics
    half: EvidenceHalf
    """The explain half."""
    score_active: int
    """Active contexts that the score half keeps: whether explaining is worth its cost."""
    output_tokens: OutputTokens | None
    material: Material
    validation: list[Question]
    candidates: list[str]
    explanations: list[Explanation]
    """Best first."""
    setback: Setback


class ScoreState(TypedDict, total=False):
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
    scores: Annotated[list[Score], operator.add]
    outcomes: Annotated[list[Outcome], operator.add]
    state: State
    reason: str


class Scoring(TypedDict):
    """What one scorer's node is sent."""

    scorer: Scorer
    explanation: Explanation
    held_out: HeldOut
    density: float
    floors: list[Floor]
    effect: Mapping[str, float]
    """Of the intervention, for a scorer that is made of it; empty for others."""
