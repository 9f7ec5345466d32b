"""Asking a judge that reads words about images: each is its caption, and what has no words is not asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from neurogloss.prompts.pictures import all_in_words
from neurogloss.records import Answer, Failure, Question

UNWORDED = Answer(
    None,
    Failure.TOO_LITTLE_EVIDENCE,
    "the judge sees no pictures, and there are no words for this one or for what is marked in it",
)


async def ask_in_words(
    ask: Callable[[Sequence[Question]], Awaitable[list[Answer]]], questions: Sequence[Question]
) -> list[Answer]:
    """What `ask` answers to the questions that can be put into words, and UNWORDED for each of the others."""
    if not any(passage.picture for question in questions for passage in question.passages):
        return await ask(questions)
    worded = [all_in_words(question.passages) for question in questions]
    asked = [replace(q, passages=words) for q, words in zip(questions, worded, strict=True) if words is not None]
    answers = iter(await ask(asked))
    return [UNWORDED if words is None else next(answers) for words in worded]
