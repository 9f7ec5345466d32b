"""The live subject of planted units: it reads by rule, and writes passages of the corpus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from benchmarks.planted.rules import tokenize
from benchmarks.planted.units import Unit
from neurogloss.ids import UnitId, derive_seed, hash64
from neurogloss.protocols import LiveSubject, SteeredText, Steering
from neurogloss.records import Context, Example, OutputTokens

TOKENS = 10


class PlantedSubject(LiveSubject):
    """Raising a unit makes it write what activates the unit."""

    def __init__(self, units: Sequence[Unit], passages: Sequence[str]) -> None:
        """
        Args:
            units: by index.
            passages: what it writes.
        """
        self._units, self._passages = units, passages

    def examples(self, unit: UnitId, texts: Sequence[str]) -> list[Example]:
        """By the unit's rule."""
        planted = self._units[unit.index]
        return [
            Example(Context(f"{hash64(text):016x}", tokens), planted.activations(tokens))
            for text, tokens in ((text, tokenize(text)) for text in texts)
        ]

    def steer(
        self,
        unit: UnitId,
        prompts: Sequence[str],
        tuning_prompts: Sequence[str],
        seed: int,
        kl: float | None = None,
    ) -> Steering:
        """Each prompt goes on with some passage, and with one that activates the unit."""
        rng = np.random.default_rng(derive_seed(seed, str(unit), "steer"))
        active = [example.context.text for example in self._active(unit)]
        texts = (
            SteeredText(prompt, prompt + str(rng.choice(self._passages)), prompt + str(rng.choice(active)))
            for prompt in prompts
        )
        return Steering(1.0, kl or 1.0, tuple(texts))

    def token_change(self, unit: UnitId, prompts: Sequence[str], tuning_prompts: Sequence[str]) -> OutputTokens:
        """The tokens at which the unit is most often active become likelier by their share; none less likely."""
        counts = Counter(
            token
            for example in self._active(unit)
            for token, value in zip(example.context.tokens, example.activations, strict=True)
            if value
        )
        total = counts.total()
        return OutputTokens(tuple((token, n / total) for token, n in counts.most_common(TOKENS)), ())

    def _active(self, unit: UnitId) -> list[Example]:
        return [example for example in self.examples(unit, self._passages) if example.peak > 0]
