"""Floors: what a score is when nothing was explained. Explanations of other units, asked the same questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neurogloss.ids import content_id, derive_seed
from neurogloss.records import Explanation

DECOYS = (
    "names of people, and the verbs that follow them",
    "numbers, dates and years",
    "words about food and cooking",
    "programming code and file names",
    "the end of a sentence",
    "words about weather and the seasons",
    "legal and official language",
    "parts of the body and illness",
    "words for place and direction, such as under and behind",
    "questions, and polite requests in letters",
)
"""What is asked where too few other units have been explained: plausible, and about no unit in particular."""


@dataclass(frozen=True, slots=True)
class Floor:
    """An explanation of something else."""

    id: str
    """Of the explanation, or `decoy:` and a hash."""
    text: str


def draw(own: Explanation, others: Sequence[Explanation], n: int, seed: int) -> list[Floor]:
    """n explanations of other units that say something else, filled up with decoys.

    Args:
        others: in any order; may hold `own` and explanations of the same unit, which are never drawn.
        seed: of the unit, so that one unit's draw does not depend on another's.
    """
    by_id = sorted(others, key=lambda e: e.id)
    pool = {e.text: e for e in by_id if e.unit != own.unit and e.text != own.text}
    texts = sorted(pool)
    rng = np.random.default_rng(derive_seed(seed, "floors"))
    drawn = [pool[texts[i]] for i in rng.permutation(len(texts))[:n]]
    floors = [Floor(explanation.id, explanation.text) for explanation in drawn]
    taken = {own.text, *(floor.text for floor in floors)}
    decoys = [DECOYS[i] for i in rng.permutation(len(DECOYS)) if DECOYS[i] not in taken]
    return floors + [Floor(f"decoy:{content_id(d)[3:11]}", d) for d in decoys[: n - len(floors)]]
