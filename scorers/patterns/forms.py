"""Inflection families of English words: `look` stands for looks, looked and looking.

Rules take endings off (a light stemmer in the manner of Porter's first step, 1980); a table has the irregular
verbs and nouns that texts use most. A key names a family: it is a word or its stem, and is not for show.
"""

from __future__ import annotations

from functools import lru_cache

_IRREGULAR = """
be am is are was were been being|have has had having|do does did done doing|go goes went gone going|say said says
make made making makes|take took taken taking takes|come came coming comes|see saw seen seeing sees
know knew known|get got gotten getting gets|give gave given giving gives|find found|think thought|tell told
become became becoming becomes|leave left leaving leaves|feel felt|put putting|bring brought
begin began begun beginning|use used using uses|news
keep kept|hold held|write wrote written writing writes|stand stood|hear heard
let letting|mean meant|set setting
meet met|run ran running|pay paid|sit sat sitting|speak spoke spoken|lead led|grow grew grown|lose lost losing
fall fell fallen|send sent|build built|understand understood|draw drew drawn|break broke broken|spend spent
cut cutting|rise rose risen rising rises|drive drove driven driving drives|buy bought|wear wore worn
choose chose chosen choosing chooses|teach taught|eat ate eaten|sing sang sung|catch caught|win won winning
fight fought|throw threw thrown|show shown showed|sleep slept|sell sold|seek sought|fly flew flown flies
man men|woman women|child children|foot feet|tooth teeth|mouse mice|person people|life lives|wife wives
good better best|bad worse worst|can could can't cannot couldn't|will would 'll 'd won't wouldn't
i me my mine myself|he him his himself|she her hers herself|we us our ours ourselves
they them their theirs themselves
you your yours yourself yourselves|it its itself|this these|that those|a an
"""
_FAMILY = {
    member: family.split()[0]
    for family in _IRREGULAR.replace("\n", "|").split("|")
    if family
    for member in family.split()
}
_KEEP_S = ("ss", "us", "is", "as", "os")
_VOWELS = frozenset("aeiou")
_LONG = 6
"""Letters from which a final *e* says nothing: *create* and *created* are both of `creat`."""


@lru_cache(1 << 16)
def form_of(word: str) -> str:
    """The key of a word's family; the word is in lower case. Every member gives the same key."""
    if word in _FAMILY or not word.isascii() or not word[:1].isalpha():
        return _FAMILY.get(word, word)
    word = word.removesuffix("'s")
    if word in _FAMILY:
        return _FAMILY[word]
    if len(word) > 4 and word.endswith(("ies", "ied")):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("sses", "shes", "ches", "xes", "zzes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(_KEEP_S):
        word = word[:-1]
    elif stem := next((word[: -len(end)] for end in ("ing", "ed") if word.endswith(end)), ""):
        if len(stem) >= 3 and _VOWELS & set(stem):
            word = _verb(stem)
    word = _FAMILY.get(word, word)
    return word[:-1] if len(word) >= _LONG and word[-1] == "e" else word


def _verb(stem: str) -> str:
    """A short stem as its verb is written: *hop* of hoping is hope, *stopp* is stop, *look* stays."""
    if stem[-1] == stem[-2] and stem[-1] not in "lsz":
        return stem[:-1]
    vowels = sum(char in _VOWELS for char in stem)
    closed = stem[-1] not in "aeiouwxy" and stem[-2] in _VOWELS
    if len(stem) < _LONG - 1 and (stem[-1] in "cv" or (closed and vowels == 1)):
        return stem + "e"
    return stem
