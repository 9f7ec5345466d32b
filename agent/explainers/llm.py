"""An explainer that asks a chat model.

1. Choose examples from the explain half: the strongest, and some spread evenly over the uniform sample, so
   that weak activations are explained too (the strongest alone give narrow labels, arXiv 2410.13928).
2. Mark the active tokens (at least 0.3 of the context's peak) and list their strengths, ceil(10 a / max).
3. Ask for several explanations: one at temperature 0, the others sampled, each with a seed of its own.
4. Drop blanks and repetitions; keep the order.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neurogloss.errors import AnswerError, EmptyAnswerError, TransportError, UnparseableError
from neurogloss.ids import derive_seed
from neurogloss.prompts.render import Prompt, render, template_hash
from neurogloss.protocols import ChatModel, Material
from neurogloss.records import EvidenceHalf, Example, Passage

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"explanation": {"type": "string"}},
    "required": ["explanation"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class ShownExample:
    """An example as the prompt shows it."""

    passage: Passage
    """The context, its active tokens marked."""
    strengths: tuple[tuple[str, int], ...]
    """Text and strength, 1 to 10, of the marked tokens, in order."""


class LLMExplainer:
    """Explainer over a chat model."""

    def __init__(
        self,
        chat: ChatModel,
        n: int = 3,
        temperature: float = 0.7,
        examples: int = 20,
        prompt: str = "explain/default",
        max_tokens: int = 160,
    ) -> None:
        """
        Args:
            chat: the model asked.
            n: explanations asked for, at least 1.
            temperature: of all but the first, which is asked for at 0.
            examples: shown at most.
            prompt: name of a prompt of the package, or the path of a user's own, which uses `examples`
                (ShownExample) and `promoted`.
            max_tokens: of one answer; a longer one is a failure, never cut.
        """
        if n < 1 or examples < 1:
            raise ValueError(f"n and examples are at least 1, found {n}, {examples}")
        self._chat = chat
        self._n = n
        self._temperature = temperature
        self._examples = examples
        self._prompt = prompt
        self._max_tokens = max_tokens

    @property
    def name(self) -> str:
        return f"llm:{self._chat.name}"

    @property
    def settings(self) -> Mapping[str, Any]:
        return {
            "model": self._chat.name,
            "prompt": template_hash(self._prompt),
            "n": self._n,
            "temperature": self._temperature,
            "examples": self._examples,
            "max_tokens": self._max_tokens,
        }

    async def candidates(self, material: Material) -> list[str]:
        """Different explanations, the one asked for at temperature 0 first where it came.

        Raises:
            TransportError: the model could not be reached for one of them.
            AnswerError: none came; the first failure.
        """
        shown = show(choose(material.half, self._examples))
        prompt = render(self._prompt, examples=shown, promoted=list(material.promoted))
        try:
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(self._ask(prompt, material, i)) for i in range(self._n)]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        outcomes = [task.result() for task in asked]
        texts = [outcome for outcome in outcomes if isinstance(outcome, str)]
        if not texts:
            raise next(outcome for outcome in outcomes if isinstance(outcome, AnswerError))
        return list(dict.fromkeys(texts))

    async def _ask(self, prompt: Prompt, material: Material, i: int) -> str | AnswerError:
        """Explanation `i`, or why there is none."""
        try:
            reply = await self._chat.chat(
                prompt.messages,
                schema=SCHEMA,
                temperature=self._temperature if i else 0.0,
                max_tokens=self._max_tokens,
                seed=derive_seed(material.seed, "candidate", i),
            )
            return parse(reply.text)
        except TransportError:
            raise
        except AnswerError as error:
            return error


def parse(text: str) -> str:
    """The explanation in an answer, white space put in order. Raises AnswerError where there is none."""
    try:
        explanation = json.loads(text)["explanation"]
    except (ValueError, TypeError, KeyError):
        explanation = None
    if not isinstance(explanation, str):
        raise UnparseableError(f'expected {{"explanation": "..."}}, found {text[:200]!r}')
    explanation = " ".join(explanation.split())
    if not explanation:
        raise EmptyAnswerError("the explanation is blank")
    return explanation


def choose(half: EvidenceHalf, n: int) -> list[Example]:
    """At most `n` examples by descending peak: half the strongest, half spread over the uniform sample.

    Where the uniform sample is too small for its half, more of the strongest stand in.
    """
    chosen = {example.context.id: example for example in half.top[: max(1, n // 2)]}
    others = [example for example in half.uniform if example.context.id not in chosen]
    room = n - len(chosen)
    spread = others if len(others) <= room else [others[i * len(others) // room] for i in range(room)]
    for example in [*spread, *half.top]:
        if len(chosen) < n:
            chosen.setdefault(example.context.id, example)
    return sorted(chosen.values(), key=lambda example: -example.peak)


def show(examples: Sequence[Example]) -> list[ShownExample]:
    """The examples with marks and strengths, the latter relative to the largest activation among them."""
    largest = max((example.peak for example in examples), default=0.0)
    return [_show(example, largest) for example in examples if example.peak > 0]


def _show(example: Example, largest: float) -> ShownExample:
    tokens, marks = example.context.tokens, example.active_positions()
    strengths = tuple((tokens[i], math.ceil(10 * example.activations[i] / largest)) for i in marks)
    return ShownExample(Passage(tokens, marks), strengths)
