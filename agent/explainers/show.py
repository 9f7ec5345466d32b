"""What a prompt shows of a unit's contexts: which of them, and how their activations are written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest

from neurogloss.records import Context, EvidenceHalf, Example, Passage

WINDOW = 24
"""Tokens on each side of the peak in a list of pairs (as Neuronpedia cuts them)."""


@dataclass(frozen=True, slots=True)
class ShownExample:
    """An example as the prompt shows it."""

    passage: Passage
    """The context, its active tokens marked."""
    strengths: tuple[tuple[str, int], ...]
    """Text and strength, 1 to 10, of the marked tokens, in order."""


def choose(half: EvidenceHalf, n: int) -> list[Example]:
    """At most `n` examples by descending peak: half the strongest, half spread over the uniform sample.

    The strongest alone give narrow labels (arXiv 2410.13928). Where the uniform sample is too small for its
    half, more of the strongest stand in.
    """
    chosen = {example.context.id: example for example in half.top[: max(1, n // 2)]}
    others = [example for example in half.uniform if example.context.id not in chosen]
    room = n - len(chosen)
    spread = others if len(others) <= room else [others[i * len(others) // room] for i in range(room)]
    for example in [*spread, *half.top]:
        if len(chosen) < n:
            chosen.setdefault(example.context.id, example)
    return sorted(chosen.values(), key=lambda example: -example.peak)


def choose_silent(half: EvidenceHalf, n: int) -> list[Context]:
    """At most `n` contexts certified silent: half of them hard, one kind in turn, the rest plain; no text twice.

    Where one sort is short, more of the other stand in.
    """
    kinds = (half.hard.lexical, half.hard.neighbours, half.hard.look_alikes)
    hard = [context for turn in zip_longest(*kinds) for context in turn if context is not None]
    few = n - min(len(half.negatives), n // 2)
    found = {context.content: context for context in chain(hard[:few], half.negatives, hard[few:])}
    return list(islice(found.values(), n))


def show(examples: Sequence[Example]) -> list[ShownExample]:
    """The examples with marks (from 0.3 of the context's peak) and strengths, ceil(10 a / largest shown)."""
    largest = max((example.peak for example in examples), default=0.0)
    return [_show(example, largest) for example in examples if example.peak > 0]


def _show(example: Example, largest: float) -> ShownExample:
    tokens, marks = example.context.tokens, example.active_positions()
    strengths = tuple((tokens[i], math.ceil(10 * example.activations[i] / largest)) for i in marks)
    return ShownExample(Passage(tokens, marks), strengths)


def show_pairs(examples: Sequence[Example]) -> list[list[tuple[str, int]]]:
    """Every token near each peak with floor(10 a / largest shown), 0 to 10 (Bills et al. 2023)."""
    largest = max((example.peak for example in examples), default=0.0)
    return [_pairs(example, largest) for example in examples if example.peak > 0]


def _pairs(example: Example, largest: float) -> list[tuple[str, int]]:
    peak = example.activations.index(example.peak)
    near = slice(max(0, peak - WINDOW), peak + WINDOW + 1)
    tokens, values = example.context.tokens[near], example.activations[near]
    return [(token, math.floor(10 * max(a, 0.0) / largest)) for token, a in zip(tokens, values, strict=True)]
