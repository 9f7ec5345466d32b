"""A judge without instructions: how much likelier a passage is to a small language model, given the explanation.

1. The information gain is log p(x | explanation) - log p(x | a generic explanation), per token
   (the surprisal score of Paulo et al. 2024, arXiv:2410.13928).
2. It is standardised against the gains of background passages; the logistic of that is the probability.
3. Of two passages the one with the larger gain is preferred.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurogloss.llm import CausalModel
from neurogloss.records import Answer, Passage, Question
from neurogloss.scorers.answering import ask_in_words

PREFIX = "The following text is about {explanation}:\n"
GENERIC = "various things"


class LikelihoodJudge:
    """Implements `neurogloss.protocols.Judge`. It does not see marks: fuzzing it can only guess by the text."""

    def __init__(self, model: CausalModel, background: Sequence[Passage]) -> None:
        """`background`: passages that are not asked about, at least two."""
        if len(background) < 2:
            raise ValueError("a likelihood judge needs at least two background passages")
        self._model = model
        self._background = list(background)
        self._generic: dict[str, float] = {}

    @property
    def name(self) -> str:
        return f"likelihood:{self._model.name}"

    @property
    def settings(self) -> Mapping[str, Any]:
        """JSON of what decides its answers."""
        return {"judge": self.name, "background": len(self._background), "prefix": PREFIX}

    async def ask(self, task: str, explanation: str, questions: Sequence[Question]) -> list[Answer]:
        """A probability for every question; an image is its caption, and one without words is not answered."""
        return await ask_in_words(partial(self._ask, explanation), questions)

    async def _ask(self, explanation: str, questions: Sequence[Question]) -> list[Answer]:
        passages = [passage for question in questions for passage in question.passages]
        gains = await self._gains(explanation, [*self._background, *passages])
        background, rest = gains[: len(self._background)], list(gains[len(self._background) :])
        spread = max(float(background.std()), 1e-6)
        logits = []
        for question in questions:
            first = rest.pop(0)
            other = rest.pop(0) if len(question.passages) == 2 else background.mean()
            logits.append((first - other) / spread)
        # The logistic function, in the form that does not overflow.
        return [Answer(float(p)) for p in 0.5 + 0.5 * np.tanh(np.array(logits) / 2)]

    async def _gains(self, explanation: str, passages: Sequence[Passage]) -> NDArray[np.float64]:
        texts = [passage.text for passage in passages]
        new = [text for text in dict.fromkeys(texts) if text not in self._generic]
        found = await self._model.likelihoods(PREFIX.format(explanation=GENERIC), new)
        self._generic |= {text: likelihood.mean for text, likelihood in zip(new, found, strict=True)}
        given = await self._model.likelihoods(PREFIX.format(explanation=explanation), texts)
        return np.array([g.mean - self._generic[t] for g, t in zip(given, texts, strict=True)])
