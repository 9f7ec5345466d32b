"""Facets: what a unit answers to, one thing at a time, where it answers to several (polysemanticity).

1. Each context becomes a vector of what is at and around its active tokens: the mean of the contextual vectors
   of its word pieces, weighted by activation, which halves with every `HALF_CHARS` characters of distance. An
   image becomes that of its caption; without one it is in no facet.
2. The vectors are clustered hierarchically (Ward 1963). The tree is cut into k = 2 to `most` clusters, of which
   those of fewer than `FEWEST` contexts are noise. The k with the largest mean silhouette of the others (cosine;
   Rousseeuw 1987) is taken if there are two of them and it reaches `SEPARATE`; otherwise the unit has one facet.
   PRISM (Kopf et al. 2025, arXiv:2506.15538) has k-means with a fixed k here.
3. Another explainer explains each cluster by its contexts alone; one without a pattern is noise, too.
4. The label joins what was found in words. A facet's share is its part of the activation mass of the uniform
   sample; what the shares lack of 1 is noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurogloss.agent.explainers import words
from neurogloss.agent.explainers.llm import NO_PATTERN
from neurogloss.agent.explainers.show import captioned
from neurogloss.errors import AnswerError, TransportError
from neurogloss.ids import derive_seed
from neurogloss.prompts.pictures import has_words
from neurogloss.protocols import Embedder, Explainer, Float32, Material, TokenVectors
from neurogloss.records import Candidate, EvidenceHalf, Example, Facet, Side
from neurogloss.tasks import together

HALF_CHARS = 1.0
"""Adjacent words count half."""
SEPARATE = 0.2
"""Lies between one-facet and several-facet units of known rules: `docs/design/explainers.md`."""
FEWEST = 4


class Facets:
    """Explains each facet of a unit by another explainer."""

    def __init__(self, explainer: Explainer, embedder: Embedder, most: int = 5) -> None:
        """
        Args:
            explainer: of one facet; of the whole unit where it has one facet only.
            embedder: gives the contexts' vectors.
            most: facets at most, at least 2.
        """
        if most < 2:
            raise ValueError(f"most is at least 2, found {most}")
        self._explainer, self._embedder, self._most = explainer, embedder, most

    @property
    def name(self) -> str:
        return f"facets-{self._explainer.name}"

    @property
    def settings(self) -> Mapping[str, Any]:
        return {
            "explainer": "facets",
            "embedder": self._embedder.name,
            "most": self._most,
            "half_chars": HALF_CHARS,
            "separate": SEPARATE,
            "fewest": FEWEST,
            "of": dict(self._explainer.settings),
        }

    async def candidates(self, material: Material) -> list[Candidate]:
        """The facets joined: the first of the explainer's candidates for each, then the second of each, …

        Raises:
            AnswerError: as the explainer does; of facets, where it explained none of them.
        """
        half = material.half
        seen = words.distinct([*half.top, *half.uniform])
        examples = [e for e in seen if e.peak > 0 and has_words(e.context)]
        groups = clusters(vectors(examples, self._embedder), self._most)
        if len(groups) < 2:
            return await self._explainer.candidates(material)
        parts = [_part(material, [examples[i] for i in group], number) for number, group in enumerate(groups)]
        answers = await together(self._explain(part) for part in parts)
        return _joined([(_share(part.half, half), answer) for part, answer in zip(parts, answers, strict=True)])

    async def _explain(self, part: Material) -> list[Candidate] | AnswerError:
        try:
            return await self._explainer.candidates(part)
        except TransportError:
            raise
        except AnswerError as error:
            return error


def vectors(examples: Sequence[Example], embedder: Embedder) -> Float32:
    """(len(examples), dimension): what is at and around the active tokens, each row of unit length."""
    examples = captioned(examples)
    found = embedder.embed_tokens([example.context.text for example in examples])
    rows = [_vector(example, pieces) for example, pieces in zip(examples, found, strict=True)]
    return np.array(rows, np.float32).reshape(len(rows), embedder.dimension)


def _vector(example: Example, pieces: TokenVectors) -> Float32:
    tokens, ends = example.context.tokens, np.cumsum([len(token) for token in example.context.tokens])
    starts = np.array([end - len(token.lstrip()) for end, token in zip(ends, tokens, strict=True)])
    first, last = pieces.spans[:, :1], pieces.spans[:, 1:]
    apart = np.maximum(0, np.maximum(first - ends, starts - last))
    weights = np.exp2(-apart / HALF_CHARS) @ np.maximum(example.activations, 0.0)
    mean: Float32 = weights @ pieces.vectors
    return mean / max(float(np.linalg.norm(mean)), 1e-12)


def clusters(rows: Float32, most: int) -> list[NDArray[np.intp]]:
    """Row numbers of each cluster, without noise; one cluster of all rows where no two stand apart.

    Args:
        rows: (n, dimension), of unit length.
        most: clusters at most.
    """
    from scipy.cluster.hierarchy import cut_tree, linkage
    from sklearn.metrics import pairwise_distances, silhouette_samples

    largest, found = SEPARATE, [np.arange(len(rows))]
    if len(rows) < 2 * FEWEST:
        return found
    distances = pairwise_distances(rows, metric="cosine")
    for labels in cut_tree(linkage(rows, "ward"), range(2, min(most, len(rows)) + 1)).T:
        silhouettes = silhouette_samples(distances, labels, metric="precomputed")
        groups = [np.flatnonzero(labels == i) for i in range(labels.max() + 1)]
        groups = [group for group in groups if len(group) >= FEWEST]
        # Of the small ones each point counts as well apart, and would speak for any division of the others.
        mean = float(silhouettes[np.concatenate(groups)].mean()) if len(groups) > 1 else 0.0
        if mean >= largest:
            largest, found = mean, groups
    return found


def _part(material: Material, examples: Sequence[Example], number: int) -> Material:
    """The material of one cluster. What the unit promotes belongs to no cluster, and is left out."""
    inside = {example.context.id for example in examples}
    half = replace(
        material.half,
        top=tuple(example for example in material.half.top if example.context.id in inside),
        uniform=tuple(example for example in material.half.uniform if example.context.id in inside),
    )
    return Material(material.unit, half, None, derive_seed(material.seed, "facet", number))


def _share(part: EvidenceHalf, whole: EvidenceHalf) -> float:
    """The part's share of the activation mass of the uniform sample, or of the top examples where it is empty."""
    inside, all_of_it = (part.uniform, whole.uniform) if whole.uniform else (part.top, whole.top)
    return _mass(inside) / _mass(all_of_it)


def _mass(examples: Sequence[Example]) -> float:
    return sum(max(a, 0.0) for example in examples for a in example.activations)


def _joined(explained: Sequence[tuple[float, list[Candidate] | AnswerError]]) -> list[Candidate]:
    """One candidate of all facets for each place in the longest list of candidates for one."""
    found: list[tuple[float, list[Candidate]]] = []
    for share, answer in explained:
        clear = [c for c in answer if c.side is not Side.UNCLEAR] if isinstance(answer, list) else []
        if clear:
            found.append((share, clear))
    if not found:
        errors = [answer for _, answer in explained if isinstance(answer, AnswerError)]
        if len(errors) == len(explained):
            raise errors[0]
        return [Candidate(NO_PATTERN, Side.UNCLEAR)]
    found.sort(key=lambda item: -item[0])
    places = range(max(len(clear) for _, clear in found))
    return [_join([(share, clear[min(i, len(clear) - 1)]) for share, clear in found]) for i in places]


def _join(parts: Sequence[tuple[float, Candidate]]) -> Candidate:
    """Facets that read the same are one."""
    shares: dict[str, float] = {}
    for share, candidate in parts:
        text = candidate.text.rstrip(". ")
        shares[text] = shares.get(text, 0.0) + share
    facets = tuple(Facet(text, share) for text, share in sorted(shares.items(), key=lambda item: -item[1]))
    sides = {candidate.side for _, candidate in parts}
    text = "either " + "; or ".join(facet.text for facet in facets) if len(facets) > 1 else facets[0].text
    return Candidate(text, sides.pop() if len(sides) == 1 else Side.MIXED, facets)
