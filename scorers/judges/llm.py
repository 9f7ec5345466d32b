"""A judge that asks a chat model.

1. Cut the questions, in their order, into batches of `per_prompt`; the last may be shorter.
2. Write each batch into the task's prompt, and ask for exactly as many answers, in a JSON schema.
3. Read the answers strictly: an answer in another form answers none of its batch. Those questions keep the
   failure as their state; nothing is guessed and none is dropped.

One passage is answered with true or false, two with "A" or "B". Probabilities are 0 or 1.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from neurogloss.errors import AnswerError, TransportError, UnparseableError
from neurogloss.ids import derive_seed
from neurogloss.prompts.render import render, template_hash
from neurogloss.protocols import ChatModel
from neurogloss.records import Answer, Question

TASKS = ("detection", "fuzzing", "intervention")
"""The tasks that the package has prompts for."""
_FORMS: Mapping[int, Mapping[str | bool, float]] = {1: {True: 1.0, False: 0.0}, 2: {"A": 1.0, "B": 0.0}}
"""By the number of passages: what may be answered, and the probability that it stands for."""


class LLMJudge:
    """Judge over a chat model.

    A task is the name of a scorer with a prompt in the package (`score/detection` …), or the path of a
    user's own prompt, which uses the values `explanation` and `items` (one tuple of passages a question).
    """

    def __init__(self, chat: ChatModel, per_prompt: int = 5, seed: int = 0, concurrency: int = 16) -> None:
        """
        Args:
            chat: the model asked.
            per_prompt: questions in one prompt, at least 1.
            seed: sent with each request; at temperature 0 it decides nothing on most servers.
            concurrency: requests in flight at once, over all calls of `ask`.
        """
        if per_prompt < 1 or concurrency < 1:
            raise ValueError(f"per_prompt and concurrency are at least 1, found {per_prompt}, {concurrency}")
        self._chat = chat
        self._per_prompt = per_prompt
        self._seed = seed
        self._slots = asyncio.Semaphore(concurrency)

    @property
    def name(self) -> str:
        return f"llm:{self._chat.name}"

    @property
    def settings(self) -> Mapping[str, Any]:
        """JSON of what decides the answers."""
        prompts = {task: template_hash(_template(task)) for task in TASKS}
        return {
            "model": self._chat.name,
            "prompts": prompts,
            "per_prompt": self._per_prompt,
            "seed": self._seed,
        }

    async def ask(self, task: str, explanation: str, questions: Sequence[Question]) -> list[Answer]:
        """One answer a question, in order.

        Raises:
            TransportError: the model could not be reached; the other requests are given up.
            UserError: there is no prompt for the task, or it does not hold.
        """
        size = self._per_prompt
        batches = [questions[start : start + size] for start in range(0, len(questions), size)]
        try:
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(self._ask_batch(task, explanation, batch)) for batch in batches]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [answer for batch in asked for answer in batch.result()]

    async def _ask_batch(self, task: str, explanation: str, batch: Sequence[Question]) -> list[Answer]:
        (n_passages,) = {len(question.passages) for question in batch}
        form = _FORMS[n_passages]
        prompt = render(_template(task), explanation=explanation, items=[question.passages for question in batch])
        try:
            async with self._slots:
                reply = await self._chat.chat(
                    prompt.messages,
                    schema=_schema(len(batch), list(form)),
                    # An answer costs two or three tokens; the rest is the frame and a model's white space.
                    max_tokens=64 + 8 * len(batch),
                    seed=derive_seed(self._seed, task),
                )
            values = _parse(reply.text, len(batch), list(form))
        except TransportError:
            raise
        except AnswerError as error:
            return [Answer(None, error.failure, str(error))] * len(batch)
        return [Answer(form[value]) for value in values]


def _template(task: str) -> str:
    return task if task.endswith(".md") else f"score/{task}"


def _schema(n: int, choices: Sequence[str | bool]) -> dict[str, Any]:
    item = {"type": "boolean"} if True in choices else {"type": "string", "enum": list(choices)}
    answers = {"type": "array", "items": item, "minItems": n, "maxItems": n}
    return {
        "type": "object",
        "properties": {"answers": answers},
        "required": ["answers"],
        "additionalProperties": False,
    }


def _parse(text: str, n: int, choices: Sequence[str | bool]) -> list[str | bool]:
    """The `n` answers in `text`. Raises UnparseableError where it holds anything else."""
    kind = type(choices[0])
    try:
        answers = json.loads(text)["answers"]
    except (ValueError, TypeError, KeyError):
        answers = None
    # The type is compared too: 1 equals True in Python, and is no answer.
    fits = isinstance(answers, list) and all(type(value) is kind and value in choices for value in answers)
    if not fits or len(answers) != n:
        expected = " or ".join(map(json.dumps, choices))
        raise UnparseableError(f'expected {{"answers": [{n} × {expected}]}}, found {text[:200]!r}')
    return list(answers)
