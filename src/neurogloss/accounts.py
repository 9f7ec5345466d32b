"""What labelling takes, and how far it has come: tokens, money, and where units stand."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from operator import add

from neurogloss.records import State


@dataclass(frozen=True, slots=True)
class Prices:
    """Money per million tokens, in whatever currency."""

    prompt: float = 0.0
    completion: float = 0.0
    cached: float | None = None
    """Of prompt tokens that the server had computed before; None: as any other."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Requests to a model, and tokens. What an answer cache served is counted in `stored` alone."""

    requests: int = 0
    """Sent, each counted once whatever the attempts it took."""
    stored: int = 0
    """Answered from the answer cache instead."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Of the prompt tokens, those that the server had computed before, where it says so."""
    completion_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*map(add, astuple(self), astuple(other)))

    @property
    def tokens(self) -> int:
        """Of prompts and answers."""
        return self.prompt_tokens + self.completion_tokens

    def cost(self, prices: Prices) -> float:
        """In the currency of the prices."""
        cached = prices.prompt if prices.cached is None else prices.cached
        fresh = self.prompt_tokens - self.cached_tokens
        money = fresh * prices.prompt + self.cached_tokens * cached + self.completion_tokens * prices.completion
        return money / 1e6


@dataclass(frozen=True, slots=True)
class Work:
    """What one stage of labelling one unit took."""

    stage: str
    """`explain` or `score`."""
    usage: Usage
    trace: bytes | None = None
    """How the explanation was come by, packed; None where it is not kept."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a unit stands under one method, in short."""

    state: State
    attempts: int
    """How often it failed."""
    explained: bool
    """Whether it has an explanation."""
    scorers: frozenset[str] = frozenset()
    """Those that its explanation has scores of."""
