"""A judge that knows words and no explanation: what the best bag of words predicts. A floor for those who explain.

1. The words of the active and silent contexts of the explain half, whether each occurs, are fitted by a logistic
   regression (L2, both kinds weighing the same).
2. The probability of a passage is that of the model, over the words of its marked tokens where it has marks.
3. Of two passages the one with the larger logit is preferred.

An explanation that does not beat it says no more than which words are there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neurogloss.prompts.pictures import has_words
from neurogloss.protocols import Float32
from neurogloss.records import Answer, EvidenceHalf, Passage, Question
from neurogloss.scorers.answering import ask_in_words

WORDS = r"(?u)\w+|[^\w\s]"
"""What is a word: also a punctuation mark by itself."""


class LexicalJudge:
    """Implements `neurogloss.protocols.Judge`; the explanation decides nothing."""

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

    async def ask(self, task: str, explanation: str, questions: Sequence[Question]) -> list[Answer]:
        """A probability for every question; an image is its caption, and one without words is not answered."""
        return await ask_in_words(self._ask, questions)

    async def _ask(self, questions: Sequence[Question]) -> list[Answer]:
        logits = self._logits([question.passages[0] for question in questions])
        pairs = [question.passages[1] for question in questions if len(question.passages) == 2]
        if pairs:
            logits = logits - self._logits(pairs)
        # The logistic function, in the form that does not overflow.
        return [Answer(float(p)) for p in 0.5 + 0.5 * np.tanh(logits / 2)]

    def _logits(self, passages: Sequence[Passage]) -> Float32:
        texts = [" ".join(p.tokens[i] for i in p.marks) if p.marks else p.text for p in passages]
        return np.asarray(self._model.decision_function(texts), np.float32)
