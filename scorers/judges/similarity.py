"""A judge without an LLM: how near the explanation lies to a passage in an embedding space.

1. Explanation and passage are the vectors of their word pieces; of a marked passage, of the marked ones only.
2. Nearness: each piece of the explanation takes its largest cosine to a piece of the passage; their mean
   (late interaction, Khattab & Zaharia 2020, arXiv:2004.12832). `benchmarks.embedded` compares it with others.
3. Nearness is standardised against a background of other passages, of the explain half, marked at random
   where the question is about marks; the logistic of that is the probability.
4. Of two passages the nearer one is preferred, by the logistic of the standardised difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from neurogloss.ids import derive_seed
from neurogloss.protocols import Embedder, Float32, TokenVectors
from neurogloss.records import Answer, Passage, Question
from neurogloss.scorers.answering import ask_in_words


class SimilarityJudge:
    """Implements `neurogloss.protocols.Judge`."""

    def __init__(self, embedder: Embedder, background: Sequence[Passage], seed: int = 0) -> None:
        """`background`: passages that are not asked about, at least two; 64 or so are enough."""
        if len(background) < 2:
            raise ValueError("a similarity judge needs at least two background passages")
        self._embedder = embedder
        self._plain = list(background)
        rng = np.random.default_rng(derive_seed(seed, "background marks"))
        self._marked = [Passage(p.tokens, (int(rng.integers(len(p.tokens))),)) for p in background]

    @property
    def name(self) -> str:
        return f"similarity:{self._embedder.name}"

    @property
    def settings(self) -> Mapping[str, Any]:
        """JSON of what decides its answers."""
        return {"judge": self.name, "background": len(self._plain)}

    async def ask(self, task: str, explanation: str, questions: Sequence[Question]) -> list[Answer]:
        """A probability for every question; an image is its caption, and one without words is not answered."""
        return await ask_in_words(partial(self._ask, explanation), questions)

    async def _ask(self, explanation: str, questions: Sequence[Question]) -> list[Answer]:
        vectors = self._embedder.embed_tokens([explanation])[0].vectors
        marked = any(passage.marks for question in questions for passage in question.passages)
        background = self._nearness(vectors, self._marked if marked else self._plain)
        centre, spread = background.mean(), max(float(background.std()), 1e-6)
        firsts = self._nearness(vectors, [question.passages[0] for question in questions])
        pairs = [question.passages[1] for question in questions if len(question.passages) == 2]
        if pairs:
            logits = (firsts - self._nearness(vectors, pairs)) / spread
        else:
            logits = (firsts - centre) / spread
        # The logistic function, in the form that does not overflow.
        return [Answer(float(p)) for p in 0.5 + 0.5 * np.tanh(logits / 2)]

    def _nearness(self, explanation: Float32, passages: Sequence[Passage]) -> Float32:
        """(len(passages),)"""
        found = self._embedder.embed_tokens([passage.text for passage in passages])
        pieces = [_pieces(passage, tokens) for passage, tokens in zip(passages, found, strict=True)]
        return np.array([_near(explanation, part) for part in pieces], np.float32)


def _near(explanation: Float32, passage: Float32) -> float:
    """(n, d) and (m, d) vectors of unit length to the mean over n of the largest cosine; 0 without pieces."""
    if not len(explanation) or not len(passage):
        return 0.0
    return float((explanation @ passage.T).max(1).mean())


def _pieces(passage: Passage, found: TokenVectors) -> Float32:
    """The vectors of the passage's word pieces; where it has marks, of those that touch a marked token."""
    if not passage.marks:
        return found.vectors
    ends = np.cumsum([len(token) for token in passage.tokens])
    keep = np.zeros(len(found.spans), bool)
    for i in passage.marks:
        start = ends[i] - len(passage.tokens[i])
        keep |= (found.spans[:, 0] < ends[i]) & (found.spans[:, 1] > start)
    return found.vectors[keep]
