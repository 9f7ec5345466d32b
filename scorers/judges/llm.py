"""A judge that asks a chat model, several questions a prompt or one.

Several a prompt (the paper's setting, Paulo et al. 2024, arXiv:2410.13928):

1. Cut the questions, in their order, into batches of `per_prompt`; the last may be shorter.
2. Write each batch into the task's prompt, and ask for exactly as many answers, in a JSON schema.
3. Read the first list of so many answers. Where there is none, none of the batch is answered: those questions keep
   the failure as their state; nothing is guessed and none is dropped. Probabilities are 0 or 1.

One a prompt (`probabilities`):

1. Write each question into a prompt that asks for one word.
2. The probability is the model's own, of that word among the two that may be said.

What is the same across requests stands first: instructions, worked examples, the explanation, then what is asked.
One passage is answered with true or false, two with "A" or "B".

Images are shown to a model that sees pictures; another one reads their captions. Where there are no words for what
is asked (no caption, or a part of an image that is marked), it is not asked, and the question stays unanswered.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from neurogloss.errors import AnswerError, TransportError, UnparseableError, UserError
from neurogloss.foreign import read_json
from neurogloss.ids import derive_seed
from neurogloss.llm import ChatModel, Request
from neurogloss.prompts.pictures import showing
from neurogloss.prompts.render import Prompt, render, template_hash
from neurogloss.records import Answer, Question
from neurogloss.scorers.answering import ask_in_words
from neurogloss.tasks import together

TASKS = ("detection", "fuzzing", "intervention")
"""The tasks that the package has prompts for."""
SEEN_TASKS = ("detection", "fuzzing")
"""Those that are asked about images."""
_FORMS: Mapping[int, Mapping[Any, float]] = {1: {True: 1.0, False: 0.0}, 2: {"A": 1.0, "B": 0.0}}
"""By the number of passages: what may be answered, and the probability that it stands for."""
_WORDS: Mapping[int, tuple[str, str]] = {1: ("true", "false"), 2: ("A", "B")}
"""The same in one word; the first stands for the truth."""
_DIGITS: Mapping[Any, bool] = {1: True, 0: False, "1": True, "0": False}
"""What else is read as true and false."""
_LIST = re.compile(r"\[[^\[\]]*\]")


class LLMJudge:
    """Judge over a chat model.

    A task is the name of a scorer with a prompt in the package (`detection` …), or the path of a user's own
    prompt, which uses the values `explanation` and `items` (one tuple of passages a question).
    """

    def __init__(self, chat: ChatModel, per_prompt: int = 5, seed: int = 0, probabilities: bool = False) -> None:
        """
        Args:
            chat: the model asked.
            per_prompt: questions in one prompt, at least 1.
            seed: sent with each request; at temperature 0 it decides nothing on most servers.
            probabilities: ask one question a prompt, and take the model's probability; `per_prompt` is then 1.

        Raises:
            UserError: probabilities are wanted of a model that gives none.
        """
        if per_prompt < 1:
            raise ValueError(f"per_prompt is at least 1, found {per_prompt}")
        if probabilities and not chat.features.choices:
            raise UserError(
                f"Expected a model that gives the probabilities of its answers; {chat.name} gives none. "
                "Ask several questions a prompt, or use a server with logprobs (vLLM)."
            )
        self._chat = chat
        self._per_prompt = 1 if probabilities else per_prompt
        self._seed = seed
        self._probabilities = probabilities

    @property
    def name(self) -> str:
        return f"llm:{self._chat.name}"

    @property
    def settings(self) -> Mapping[str, Any]:
        """JSON of what decides the answers."""
        prompts = {task: self._template(task) for task in TASKS}
        if self._chat.features.pictures:
            prompts |= {f"{task}-pictures": self._template(task, pictures=True) for task in SEEN_TASKS}
        return {
            "model": self._chat.name,
            "prompts": {task: template_hash(name) for task, name in prompts.items()},
            "per_prompt": self._per_prompt,
            "probabilities": self._probabilities,
            "seed": self._seed,
        }

    async def ask(self, task: str, explanation: str, questions: Sequence[Question]) -> list[Answer]:
        """One answer a question, in order.

        Raises:
            TransportError: the model could not be reached; the other requests are given up.
            UserError: there is no prompt for the task, or it does not hold.
        """
        ask = partial(self._ask_all, task, explanation)
        return await (ask(questions) if self._chat.features.pictures else ask_in_words(ask, questions))

    async def _ask_all(self, task: str, explanation: str, questions: Sequence[Question]) -> list[Answer]:
        size = self._per_prompt
        batches = [questions[start : start + size] for start in range(0, len(questions), size)]
        asked = await together(self._ask_batch(task, explanation, batch) for batch in batches)
        return [answer for answers in asked for answer in answers]

    def _template(self, task: str, pictures: bool = False) -> str:
        if not task.endswith(".md"):
            return f"score/{task}{'-one' if self._probabilities else ''}{'-pictures' if pictures else ''}"
        if self._probabilities:
            raise UserError(f"The prompt {task} asks several questions. Ask it without probabilities.")
        return task

    async def _ask_batch(self, task: str, explanation: str, batch: Sequence[Question]) -> list[Answer]:
        (n_passages,) = {len(question.passages) for question in batch}
        items = [question.passages for question in batch]
        passages = [passage for item in items for passage in item]
        template = self._template(task, any(passage.picture for passage in passages))
        prompt = showing(render(template, explanation=explanation, items=items), passages)
        try:
            if self._probabilities:
                first, second = _WORDS[n_passages]
                choice = await self._chat.choose(prompt.messages, (first, second))
                return [Answer(min(choice.probabilities[first], 1.0))]
            form = _FORMS[n_passages]
            text = await self._reply(task, prompt, len(batch), list(form))
            return [Answer(form[value]) for value in _parse(text, len(batch), list(form))]
        except TransportError:
            raise
        except AnswerError as error:
            return [Answer(None, error.failure, str(error))] * len(batch)

    async def _reply(self, task: str, prompt: Prompt, n: int, choices: Sequence[Any]) -> str:
        # An answer costs two or three tokens; the rest is the frame and a model's white space.
        room, seed = 64 + 8 * n, derive_seed(self._seed, task)
        reply = await self._chat.chat(Request(prompt.messages, _schema(n, choices), max_tokens=room, seed=seed))
        return reply.text


def _schema(n: int, choices: Sequence[Any]) -> dict[str, Any]:
    item = {"type": "boolean"} if True in choices else {"type": "string", "enum": list(choices)}
    answers = {"type": "array", "items": item, "minItems": n, "maxItems": n}
    return {
        "type": "object",
        "properties": {"answers": answers},
        "required": ["answers"],
        "additionalProperties": False,
    }


def _parse(text: str, n: int, choices: Sequence[Any]) -> list[Any]:
    """The first list of `n` answers in `text`, in JSON or Python, whatever is around it; true and false may be
    digits.

    Raises:
        UnparseableError: there is none.
    """
    for found in _LIST.findall(text):
        values = [_value(value, choices) for value in _literal(found)]
        if len(values) == n and None not in values:
            return values
    expected = " or ".join(map(json.dumps, choices))
    raise UnparseableError(f'expected {{"answers": [{n} × {expected}]}}, found {text[:200]!r}')


def _literal(text: str) -> list[Any]:
    for read in (read_json, ast.literal_eval):
        try:
            return list(read(text))
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
    return []


def _value(value: Any, choices: Sequence[Any]) -> Any:
    """The choice that the value stands for, or None."""
    if True in choices and type(value) in (int, float, str):
        return _DIGITS.get(value)
    # The type is compared, too: 1 equals True in Python.
    return value if type(value) is type(choices[0]) and value in choices else None
