"""Chooses examples for questions and prompts, and their order: seeded, and blind to what will be asked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice
from typing import TypeVar

import numpy as np

from neurogloss.ids import derive_seed
from neurogloss.records import Context, EvidenceHalf, Example

Item = TypeVar("Item")
LONG_ENOUGH = 20
"""Tokens of a context that can be a prompt."""


def over_ranks(examples: Sequence[Example], n: int) -> list[tuple[Example, str]]:
    """At most n of the examples, which stand by descending peak, evenly over their ranks.

    Each comes with its decile as text: "10" for the highest tenth of the peaks, "1" for the lowest.
    """
    total = len(examples)
    ranks: list[int] = np.unique(np.linspace(0, total - 1, min(n, total)).round().astype(int)).tolist()
    return [(examples[rank], str(10 - int(10 * rank / total))) for rank in ranks]


def shuffled(items: Sequence[Item], seed: int, purpose: str) -> list[Item]:
    """The items in an order that the seed and the purpose decide."""
    order = np.random.default_rng(derive_seed(seed, purpose)).permutation(len(items))
    return [items[i] for i in order]


def in_turn(lists: Sequence[Sequence[Item]]) -> list[Item]:
    """The first of each list, the second of each, …"""
    longest = max(map(len, lists), default=0)
    return [items[i] for i in range(longest) for items in lists if i < len(items)]


def active_level(half: EvidenceHalf, quantile: float) -> float:
    """The peak below which lies that share of the unit's active contexts: a threshold of its own for each unit.

    NaN where none is known.
    """
    peaks = [example.peak for example in half.uniform]
    return float(np.quantile(peaks, quantile)) if peaks else math.nan


def prompt_texts(contexts: Sequence[Context], n: int) -> tuple[str, ...]:
    """The first n texts that are long enough to be prompts; of images their paths."""
    fit = (context for context in contexts if context.picture or len(context.tokens) >= LONG_ENOUGH)
    return tuple(context.content for context in islice(fit, n))
