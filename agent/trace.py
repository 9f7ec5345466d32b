"""What happened while a unit was explained: each node's findings, and what models were asked and answered."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from neurogloss.engines.usage import Call
from neurogloss.errors import UserError
from neurogloss.ids import canonical_json

if TYPE_CHECKING:
    from neurogloss.agent.state import ExplainState


class Node(Protocol):
    """From the state to what the node adds to it."""

    async def __call__(self, state: ExplainState) -> ExplainState: ...


@dataclass(frozen=True, slots=True)
class Step:
    """One pass through one node."""

    node: str
    facts: Mapping[str, Any]
    """JSON: what the node found or decided."""
    calls: tuple[Call, ...] = ()


def traced(name: str, node: Node) -> Node:
    """The node, with a step of the trace for each pass: its facts and the requests made in it."""

    async def run(state: ExplainState) -> ExplainState:
        calls = state.get("calls", [])
        before = len(calls)
        found = await node(state)
        facts = dict(found.get("facts", {}))
        if "setback" in found:
            facts["setback"] = f"{found['setback'].failure}: {found['setback'].reason}"
        return {**found, "trace": [Step(name, facts, tuple(calls[before:]))]}

    return run


def pack(steps: Sequence[Step]) -> bytes:
    """Compressed JSON of a trace."""
    return zlib.compress(canonical_json([_plain(step) for step in steps]).encode(), 6)


def unpack(data: bytes) -> list[dict[str, Any]]:
    """What `pack` packed, as JSON: node, facts, and calls with messages, answer, failure and tokens.

    Raises:
        UserError: it is damaged.
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
