"""Judges that need no LLM: by similarity, by likelihood, and by words alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurogloss.ids import derive_seed
from neurogloss.llm import CausalModel
from neurogloss.prompts.pictures import has_words
from neurogloss.protocols import Embedder, Float32, TokenVectors
from neurogloss.records import Answer, EvidenceHalf, Passage, Question
from neurogloss.scorers.answering import ask_in_words


class _InWords:
    """Answers with the logistic of a number for each question."""

    async def ask(self, task: str, explanation: str, questions: Sequence[Question]) -> list[Answer]:
        """A probability for every question; an image is its caption, and one without words is not answered."""
        return await ask_in_words(partial(self._ask, explanation), questions)

    async def _ask(self, explanation: str, questions: Sequence[Question]) -> list[Answer]:
        logits = await self._logits(explanation, questions)
        # The logistic function, in the form that does not overflow.
        return [Answer(float(p)) for p in 0.5 + 0.5 * np.tanh(logits / 2)]

    async def _logits(self, explanation: str, questions: Sequence[Question]) -> NDArray[np.floating]:
        raise NotImplementedError


class SimilarityJudge(_InWords):
    """A judge without an LLM: how near the explanation lies to a passage in an embedding space.

    1. Explanation and passage are the vectors of their word pieces; of a marked passage, of the marked ones only.
    2. Nearness: each piece of the explanation takes its largest cosine to a piece of the passage; their mean (late
       interaction, Khattab & Zaharia 2020, arXiv:2004.12832). `benchmarks.embedded` compares it with others.
    3. Nearness is standardised against a background of other passages, of the explain half, marked at random where
       the question is about marks; the logistic of that is the probability.
    4. Of two passages the nearer one is preferred, by the logistic of the standardised difference.

    Implements `neurogloss.protocols.Judge`.
    """

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

    async def _logits(self, explanation: str, questions: Sequence[Question]) -> NDArray[np.floating]:
        vectors = self._embedder.embed_tokens([explanation])[0].vectors
        marked = any(passage.marks for question in questions for passage in question.passages)
        background = self._nearness(vectors, self._marked if marked else self._plain)
        centre, spread = background.mean(), max(float(background.std()), 1e-6)
        firsts = self._nearness(vectors, [question.passages[0] for question in questions])
        pairs = [question.passages[1] for question in questions if len(question.passages) == 2]
        return (firsts - (self._nearness(vectors, pairs) if pairs else centre)) / spread

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


PREFIX = "The following text is about {explanation}:\n"
GENERIC = "various things"


class LikelihoodJudge(_InWords):
    """A judge without instructions: how much likelier an explanation makes a passage to a small language model.

    1. The information gain is log p(x | explanation) - log p(x | a generic explanation), per token (the surprisal
       score of Paulo et al. 2024, arXiv:2410.13928).
    2. It is standardised against the gains of background passages; the logistic of that is the probability.
    3. Of two passages the one with the larger gain is preferred.

    Implements `neurogloss.protocols.Judge`. It does not see marks: fuzzing it can only guess by the text.
    """

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

    async def _logits(self, explanation: str, questions: Sequence[Question]) -> NDArray[np.floating]:
        passages = [passage for question in questions for passage in question.passages]
        gains = await self._gains(explanation, [*self._background, *passages])
        background, rest = gains[: len(self._background)], list(gains[len(self._background) :])
        spread = max(float(background.std()), 1e-6)
        logits = []
        for question in questions:
            first = rest.pop(0)
            other = rest.pop(0) if len(question.passages) == 2 else background.mean()
            logits.append((first - other) / spread)
        return np.array(logits)

    async def _gains(self, explanation: str, passages: Sequence[Passage]) -> NDArray[np.float64]:
        texts = [passage.text for passage in passages]
        new = [text for text in dict.fromkeys(texts) if text not in self._generic]
        found = await self._model.likelihoods(PREFIX.format(explanation=GENERIC), new)
        self._generic |= {text: likelihood.mean for text, likelihood in zip(new, found, strict=True)}
        given = await self._model.likelihoods(PREFIX.format(explanation=explanation), texts)
        return np.array([g.mean - self._generic[t] for g, t in zip(given, texts, strict=True)])


WORDS = r"(?u)\w+|[^\w\s]"
"""What is a word: also a punctuation mark by itself."""


class LexicalJudge(_InWords):
    """A judge that knows words and no explanation: what the best bag of words predicts.

    1. The words of the active and silent contexts of the explain half, whether each occurs, are fitted by a
       logistic regression (L2, both kinds weighing the same).
    2. The probability of a passage is that of the model, over the words of its marked tokens where it has marks.
    3. Of two passages the one with the larger logit is preferred.

    An explanation that does not beat it says no more than which words are there.

    Implements `neurogloss.protocols.Judge`; the explanation decides nothing.
    """

    name = "lexical"

    def __init__(self, half: EvidenceHalf) -> None:
        """`half`: the explain half. Raises ValueError where it has no active or no silent contexts."""
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        contexts = [example.context for example in (*half.uniform, *half.top)]
        active = dict.fromkeys(context.text for context in contexts if has_words(context))
        silent = dict.fromkeys(context.text for context in half.negatives if has_words(context))
        if not active or not silent:
            raise ValueError("a lexical judge learns from active and silent contexts, found one kind")
        self._size = len(active) + len(silent)
        self._model = make_pipeline(
            CountVectorizer(binary=True, token_pattern=WORDS),
            LogisticRegression(class_weight="balanced", max_iter=1000),
        )
        self._model.fit([*active, *silent], [True] * len(active) + [False] * len(silent))

    @property
    def settings(self) -> Mapping[str, Any]:
        """JSON of what decides its answers."""
        return {"judge": self.name, "contexts": self._size}

    async def _logits(self, explanation: str, questions: Sequence[Question]) -> Float32:
        logits = self._of_words([question.passages[0] for question in questions])
        pairs = [question.passages[1] for question in questions if len(question.passages) == 2]
        return logits - self._of_words(pairs) if pairs else logits

    def _of_words(self, passages: Sequence[Passage]) -> Float32:
        texts = [" ".join(p.tokens[i] for i in p.marks) if p.marks else p.text for p in passages]
        return np.asarray(self._model.decision_function(texts), np.float32)
