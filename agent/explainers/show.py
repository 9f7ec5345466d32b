"""What a prompt shows of a unit's contexts: which of them, and how their activations are written.

Images are shown as pictures, or as their captions to one who sees none; those without a caption are then left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, zip_longest

from neurogloss.errors import EmptyAnswerError
from neurogloss.prompts.pictures import has_words
from neurogloss.protocols import Material
from neurogloss.records import Context, EvidenceHalf, Example, HardNegatives, Passage

WINDOW = 24
"""Tokens on each side of the peak in a list of pairs (as Neuronpedia cuts them)."""


@dataclass(frozen=True, slots=True)
class ShownExample:
    """An example as the prompt shows it."""

    passage: Passage
    """The context, its active tokens marked."""
    strengths: tuple[tuple[str, int], ...]
    """Text and strength, 1 to 10, of the marked tokens, in order; of an image its caption and strength."""

    @property
    def strength(self) -> int:
        """Of the peak, 1 to 10."""
        return max(strength for _, strength in self.strengths)


def in_words(material: Material) -> Material:
    """The material as one who sees no pictures reads it: an image is its caption, and responded to as a whole.

    Raises:
        EmptyAnswerError: there are images, and none of them has a caption.
    """
    half = material.half
    if not any(example.context.picture for example in (*half.top, *half.uniform)):
        return material
    found = EvidenceHalf(
        top=captioned(half.top),
        uniform=captioned(half.uniform),
        negatives=captions(half.negatives),
        hard=HardNegatives(*map(captions, (half.hard.neighbours, half.hard.lexical, half.hard.look_alikes))),
        n_certified=half.n_certified,
    )
    if not found.top and not found.uniform:
        raise EmptyAnswerError(
            "the images have no captions, and are not seen: give captions, or a model that sees pictures"
        )
    return replace(material, half=found)


def captioned(examples: Sequence[Example]) -> tuple[Example, ...]:
    """Those with words; an image is its caption, with one activation."""
    kept = (e for e in examples if has_words(e.context))
    return tuple(
        Example(Context(e.context.id, e.context.tokens), (e.peak,)) if e.context.picture else e for e in kept
    )


def captions(contexts: Sequence[Context]) -> tuple[Context, ...]:
    """Those with words; an image is its caption."""
    return tuple(Context(c.id, c.tokens) if c.picture else c for c in contexts if has_words(c))


def are_stimuli(half: EvidenceHalf) -> bool:
    """Whether the contexts are images, or texts responded to as a whole."""
    examples = (*half.top, *half.uniform)
    return bool(examples) and all(e.grid is not None or len(e.activations) == 1 for e in examples)


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
    context, marks = example.context, example.active_positions()
    if example.grid is None:
        texts = [(context.tokens[i], example.activations[i]) for i in marks]
    else:
        texts = [(context.text, example.peak)]
    strengths = tuple((text, math.ceil(10 * a / largest)) for text, a in texts)
    return ShownExample(Passage.of(context, marks, example.grid), strengths)


def show_pairs(examples: Sequence[Example]) -> list[list[tuple[str, int]]]:
    """Every token near each peak with floor(10 a / largest shown), 0 to 10 (Bills et al. 2023)."""
    largest = max((example.peak for example in examples), default=0.0)
    return [_pairs(example, largest) for example in examples if example.peak > 0]


def _pairs(example: Example, largest: float) -> list[tuple[str, int]]:
    peak = example.activations.index(example.peak)
    near = slice(max(0, peak - WINDOW), peak + WINDOW + 1)
    tokens, values = example.context.tokens[near], example.activations[near]
    return [(token, math.floor(10 * max(a, 0.0) / largest)) for token, a in zip(tokens, values, strict=True)]
