"""LaVCa: words out of the captions of a voxel's best stimuli, chosen by the voxel's own weights, made one sentence
(Matsuyama et al. 2025, arXiv:2502.13606).

1. Keywords are drawn by an LLM from the captions of the stimuli to which it responds most. Without one, or where
   mined ones are asked for, they are the words and pairs of words in those captions.
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
from neurogloss.errors import EmptyAnswerError, UnparseableError, UserError
from neurogloss.foreign import read_json
from neurogloss.ids import derive_seed
from neurogloss.llm import ChatModel, Request
from neurogloss.prompts.render import render, template_hash
from neurogloss.protocols import Embedder, Material, Readout, ReadoutOf
from neurogloss.records import Candidate

CAPTIONS = 16
"""Of the best stimuli."""
KEYWORDS = 5
"""Kept; the best number in the paper."""
TEMPERATURE = 0.02
"""Of the softmax over cosines."""
LEAST = 0.05
"""Probability of a keyword that stays, of the likeliest one's."""
DRAWN = 40
"""Keywords that an LLM draws, at most."""
PROMPT, KEYWORDS_PROMPT = "explain/lavca", "explain/lavca-keywords"
MAX_TOKENS, KEYWORDS_TOKENS = 160, 480
KEYWORDS_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"keywords": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": DRAWN}},
    "required": ["keywords"],
    "additionalProperties": False,
}


class LaVCa:
    """Implements `neurogloss.protocols.Explainer`."""

    def __init__(
        self,
        embedder: Embedder,
        readout: ReadoutOf,
        chat: ChatModel | None = None,
        keywords_only: bool = False,
        mined: bool = False,
    ) -> None:
        """
        Args:
            readout: the voxels' directions in the embedder's space.
            chat: draws the keywords and writes the sentence; without one they are mined, and it is a template.
            keywords_only: the ablation.
            mined: whether keywords are mined where there is an LLM, too.
        """
        self._embedder, self._readout = embedder, readout
        self._drawer = None if mined else chat
        self._writer = None if keywords_only else chat
        self._keywords_only, self._mined = keywords_only, mined

    @property
    def name(self) -> str:
        return "lavca-keywords" if self._keywords_only else "lavca-mined" if self._mined else "lavca"

    @property
    def settings(self) -> Mapping[str, Any]:
        chat = self._drawer or self._writer
        return {
            "explainer": self.name,
            "embedder": self._embedder.name,
            "model": chat.name if chat else None,
            "drawn": template_hash(KEYWORDS_PROMPT) if self._drawer else None,
            "prompt": template_hash(PROMPT) if self._writer else None,
            "keywords": KEYWORDS,
        }

    async def candidates(self, material: Material) -> list[Candidate]:
        """The explanation from all keywords that stay, then from fewer.

        Raises:
            AnswerError: the captions hold no words, or the model gave no keywords or no sentence.
            UserError: the run has no encoding model in the embedder's space.
        """
        readout = self._readout(material.unit)
        if readout.embedder != self._embedder.name:
            raise UserError(
                f"Expected an encoding model of features by {self._embedder.name}, found features "
                f"{readout.embedder}. Collect the responses without --features, or use another explainer."
            )
        captions = [each.context.text for each in words.distinct(material.half.top)[:CAPTIONS]]
        words_of = await self._drawn(captions, material.seed) if self._drawer else mined(captions)
        if not words_of:
            raise EmptyAnswerError("the captions of the best stimuli hold no words")
        found = chosen(words_of, readout, self._embedder)
        lists = [found[:n] for n in dict.fromkeys((len(found), 3, 1)) if n <= len(found)]
        first = await self._sentence(found, captions, material.seed)
        rest = [Candidate(self._plain(each)) for each in lists]
        return list({candidate.text: candidate for candidate in (first, *rest)}.values())

    async def _drawn(self, captions: Sequence[str], seed: int) -> list[str]:
        """Keywords that the LLM draws, each once. Raises AnswerError where it draws none."""
        assert self._drawer is not None
        prompt = render(KEYWORDS_PROMPT, captions=list(captions), most=DRAWN)
        seed = derive_seed(seed, self.name, "keywords")
        request = Request(prompt.messages, KEYWORDS_SCHEMA, max_tokens=KEYWORDS_TOKENS, seed=seed)
        text = (await self._drawer.chat(request)).text
        try:
            given = read_json(text)["keywords"]
        except (ValueError, TypeError, KeyError):
            given = None
        if not isinstance(given, list) or not all(isinstance(keyword, str) for keyword in given):
            raise UnparseableError(f'expected {{"keywords": ["...", ...]}}, found {text[:200]!r}')
        plain = dict.fromkeys(" ".join(keyword.casefold().split()) for keyword in given)
        found = [keyword for keyword in plain if keyword][:DRAWN]
        if not found:
            raise EmptyAnswerError("all keywords are blank")
        return found

    async def _sentence(self, keywords: Sequence[str], captions: Sequence[str], seed: int) -> Candidate:
        if self._writer is None:
            return Candidate(self._plain(keywords))
        prompt = render(PROMPT, keywords=list(keywords), captions=list(captions[:KEYWORDS]))
        request = Request(prompt.messages, SCHEMA, max_tokens=MAX_TOKENS, seed=derive_seed(seed, self.name))
        return parse((await self._writer.chat(request)).text)

    def _plain(self, keywords: Sequence[str]) -> str:
        listed = ", ".join(keywords)
        if self._keywords_only:
            return listed
        return f"about {' and '.join(filter(None, (', '.join(keywords[:-1]), keywords[-1])))}"


def _alike(one: str, other: str) -> bool:
    """Whether a word of one begins a word of the other: law, laws."""
    return any(a.startswith(b) or b.startswith(a) for a in one.split() for b in other.split())


def mined(captions: Sequence[str]) -> list[str]:
    """Words and pairs of words in the captions."""
    from sklearn.feature_extraction.text import CountVectorizer

    miner = CountVectorizer(stop_words="english", ngram_range=(1, 2), token_pattern=r"[^\W\d_]{3,}")
    try:
        found: list[str] = miner.fit(captions).get_feature_names_out().tolist()
    except ValueError:  # nothing but stop words
        return []
    return found


def chosen(keywords: Sequence[str], readout: Readout, embedder: Embedder) -> list[str]:
    """At most KEYWORDS of these, those that the weights point to, the best first."""
    vectors = embedder.embed(keywords) - readout.mean
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(readout.weights)
    cosines = vectors @ readout.weights / np.maximum(lengths, 1e-12)
    shares = np.exp((cosines - cosines.max()) / TEMPERATURE)
    kept: list[str] = []
    for i in np.argsort(-shares, kind="stable"):
        if shares[i] < LEAST or len(kept) == KEYWORDS:
            break
        if not any(_alike(keywords[i], other) for other in kept):
            kept.append(keywords[i])
    return kept
