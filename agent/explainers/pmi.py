"""Explainers that need no instruction-tuned model: PMI, and words among the promoted tokens (`PromotedExplainer`).

1. Candidates are mined from the examples: lists of words under the active tokens, of words and phrases that
   the active contexts share, and of tokens that the unit promotes through the language-model head. Of images and
   whole stimuli they are mined from what is said of them (`neurogloss.agent.explainers.words.of_stimuli`).
2. They are ranked by log p(d | examples) - lambda log p(d) under a small causal language model, per token: what
   the examples make likelier than it is anyway (the objective of MILAN, Hernandez et al. 2022,
   arXiv:2201.11114, read as a ranking). Without the division long texts that the examples repeat would win.

The same ranking chooses among the candidates of any other explainer (`Ranked`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neurogloss.agent.explainers import words
from neurogloss.agent.explainers.show import are_stimuli, in_words
from neurogloss.errors import EmptyAnswerError
from neurogloss.llm import CausalModel
from neurogloss.protocols import Explainer, Material
from neurogloss.records import Candidate, Example, Passage, Side

QUESTION = "What the words between << and >> have in common:"
WHOLE = "What these have in common:"
"""Asked of stimuli, in which nothing is marked."""
EXAMPLES = 8
"""Examples that the model reads."""
AROUND = 6
"""Tokens shown on each side of the peak."""
WEIGHT = 0.8
"""Lambda: how much of a candidate's own likelihood is taken off."""
SIZES = (3, 6, 10)
"""Words in a list of promoted ones."""


class PMIExplainer:
    """Implements `neurogloss.protocols.Explainer`."""

    name = "pmi"

    def __init__(self, model: CausalModel | None, weight: float = WEIGHT, n: int = 16) -> None:
        """Args:
        model: ranks the candidates; without one they come in the order in which they were mined.
        weight: lambda, in [0, 1].
        n: candidates given, at most.
        """
        self._model, self._weight, self._n = model, weight, n

    @property
    def settings(self) -> Mapping[str, Any]:
        return {
            "explainer": self.name,
            "model": self._model.name if self._model else None,
            "weight": self._weight,
            "candidates": self._n,
        }

    async def candidates(self, material: Material) -> list[Candidate]:
        """Candidates, best first. Raises EmptyAnswerError where the examples share no word."""
        material = in_words(material)
        mine = words.of_stimuli if are_stimuli(material.half) else words.candidates
        found = [Candidate(text) for text in mine(material)]
        if not found:
            raise EmptyAnswerError("the active contexts share no word, phrase or sign")
        ranked = await rank(self._model, material, found, self._weight) if self._model else found
        return ranked[: self._n]


class Ranked:
    """Another explainer's candidates, in the order of what the examples make likelier than it is anyway."""

    def __init__(self, explainer: Explainer, model: CausalModel, weight: float = WEIGHT) -> None:
        self._explainer, self._model, self._weight = explainer, model, weight

    @property
    def name(self) -> str:
        return f"ranked-{self._explainer.name}"

    @property
    def settings(self) -> Mapping[str, Any]:
        return {
            "explainer": "ranked",
            "model": self._model.name,
            "weight": self._weight,
            "of": dict(self._explainer.settings),
        }

    async def candidates(self, material: Material) -> list[Candidate]:
        """Raises AnswerError as the explainer does."""
        return await rank(self._model, material, await self._explainer.candidates(material), self._weight)


class PromotedExplainer:
    """Output-side, without a model: the words among the tokens that the unit promotes."""

    name = "promoted"
    settings: Mapping[str, Any] = {"explainer": name, "sizes": list(SIZES)}

    async def candidates(self, material: Material) -> list[Candidate]:
        """Lists of the words promoted most, the shortest first. Raises EmptyAnswerError where there is none."""
        found = words.promoted(material)
        if not found:
            raise EmptyAnswerError(
                "no promoted token is a word, or none is known: no output tokens were collected"
            )
        lists = dict.fromkeys(", ".join(found[:n]) for n in SIZES)
        return [Candidate(text, Side.OUTPUT) for text in lists]


async def rank(
    model: CausalModel, material: Material, found: Sequence[Candidate], weight: float = WEIGHT
) -> list[Candidate]:
    """The candidates by log p(d | examples) - weight * log p(d), per token; those that say nothing come last."""
    half = in_words(material).half
    examples = words.distinct([*half.top[: EXAMPLES // 2], *half.uniform])[:EXAMPLES]
    whole = are_stimuli(half)
    shown = [" ".join(e.context.text.split()) if whole else _around_peak(e) for e in examples]
    lines, question = "".join(f"- {line}\n" for line in shown), WHOLE if whole else QUESTION
    continuations = [f" {candidate.text}" for candidate in found]
    given = await model.likelihoods(f"{lines}{question}", continuations)
    alone = await model.likelihoods(question, continuations)
    gains = {c.text: g.mean - weight * a.mean for c, g, a in zip(found, given, alone, strict=True)}
    return sorted(found, key=lambda c: (c.side is Side.UNCLEAR, -gains[c.text], c.text))


def _around_peak(example: Example) -> str:
    """The tokens around the peak on one line, the active ones marked."""
    tokens = example.context.tokens
    peak = max(range(len(tokens)), key=lambda i: example.activations[i])
    first, last = max(0, peak - AROUND), min(len(tokens), peak + AROUND + 1)
    marks = tuple(i - first for i in example.active_positions() if first <= i < last)
    return " ".join(Passage(tokens[first:last], marks).marked().split())
