"""An output-side explainer without a model: the words among the tokens that the unit promotes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neurogloss.agent.explainers import words
from neurogloss.errors import EmptyAnswerError
from neurogloss.protocols import Material
from neurogloss.records import Candidate, Side

SIZES = (3, 6, 10)
"""Words in a list."""


class PromotedExplainer:
    """Implements `neurogloss.protocols.Explainer`."""

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
