"""An explainer that asks a chat model.

1. Write what its view shows of the explain half into the view's template. A model that sees is shown images, one
   that does not reads their captions.
2. Ask for several explanations: one at temperature 0, the others sampled, each with a seed of its own. The
   prompt is the same for all, and what it shares with those of other units comes first.
3. Read each answer strictly. That there is no pattern is an answer, too: its side is unclear.
4. Drop repetitions; keep the order, what is unclear last.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from neurogloss.agent.explainers.show import in_words
from neurogloss.agent.explainers.views import DEFAULT, View
from neurogloss.errors import AnswerError, EmptyAnswerError, TransportError, UnparseableError
from neurogloss.foreign import read_json
from neurogloss.ids import derive_seed
from neurogloss.llm import ChatModel, Request
from neurogloss.prompts.render import Prompt, template_hash
from neurogloss.protocols import Material
from neurogloss.records import Candidate, Side
from neurogloss.tasks import together

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"explanation": {"type": "string"}},
    "required": ["explanation"],
    "additionalProperties": False,
}
SIDED_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"explanation": {"type": "string"}, "type": {"type": "string", "enum": list(Side)}},
    "required": ["explanation", "type"],
    "additionalProperties": False,
}
"""Where the model says what it explains."""
MOST_LETTERS = 4_000
"""Characters of an explanation."""
NO_PATTERN = "no pattern"
"""What the templates ask for, and what the explanation reads, where nothing was found."""
_NO_PATTERN = re.compile(r"(there is )?no (\w+ )?pattern( \w+)?\W*", re.IGNORECASE)


class LLMExplainer:
    """Explainer over a chat model."""

    def __init__(
        self,
        chat: ChatModel,
        view: View = DEFAULT,
        n: int = 3,
        temperature: float = 0.7,
        max_tokens: int = 160,
    ) -> None:
        """
        Args:
            chat: the model asked.
            view: what it is shown.
            n: explanations asked for, at least 1.
            temperature: of all but the first, which is asked for at 0.
            max_tokens: of one answer; a longer one is a failure, never cut.
        """
        if n < 1 or view.examples < 1:
            raise ValueError(f"n and examples are at least 1, found {n}, {view.examples}")
        self._chat = chat
        self._view = view
        self._n = n
        self._temperature = temperature
        self._max_tokens = max_tokens

    @property
    def name(self) -> str:
        return f"{self._view.name}:{self._chat.name}"

    @property
    def settings(self) -> Mapping[str, Any]:
        return {
            "explainer": self._view.name,
            "model": self._chat.name,
            "prompt": template_hash(self._view.prompt),
            "stimuli": template_hash(self._view.stimuli.prompt) if self._view.stimuli else None,
            "pictures": self._chat.features.pictures,
            "n": self._n,
            "temperature": self._temperature,
            "examples": self._view.examples,
            "live": self._view.live,
            "max_tokens": self._max_tokens,
        }

    async def candidates(self, material: Material) -> list[Candidate]:
        """Different explanations, the one asked for at temperature 0 first where it came.

        Raises:
            TransportError: the model could not be reached for one of them.
            AnswerError: none came; the first failure. Or there is nothing to show.
        """
        shown = material if self._chat.features.pictures else in_words(material)
        view = self._view.of(shown)
        prompt = view.write(shown)
        outcomes = await together(self._ask(prompt, view.side, material.seed, i) for i in range(self._n))
        found: dict[str, Candidate] = {}
        for outcome in outcomes:
            if isinstance(outcome, Candidate):
                found.setdefault(outcome.text, outcome)
        if not found:
            raise next(outcome for outcome in outcomes if isinstance(outcome, AnswerError))
        return sorted(found.values(), key=lambda candidate: candidate.side is Side.UNCLEAR)

    async def _ask(self, prompt: Prompt, side: Side | None, seed: int, i: int) -> Candidate | AnswerError:
        """Explanation `i`, or why there is none."""
        request = Request(
            prompt.messages,
            schema=SCHEMA if side else SIDED_SCHEMA,
            temperature=self._temperature if i else 0.0,
            max_tokens=self._max_tokens,
            seed=derive_seed(seed, "candidate", i),
        )
        try:
            return parse((await self._chat.chat(request)).text, side)
        except TransportError:
            raise
        except AnswerError as error:
            return error


def parse(text: str, side: Side | None = Side.INPUT) -> Candidate:
    """The explanation in an answer in the form of SCHEMA, white space put in order.

    Args:
        side: what was asked about; None: the answer says (SIDED_SCHEMA).

    Raises:
        AnswerError: the answer has another form, or is blank.
    """
    try:
        answer = read_json(text)
        explanation, said = answer["explanation"], side or Side(answer["type"])
    except (ValueError, TypeError, KeyError):
        explanation = None
    if not isinstance(explanation, str):
        form = '{"explanation": "..."}' if side else f'{{"explanation": "...", "type": "{"|".join(Side)}"}}'
        raise UnparseableError(f"expected {form}, found {text[:200]!r}")
    explanation = " ".join(explanation.split())
    if said is Side.UNCLEAR or _NO_PATTERN.fullmatch(explanation):
        return Candidate(NO_PATTERN, Side.UNCLEAR)
    if not explanation:
        raise EmptyAnswerError("the explanation is blank")
    if len(explanation) > MOST_LETTERS:
        raise UnparseableError(
            f"expected at most {MOST_LETTERS:,} characters, found {len(explanation):,}: {explanation[:100]!r}"
        )
    return Candidate(explanation, said)
