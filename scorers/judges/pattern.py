"""A judge that runs a pattern: exact, and without a model.

A passage without marks gets the chance of the pattern anywhere in it. With marks, it gets the mean chance at the
marked tokens, since all marks should be at what the pattern describes. Of two passages, the first gets its share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neurogloss.prompts.pictures import has_words
from neurogloss.records import Answer, Explanation, Failure, Passage, Question
from neurogloss.scorers.patterns.language import Pattern, pattern_of
from neurogloss.scorers.patterns.syntax import parse, write

TASKS = frozenset({"detection", "fuzzing"})
"""Tasks that a pattern answers: those about contexts of the corpus."""


def line_of(explanation: Explanation) -> str:
    """The pattern in the explanation's provenance, in the one-line syntax; empty if there is none that runs."""
    stored = explanation.provenance.get("pattern")
    try:
        return write(pattern_of(stored)) if stored is not None else ""
    except ValueError:
        return ""


class PatternJudge:
    """Implements `neurogloss.protocols.Judge`."""

    name = "pattern"

    @property
    def settings(self) -> Mapping[str, Any]:
        """JSON of everything that decides its answers."""
        return {"judge": self.name}

    async def ask(self, task: str, explanation: str, questions: Sequence[Question]) -> list[Answer]:
        """A probability for every question; a failure without words, or if `explanation` is not a pattern."""
        try:
            pattern = parse(explanation)
        except ValueError:
            missing = Answer(None, Failure.UNPARSEABLE, "the explanation is not a pattern")
            return [missing] * len(questions)
        return [_answer(pattern, question) for question in questions]


def _answer(pattern: Pattern, question: Question) -> Answer:
    if not all(passage.tokens and has_words(passage) for passage in question.passages):
        return Answer(None, Failure.EMPTY, "a pattern reads words, and the passage has none")
    first, *others = (_chance(pattern, passage) for passage in question.passages)
    if not others:
        return Answer(first)
    return Answer(0.5 if first == others[0] else first / (first + others[0]))


def _chance(pattern: Pattern, passage: Passage) -> float:
    if not passage.marks or passage.grid is not None:
        return pattern.chance(passage.tokens)
    chances = pattern.chances(passage.tokens)
    return sum(chances[i] for i in passage.marks) / len(passage.marks)
