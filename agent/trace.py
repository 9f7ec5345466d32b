"""Traces as stored in the ledger: compressed JSON."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from typing import Any

from neurogloss.agent.state import Step
from neurogloss.errors import UserError
from neurogloss.ids import canonical_json


def pack(steps: Sequence[Step]) -> bytes:
    """Compresses a trace."""
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
