"""Chooses what questions and prompts are made of: examples, their order, and explanations of other units.

All of it is seeded, and blind to what will be asked. A score's floor is what explanations of other units reach on
the same questions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np

from neurogloss.ids import content_id, derive_seed
from neurogloss.records import Context, EvidenceHalf, Example, Explanation
from neurogloss.scorers.judges.pattern import line_of
from neurogloss.scorers.patterns.english import describe
from neurogloss.scorers.patterns.syntax import parse

Item = TypeVar("Item")
LONG_ENOUGH = 20
"""Tokens of a context that can be a prompt."""


def over_ranks(examples: Sequence[Example], n: int) -> list[tuple[Example, str]]:
    """At most n of the examples, which stand by descending peak, evenly over their ranks.

    Each comes with its decile as text: "10" for the highest tenth of the peaks, "1" for the lowest.
    """
    total = len(examples)
    ranks: list[int] = np.unique(np.linspace(0, total - 1, min(n, total)).round().astype(int)).tolist()
    return [(examples[rank], str(10 - int(10 * rank / total))) for rank in ranks]


def shuffled(items: Sequence[Item], seed: int, purpose: str) -> list[Item]:
    """The items in an order that the seed and the purpose decide."""
    order = np.random.default_rng(derive_seed(seed, purpose)).permutation(len(items))
    return [items[i] for i in order]


def in_turn(lists: Sequence[Sequence[Item]]) -> list[Item]:
    """The first of each list, the second of each, …"""
    longest = max(map(len, lists), default=0)
    return [items[i] for i in range(longest) for items in lists if i < len(items)]


def active_level(half: EvidenceHalf, quantile: float) -> float:
    """The peak below which lies that share of the unit's active contexts: a threshold of its own for each unit.

    NaN where none is known.
    """
    peaks = [example.peak for example in half.uniform]
    return float(np.quantile(peaks, quantile)) if peaks else math.nan


def prompt_texts(contexts: Sequence[Context], n: int) -> tuple[str, ...]:
    """The first n texts that are long enough to be prompts; of images their paths."""
    fit = (context for context in contexts if context.picture or len(context.tokens) >= LONG_ENOUGH)
    return tuple(context.content for context in islice(fit, n))


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
PATTERN_DECOYS = (
    "is:digit",
    'mark:","',
    "ends:ing",
    "word:he|she|they",
    "at:sentence",
    "after:the",
    "word:of|in|on",
    "ends:s",
)
"""The decoys of an explanation that is a pattern."""


@dataclass(frozen=True, slots=True)
class Floor:
    """An explanation of something else."""

    id: str
    """Of the explanation, or `decoy:` and a hash."""
    text: str
    pattern: str = ""
    """The explanation's pattern in one line, if it has one."""


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
    floors = [Floor(explanation.id, explanation.text, line_of(explanation)) for explanation in drawn]
    taken = {own.text, *(floor.text for floor in floors)}
    lines = {describe(parse(line)): line for line in PATTERN_DECOYS} if line_of(own) else dict.fromkeys(DECOYS, "")
    texts = list(lines)
    decoys = [texts[i] for i in rng.permutation(len(texts)) if texts[i] not in taken]
    return floors + [Floor(f"decoy:{content_id(d)[3:11]}", d, lines[d]) for d in decoys[: n - len(floors)]]
