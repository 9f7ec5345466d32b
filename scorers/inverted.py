"""Detection the other way round: which of several explanations does a context fit?

1. Units of a group share many contexts: the silent ones that are asked about are those of the smallest hashes, the
   same for most units. So every context that detection would ask about for one of them is asked about once, and
   of all their explanations together.
2. A prompt holds the explanations, numbered, and a few contexts; the answer lists, for each context, the numbers
   of those that it fits. What an explanation is not listed for, it does not fit: probabilities are 0 or 1.
3. Each unit's detection is read off the answers; its floors are what the others' explanations got on its
   questions.
4. Contexts in which another unit of the group is active, and this one certified silent, are its negatives for
   discrimination, at no further cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neurogloss.errors import AnswerError, TransportError, UnparseableError
from neurogloss.foreign import read_json
from neurogloss.ids import derive_seed
from neurogloss.llm import ChatModel, Request
from neurogloss.prompts.pictures import in_words
from neurogloss.prompts.render import render
from neurogloss.records import Answer, Failure, Passage
from neurogloss.tasks import together

PROMPT = "score/inverted"
DETECTION, DISCRIMINATION = "detection-inverted", "discrimination-inverted"
"""Names of the two scores."""
ROOM = 64
"""Tokens of an answer beside its numbers."""
NUMBER = 4
"""Tokens of a number in a list, with what separates it."""


async def fitting(
    chat: ChatModel, explanations: Sequence[str], passages: Sequence[Passage], per_prompt: int, seed: int
) -> list[list[Answer]]:
    """For each passage, an answer for each explanation. Of an image the caption is read.

    Args:
        per_prompt: passages in one prompt. Where its reply cannot be read, all answers of it are failures.

    Raises:
        TransportError: the model could not be reached; the other requests are given up.
    """
    shown = [words for words in map(in_words, passages) if words]
    batches = [shown[start : start + per_prompt] for start in range(0, len(shown), per_prompt)]
    found = await together(_ask(chat, explanations, batch, seed) for batch in batches)
    answers = (answers for batch in found for answers in batch)
    unseen = Answer(None, Failure.TOO_LITTLE_EVIDENCE, "an image without a caption")
    return [next(answers) if in_words(passage) else [unseen] * len(explanations) for passage in passages]


async def _ask(
    chat: ChatModel, explanations: Sequence[str], batch: Sequence[Passage], seed: int
) -> list[list[Answer]]:
    prompt = render(PROMPT, explanations=explanations, items=[(passage,) for passage in batch])
    n, k = len(batch), len(explanations)
    request = Request(
        prompt.messages, _schema(n, k), max_tokens=ROOM + NUMBER * n * k, seed=derive_seed(seed, PROMPT)
    )
    try:
        lists = _parse((await chat.chat(request)).text, n, k)
    except TransportError:
        raise
    except AnswerError as error:
        return [[Answer(None, error.failure, str(error))] * k] * n
    return [[Answer(float(number in fits)) for number in range(1, k + 1)] for fits in lists]


def _schema(n: int, k: int) -> dict[str, Any]:
    numbers = {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": k}, "maxItems": k}
    answers = {"type": "array", "items": numbers, "minItems": n, "maxItems": n}
    return {
        "type": "object",
        "properties": {"answers": answers},
        "required": ["answers"],
        "additionalProperties": False,
    }


def _parse(text: str, n: int, k: int) -> list[list[int]]:
    try:
        found = read_json(text)
    except ValueError:
        found = None
    lists = found.get("answers") if isinstance(found, dict) else None
    if isinstance(lists, list) and len(lists) == n and all(_are_numbers(each, k) for each in lists):
        return lists
    raise UnparseableError(f'expected {{"answers": [{n} lists of numbers from 1 to {k}]}}, found {text[:200]!r}')


def _are_numbers(values: Any, k: int) -> bool:
    # The type is compared: True is an int in Python, and no number here.
    return isinstance(values, list) and all(type(value) is int and 1 <= value <= k for value in values)
