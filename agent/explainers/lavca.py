"""LaVCa: words out of the captions of a voxel's best stimuli, chosen by the voxel's own weights, made one sentence
(Matsuyama et al. 2025, arXiv:2502.13606).

1. Keywords are the words and pairs of words in the captions of the stimuli to which it responds most.
2. The voxel's encoding model is a direction in the embedding space. Each keyword's cosine with it, measured from
   the mean stimulus, goes through a softmax; the likeliest few stay, none that says another again.
3. The sentence is written by an LLM from keywords and captions, or, without one, by a template.

Its ablation gives the keywords alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neurogloss.agent.explainers import words
from neurogloss.agent.explainers.llm import SCHEMA, parse
from neurogloss.errors import EmptyAnswerError, UserError
from neurogloss.ids import derive_seed
from neurogloss.prompts.render import render, template_hash
from neurogloss.protocols import ChatModel, Embedder, Material, Request
from neurogloss.records import Candidate
from neurogloss.voxels import Readout, ReadoutOf

CAPTIONS = 16
"""Of the best stimuli."""
KEYWORDS = 5
"""Kept; the best number in the paper."""
TEMPERATURE = 0.02
"""Of the softmax over cosines."""
LEAST = 0.05
"""Probability of a keyword that stays, of the likeliest one's."""
PROMPT = "explain/lavca"
MAX_TOKENS = 160


class LaVCa:
    """Implements `neurogloss.protocols.Explainer`."""

    def __init__(
        self, embedder: Embedder, readout: ReadoutOf, chat: ChatModel | None = None, keywords_only: bool = False
    ) -> None:
        """Args:
        readout: the voxels' directions in the embedder's space.
        chat: writes the sentence; without one it is a template.
        keywords_only: the ablation.
        """
        self._embedder, self._readout = embedder, readout
        self._chat = None if keywords_only else chat
        self._keywords_only = keywords_only

    @property
    def name(self) -> str:
        return "lavca-keywords" if self._keywords_only else "lavca"

    @property
    def settings(self) -> Mapping[str, Any]:
        return {
            "explainer": self.name,
            "embedder": self._embedder.name,
            "model": self._chat.name if self._chat else None,
            "prompt": template_hash(PROMPT) if self._chat else None,
            "keywords": KEYWORDS,
        }

    async def candidates(self, material: Material) -> list[Candidate]:
        """The explanation from all keywords that stay, then from fewer.

        Raises:
            AnswerError: the captions hold no words, or the model gave no sentence.
            UserError: the run has no encoding model in the embedder's space.
        """
        readout = self._readout(material.unit)
        if readout.embedder != self._embedder.name:
            raise UserError(
                f"Expected an encoding model of features by {self._embedder.name}, found features "
                f"{readout.embedder}. Collect the responses without --features, or use another explainer."
            )
        captions = [each.context.text for each in words.distinct(material.half.top)[:CAPTIONS]]
        found = chosen(captions, readout, self._embedder)
        if not found:
            raise EmptyAnswerError("the captions of the best stimuli hold no words")
        lists = [found[:n] for n in dict.fromkeys((len(found), 3, 1)) if n <= len(found)]
        first = await self._sentence(found, captions, material.seed)
        rest = [Candidate(self._plain(each)) for each in lists]
        return list({candidate.text: candidate for candidate in (first, *rest)}.values())

    async def _sentence(self, keywords: Sequence[str], captions: Sequence[str], seed: int) -> Candidate:
        if self._chat is None:
            return Candidate(self._plain(keywords))
        prompt = render(PROMPT, keywords=list(keywords), captions=list(captions[:KEYWORDS]))
        request = Request(prompt.messages, SCHEMA, max_tokens=MAX_TOKENS, seed=derive_seed(seed, self.name))
        return parse((await self._chat.chat(request)).text)

    def _plain(self, keywords: Sequence[str]) -> str:
        listed = ", ".join(keywords)
        if self._keywords_only:
            return listed
        return f"about {' and '.join(filter(None, (', '.join(keywords[:-1]), keywords[-1])))}"


def _alike(one: str, other: str) -> bool:
    """Whether a word of one begins a word of the other: law, laws."""
    return any(a.startswith(b) or b.startswith(a) for a in one.split() for b in other.split())


def chosen(captions: Sequence[str], readout: Readout, embedder: Embedder) -> list[str]:
    """At most KEYWORDS words and pairs of words of the captions that the weights point to, the best first."""
    from sklearn.feature_extraction.text import CountVectorizer

    miner = CountVectorizer(stop_words="english", ngram_range=(1, 2), token_pattern=r"[^\W\d_]{3,}")
    try:
        mined = miner.fit(captions).get_feature_names_out().tolist()
    except ValueError:  # nothing but stop words
        return []
    vectors = embedder.embed(mined) - readout.mean
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(readout.weights)
    cosines = vectors @ readout.weights / np.maximum(lengths, 1e-12)
    shares = np.exp((cosines - cosines.max()) / TEMPERATURE)
    kept: list[str] = []
    for i in np.argsort(-shares, kind="stable"):
        if shares[i] < LEAST or len(kept) == KEYWORDS:
            break
        if not any(_alike(mined[i], other) for other in kept):
            kept.append(mined[i])
    return kept
