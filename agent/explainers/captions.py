"""Candidate explanations out of what is said of the stimuli that activate a unit: captions, tags, whole texts.

1. A word's share p of the active texts, each weighing its peak, is compared with its share q of the silent texts
   and look-alikes, both smoothed. A word that is not clearly more frequent says nothing of the unit: so function
   words go, and words that are found for look-alikes, too (Kalibhat et al. 2023, arXiv:2307.10504). The others are
   ordered by p log(p / q).
2. Pairs of such words, in the order of the text, are compared in the same way, and kept where they raise p / q
   further than either word does: what they say is that both are needed.
3. Candidates are the best pairs and words, and lists of words. Whole captions are none: each names all that is in
   one image, and a language model that has read it among the examples takes it for the best answer.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations

from neurogloss.agent.explainers.words import WORD, distinct
from neurogloss.protocols import Material

FEWEST = 2
"""Active texts that hold a term, at least."""
CLEARLY = 1.5
"""Times the share that it is compared with."""
ERRORS = 2.0
"""Standard errors of the difference of the shares."""
PAIRED = 8
"""Words that pairs are made of."""


def candidates(material: Material) -> list[str]:
    """Pairs, words and lists, without duplicates; empty where the active texts share nothing."""
    half = material.half
    examples = distinct([*half.top, *half.uniform])
    active, weights = [_words(e.context.text) for e in examples], [e.peak for e in examples]
    silent = [_words(context.text) for context in (*half.negatives, *half.hard.look_alikes)]
    lifts = telling(active, weights, silent)
    words = list(lifts)
    known = frozenset(words[:PAIRED])
    of_pairs = telling([_pairs(t, known) for t in active], weights, [_pairs(t, known) for t in silent])
    pairs = [pair for pair, lift in of_pairs.items() if lift > CLEARLY * max(lifts[w] for w in pair.split())]
    lists = [", ".join(words[:n]) for n in (2, 3, 4, 6) if len(words) >= n]
    return list(dict.fromkeys([*pairs[:3], *words[:3], *lists]))


def telling(
    active: Sequence[Collection[str]], weights: Sequence[float], silent: Sequence[Collection[str]]
) -> Mapping[str, float]:
    """p / q of the terms that are clearly more frequent in active texts, the most telling first."""
    n, n_silent, half_a_text = len(active), len(silent), 0.5 * sum(weights) / max(1, len(active))
    found = []
    for term in dict.fromkeys(term for terms in active for term in terms):
        held = [weight for terms, weight in zip(active, weights, strict=True) if term in terms]
        p = (sum(held) + half_a_text) / (sum(weights) + 2 * half_a_text)
        q = (sum(term in terms for terms in silent) + 0.5) / (n_silent + 1)
        error = math.sqrt(p * (1 - p) / n + q * (1 - q) / (n_silent + 1))
        if len(held) >= FEWEST and p > CLEARLY * q and p - q > ERRORS * error:
            found.append((-p * math.log(p / q), term, p / q))
    return {term: lift for _, term, lift in sorted(found)}


def _words(text: str) -> list[str]:
    return [match.group().lower() for match in WORD.finditer(text)]


def _pairs(words: Sequence[str], known: Collection[str]) -> list[str]:
    return [f"{a} {b}" for a, b in combinations([word for word in words if word in known], 2) if a != b]
