"""Candidate explanations out of the examples themselves: words and phrases that the active contexts share.

Of stimuli they are made of what is said of them, captions, tags or whole texts (`of_stimuli`):

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
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from neurogloss.protocols import Material
from neurogloss.records import Example

WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
"""Letters and digits, with apostrophes and hyphens inside."""
NAMES = {
    ".": "full stops",
    ",": "commas",
    ":": "colons",
    ";": "semicolons",
    "?": "question marks",
    "!": "exclamation marks",
    "(": "opening parentheses",
    ")": "closing parentheses",
    "[": "opening brackets",
    "]": "closing brackets",
    '"': "quotation marks",
    "'": "apostrophes",
    "-": "hyphens",
    "*": "asterisks",
    "#": "hash signs",
    "=": "equals signs",
    "$": "dollar signs",
    "%": "percent signs",
    "/": "slashes",
    "_": "underscores",
}
"""What an embedding model has words for better than signs."""
FEWEST = 2
"""Active texts that hold a term, at least."""
CLEARLY = 1.5
"""Times the share that it is compared with."""
ERRORS = 2.0
"""Standard errors of the difference of the shares."""
PAIRED = 8
"""Words that pairs are made of."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Words of one example, in lower case."""

    active: tuple[str, ...]
    """Those under active tokens, and the names of signs there."""
    phrases: tuple[str, ...]
    """The word under the peak with the word before it, and with the one after it."""
    all: frozenset[str]


def words_in(text: str) -> list[str]:
    """In lower case, in order."""
    return [match.group().lower() for match in WORD.finditer(text)]


def seen(example: Example) -> Seen:
    """The words of an example, in lower case."""
    tokens, text = example.context.tokens, example.context.text
    spans = [(m.start(), m.end(), m.group().lower()) for m in WORD.finditer(text)]
    bounds = [0]
    for token in tokens:
        bounds.append(bounds[-1] + len(token))
    active = [_word_at(spans, bounds, tokens, i) for i in example.active_positions()]
    peak = max(range(len(tokens)), key=lambda i: example.activations[i])
    words = [word for _, _, word in spans]
    at = _span_at(spans, bounds[peak], bounds[peak + 1])
    pairs = [words[i : i + 2] for i in (at - 1, at) if 0 <= i < len(words) - 1] if at is not None else []
    return Seen(
        active=tuple(dict.fromkeys(word for word in active if word)),
        phrases=tuple(" ".join(pair) for pair in pairs),
        all=frozenset(words),
    )


def distinct(examples: Iterable[Example]) -> list[Example]:
    """Each context once: one that is a top example may be in the uniform sample, too."""
    return list({example.context.id: example for example in examples}.values())


def candidates(material: Material) -> list[str]:
    """Lists of words, without duplicates: of those under active tokens, of those in the contexts, of both.

    A single word is a candidate only where there is no list: on real neurons lists hold as well as the best
    single words do, and say more.
    """
    found, weights = _seen_and_weights(material)
    silent = [frozenset(words_in(c.text)) for c in material.half.negatives]
    active = _by_weight(found, weights)
    counts = Counter(word for s in found for word in s.active)
    repeated = [word for word in active if counts[word] > 1] or active
    context = _over_represented(found, silent)
    phrases = [phrase for phrase, n in Counter(p for s in found for p in s.phrases).most_common(4) if n > 2]
    likely = promoted(material)
    lists = [
        *(_listed(repeated, n) for n in (2, 3, 4, 6, 8)),
        *(_listed(active, n) for n in (3, 6)),
        *(_listed(context, n) for n in (2, 3, 5, 8)),
        *(_listed(likely, n) for n in (3, 6)),
        _listed(phrases, 4),
        _listed(_unique((*repeated[:3], *context[:3])), 6),
        _listed(_unique((*repeated[:2], *likely[:3])), 5),
    ]
    return _unique(text for text in lists if text) or repeated[:1] or context[:1] or phrases[:1]


def of_stimuli(material: Material) -> list[str]:
    """Pairs, words and lists, without duplicates; empty where the active texts share nothing."""
    half = material.half
    examples = distinct([*half.top, *half.uniform])
    active, weights = [words_in(e.context.text) for e in examples], [e.peak for e in examples]
    silent = [words_in(context.text) for context in (*half.negatives, *half.hard.look_alikes)]
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


def _pairs(words: Sequence[str], known: Collection[str]) -> list[str]:
    return [f"{a} {b}" for a, b in combinations([word for word in words if word in known], 2) if a != b]


def promoted(material: Material) -> list[str]:
    """The tokens that the unit promotes and that are words, in lower case, the most promoted first."""
    return _unique(token.strip().lower() for token in material.promoted if _is_word(token))


def active_list(material: Material, n: int = 6) -> str:
    """The n words with the most activation, as a list: the plainest label there is."""
    return ", ".join(_by_weight(*_seen_and_weights(material))[:n])


def _seen_and_weights(material: Material) -> tuple[list[Seen], list[float]]:
    """The words of each example, and the examples' peaks."""
    examples = distinct([*material.half.top, *material.half.uniform])
    return [seen(example) for example in examples], [example.peak for example in examples]


def _is_word(token: str) -> bool:
    """Whether a token begins a word and looks like one."""
    return token.startswith(" ") and token.strip().isalpha() and len(token.strip()) > 2


def _word_at(spans: Sequence[tuple[int, int, str]], bounds: Sequence[int], tokens: Sequence[str], i: int) -> str:
    """The word that holds most of a token, or the name of its sign."""
    at = _span_at(spans, bounds[i], bounds[i + 1])
    if at is not None:
        return spans[at][2]
    sign = tokens[i].strip()
    return NAMES.get(sign[:1], "") if sign else ("line breaks" if "\n" in tokens[i] else "")


def _span_at(spans: Sequence[tuple[int, int, str]], start: int, end: int) -> int | None:
    """Which of the words holds most of the characters from `start` to `end`."""
    overlaps = [min(b, end) - max(a, start) for a, b, _ in spans]
    most = max(overlaps, default=0)
    return overlaps.index(most) if most > 0 else None


def _by_weight(found: Sequence[Seen], weights: Sequence[float]) -> list[str]:
    """Words by the sum of the peaks of the examples in which they are active."""
    totals: defaultdict[str, float] = defaultdict(float)
    for s, weight in zip(found, weights, strict=True):
        for word in s.active:
            totals[word] += weight
    return [word for word, _ in sorted(totals.items(), key=lambda item: (-item[1], item[0]))]


def _over_represented(found: Sequence[Seen], silent: Sequence[frozenset[str]]) -> list[str]:
    """Words in at least two active contexts and in fewer silent ones, by their odds' ratio (smoothed)."""
    here = Counter(word for s in found for word in s.all)
    there = Counter(word for words in silent for word in words)

    def ratio(word: str) -> float:
        return ((here[word] + 0.5) / (len(found) + 1)) / ((there[word] + 0.5) / (len(silent) + 1))

    words = [word for word, n in here.items() if n >= 2 and len(word) > 2 and ratio(word) > 1.5]
    return sorted(words, key=lambda word: (-here[word] * ratio(word) ** 0.5, word))


def _listed(words: Sequence[str], n: int) -> str:
    """The first n words as a list; nothing where there are fewer than two."""
    return ", ".join(words[:n]) if len(words[:n]) > 1 else ""


def _unique(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))
