"""How much a unit's explanation may cost: which rounds follow the first screening, and what ends them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from neurogloss.accounts import Usage
from neurogloss.agent.state import ExplainState, Found, Routing


class Round(Protocol):
    """A node that proposes further candidates."""

    @property
    def settings(self) -> Mapping[str, object]:
        """JSON of everything that decides its answers."""
        ...

    async def __call__(self, state: ExplainState) -> Found: ...


@dataclass(frozen=True)
class Effort:
    """What follows the first screening."""

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
