"""The states of the two graphs, what their nodes return, and how many rounds a unit gets.

The explain graph is given the explain half and the score graph the score half; neither can see the other's.
"""

from __future__ import annotations

import json
import math
import operator
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol, TypedDict

from neurogloss.accounts import Usage
from neurogloss.engines.usage import Call
from neurogloss.errors import UserError
from neurogloss.ids import UnitId, canonical_json
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
from neurogloss.scorers.choice import Floor


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
    """Name of the node that proposed it."""
    value: float = math.nan
    """AUROC over the questions that were answered; NaN if none were asked."""
    asked: int = 0
    """Validation questions asked: fewer for a candidate that fell early."""


@dataclass(frozen=True, slots=True)
class Step:
    """One pass through one node."""

    node: str
    facts: Mapping[str, Any]
    """JSON: what the node found or decided."""
    calls: tuple[Call, ...] = ()
    """Requests that the node made."""


def pack(steps: Sequence[Step]) -> bytes:
    """A trace as the ledger stores it: compressed JSON."""
    return zlib.compress(canonical_json([_plain(step) for step in steps]).encode(), 6)


def unpack(data: bytes) -> list[dict[str, Any]]:
    """Reads a packed trace: node, facts, and calls with messages, answer, failure and tokens.

    Raises:
        UserError: the trace is damaged.
    """
    try:
        steps: list[dict[str, Any]] = json.loads(zlib.decompress(data))
    except (zlib.error, ValueError) as error:
        raise UserError(
            f"Expected a whole trace in the ledger, found: {error}. Label the unit again to have one."
        ) from None
    return steps


def _plain(step: Step) -> dict[str, Any]:
    calls = [
        {
            "messages": [[message.role, message.content] for message in call.messages],
            "answer": call.answer,
            "failure": None if call.failure is None else call.failure.value,
            "prompt_tokens": call.usage.prompt_tokens,
            "completion_tokens": call.usage.completion_tokens,
        }
        for call in step.calls
    ]
    return {"node": step.node, "facts": step.facts, "calls": calls}


# --- explain ----------------------------------------------------------------------------------------


class ExplainInput(TypedDict, total=False):
    """One unit to explain."""

    unit: UnitId
    statistics: UnitStatistics
    half: EvidenceHalf
    """The explain half."""
    score_active: int
    """Active contexts in the score half: with too few, explaining is not worth its cost."""
    output_tokens: OutputTokens | None
    shortfall: str
    """Why the unit must not be explained, whatever its evidence; empty if nothing speaks against it."""


class Routing(TypedDict, total=False):
    """The part of the state that edges read."""

    setback: Setback
    """Ends the unit without an explanation."""
    ranking: list[Ranked]
    """Best first."""
    rounds: int
    """Refinements and experiments so far."""
    stopped: str
    """Why a round asks for no further one."""
    started: float
    """When the unit was begun, by `time.monotonic`."""
    trace: Annotated[list[Step], operator.add]


class ExplainState(ExplainInput, Routing, total=False):
    """From one unit's explain half to its ranked explanations, or to a setback."""

    material: Material
    practice: EvidenceHalf
    """A slice of the explain half, from which mistakes are read."""
    validation: EvidenceHalf
    """Another slice, on which candidates are ranked."""
    candidates: list[Candidate]
    """Not yet ranked."""
    origin: str
    """Name of the node that proposed them."""
    explanations: list[Explanation]
    """Best first."""


class Explained(TypedDict, total=False):
    """The result of the explain graph: explanations or a setback."""

    explanations: list[Explanation]
    setback: Setback
    trace: Annotated[list[Step], operator.add]


class Found(ExplainState, total=False):
    """What a node of the explain graph returns: changes of the state, and facts for its step of the trace."""

    facts: Mapping[str, Any]


class Round(Protocol):
    """A node that proposes further candidates."""

    @property
    def settings(self) -> Mapping[str, object]:
        """JSON of everything that decides its answers."""
        ...

    async def __call__(self, state: ExplainState) -> Found: ...


@dataclass(frozen=True)
class Effort:
    """How much a unit's explanation may cost: which rounds follow the first screening, and what ends them."""

    rounds: Sequence[str] = ()
    """Names of `nodes`, in order."""
    nodes: Mapping[str, Round] = field(default_factory=dict)
    first: int | None = None
    """Questions of the first round of screening; None asks every candidate everything."""
    tokens: int | None = None
    """No round begins once a unit has cost as many, prompts and answers together."""
    seconds: float | None = None
    """Nor after so many."""

    @property
    def settings(self) -> dict[str, Any]:
        """JSON of what decides what comes of it."""
        return {
            "rounds": list(self.rounds),
            "nodes": {name: node.settings for name, node in self.nodes.items()},
            "first": self.first,
            "tokens": self.tokens,
            "seconds": self.seconds,
        }

    def over(self, state: Routing) -> str:
        """Why no further round begins; empty if one does."""
        best, done = state["ranking"][0], state["rounds"]
        if done >= len(self.rounds):
            return f"all {done} rounds done" if done else "no rounds asked for"
        if state.get("stopped"):
            return state["stopped"]
        if best.value == 1.0:
            return "no mistake on the validation slice"
        spent = sum((call.usage for step in state["trace"] for call in step.calls), Usage())
        if self.tokens is not None and spent.tokens >= self.tokens:
            return f"budget of {self.tokens} tokens spent"
        if self.seconds is not None and time.monotonic() - state["started"] >= self.seconds:
            return "budget of seconds spent"
        return ""


# --- score ------------------------------------------------------------------------------------------


class ScoreInput(TypedDict, total=False):
    """One explanation to score."""

    explanation: Explanation
    half: EvidenceHalf
    """The score half."""
    tuning_prompts: tuple[str, ...]
    """Texts of the explain half, on which the strength of an intervention is set."""
    density: float
    """The unit's natural rate over contexts."""
    floors: list[Floor]
    earlier: tuple[Score, ...]
    """Scores that the explanation has already: the verdict is on all."""


class Scored(TypedDict, total=False):
    """The result of the score graph."""

    scores: Annotated[list[Score], operator.add]
    outcomes: Annotated[list[Outcome], operator.add]
    state: State
    reason: str


class ScoreState(ScoreInput, Scored, total=False):
    """From one explanation and the score half to scores and a verdict."""

    held_out: HeldOut
    effect: Mapping[str, float]
    """Strength and KL of the intervention; empty without one."""


class ScorerState(TypedDict):
    """One scorer's task."""

    scorer: Scorer
    explanation: Explanation
    held_out: HeldOut
    density: float
    floors: list[Floor]
    effect: Mapping[str, float]
    """Of the intervention, for a scorer that is made of it; empty for others."""
