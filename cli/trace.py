"""Prints a unit's trace: the steps that produced its explanation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from neurogloss.cli.text import visible

CUT = 1200
"""Characters of a message to print."""


def print_trace(out: Console, steps: Sequence[Mapping[str, Any]]) -> None:
    """Print each node's findings, requests and answers. Instructions that repeat are left out."""
    seen: set[str] = set()
    for number, step in enumerate(steps, 1):
        out.print(f"\n{number}. {step['node']}", style="bold")
        for name, value in step["facts"].items():
            _print_fact(out, name, value)
        for call in step["calls"]:
            _print_call(out, call, seen)


def _print_fact(out: Console, name: str, value: Any) -> None:
    if not isinstance(value, list):
        out.print(f"   {name}: {visible(str(value))}", soft_wrap=True)
        return
    out.print(f"   {name}:" if value else f"   {name}: none")
    for item in value:
        line = ", ".join(f"{k} {v}" for k, v in item.items()) if isinstance(item, Mapping) else str(item)
        out.print(f"     - {visible(line)}", soft_wrap=True)


def _print_call(out: Console, call: Mapping[str, Any], seen: set[str]) -> None:
    tokens = f"{call['prompt_tokens']} + {call['completion_tokens']} tokens"
    out.print(f"   request ({tokens})", style="dim")
    for role, content in call["messages"]:
        if content not in seen:
            seen.add(content)
            _print_message(out, role, content)
    answer = call["answer"] if call["failure"] is None else f"{call['failure']}: {call['answer']}"
    out.print(Text(f"     → {visible(answer)}", style="green" if call["failure"] is None else "yellow"))


def _print_message(out: Console, role: str, content: str) -> None:
    more = f" … ({len(content) - CUT} characters more)" if len(content) > CUT else ""
    text = content[:CUT] + more
    for i, line in enumerate(text.splitlines()):
        out.print(
            f"     {role + ':' if not i else ' ' * (len(role) + 1)} {visible(line)}", style="dim", soft_wrap=True
        )
