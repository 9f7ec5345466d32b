"""What a search learns from: the contexts of an explain split, weighted as they occur."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurogloss.agent.patterns.features import TOKENS, Masks
from neurogloss.ids import derive_seed
from neurogloss.records import Context, EvidenceHalf, Example

Floats = NDArray[np.float64]
TOP = 0.3
"""Weight of a context that is only among those with the largest peaks, relative to one of the uniform sample."""
POWER = 0.6
"""Power of the peak in an active context's weight: what is barely active says little about a unit."""


@dataclass(frozen=True)
class Sample:
    """Active contexts first, silent ones after them."""

    examples: tuple[Example, ...]
    contexts: tuple[Context, ...]
    active: Masks
    """(examples,) bit i is set if token i is active (at least 0.3 of the peak)."""
    turned: Masks
    """(examples,) the same, turned round by a random step in each context."""
    activations: Floats
    """(examples, TOKENS) as shares of the largest."""
    truth: Floats
    """(contexts,) 1 if active, 0 if silent."""
    weights: Floats
    """(contexts,) sum to 1; the active ones to the density."""
    density: float
    """Share of contexts that activate the unit, estimated from the split."""
    uniform: NDArray[np.bool_]
    """(contexts,) whether the context is in one of the uniform samples, and not only among the largest peaks."""

    @property
    def silent_weight(self) -> float:
        """Weight of one silent context."""
        return float(self.weights[-1])

    def of(self, train: NDArray[np.bool_]) -> Floats:
        """The weights if only some contexts are there; they sum to 1 again."""
        weights = self.weights * train
        for kind, share in ((self.truth > 0, self.density), (self.truth == 0, 1 - self.density)):
            weights[kind] *= share / max(weights[kind].sum(), 1e-12)
        return weights


def sample(half: EvidenceHalf, seed: int) -> Sample:
    """The contexts of a split. Raises ValueError if it has no active or no silent contexts."""
    uniform = {example.context.id for example in half.uniform}
    examples = tuple({e.context.id: e for e in (*half.uniform, *half.top)}.values())
    if not examples or not half.negatives:
        raise ValueError("a search learns from active and silent contexts, found one kind")
    silent = len(half.negatives)
    certified = max(half.n_certified or 0, silent)
    density = len(half.uniform) / (len(half.uniform) + certified) if half.uniform else 0.5
    maximum = max(example.peak for example in examples)
    kept = np.array([example.context.id in uniform for example in examples])
    weights = np.where(kept, 1.0, TOP) * np.array([(e.peak / maximum) ** POWER for e in examples])
    turns = np.random.default_rng(derive_seed(seed, "pattern turns")).random(len(examples))
    return Sample(
        examples,
        (*(example.context for example in examples), *half.negatives),
        np.array([_mask(example.active_positions()) for example in examples], np.uint64),
        np.array([_mask(_turned(e, float(u))) for e, u in zip(examples, turns, strict=True)], np.uint64),
        np.array([_padded(example.activations) for example in examples]) / maximum,
        np.repeat([1.0, 0.0], [len(examples), silent]),
        np.concatenate([weights / weights.sum() * density, np.full(silent, (1 - density) / silent)]),
        density,
        np.concatenate([kept, np.ones(silent, bool)]),
    )


def _padded(values: Sequence[float]) -> list[float]:
    return [*values[:TOKENS], *[0.0] * (TOKENS - len(values))]


def _turned(example: Example, turn: float) -> list[int]:
    n = len(example.activations)
    step = 1 + int(turn * (n - 1)) if n > 1 else 0
    return [(i + step) % n for i in example.active_positions()]


def _mask(positions: Sequence[int]) -> int:
    return sum(1 << i for i in positions if i < TOKENS)
