"""experiment: the explainer tests its best explanation on the live subject, by a fixed menu of tools.

1. The model sees examples, the leading explanation and the menu, and asks for one experiment or several.
2. What they find goes back to it, until it gives an explanation or has used up its experiments; then it is asked
   for one.
3. A server that takes tool calls gets the menu as tools. Any other gets it through structured answers, one
   experiment at a time.
   On images the experiments are parts of the real ones: cut out, painted over, put into others.
4. What the model ends with has to win on the validation slice like any other candidate.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neurogloss.agent.experiments import Laboratory, Menu
from neurogloss.agent.explainers.llm import SCHEMA, parse
from neurogloss.agent.explainers.show import are_stimuli, captioned, captions, choose, choose_silent, show
from neurogloss.agent.state import ExplainState, Found, Setback
from neurogloss.errors import AnswerError, TransportError, UnparseableError
from neurogloss.foreign import read_json
from neurogloss.ids import derive_seed
from neurogloss.llm import ChatModel, Message, Reply, Request, ToolCall
from neurogloss.prompts.pictures import has_words, showing
from neurogloss.prompts.quote import quote
from neurogloss.prompts.render import Prompt, render, template_hash
from neurogloss.protocols import Material
from neurogloss.records import Candidate, Passage

PROMPT, STIMULI = "refine/experiment", "refine/experiment-pictures"
"""The second one where contexts are images or whole stimuli."""
EXAMPLES = 12
SILENT = 6
"""Images shown that do not activate the unit."""
MAX_TOKENS = 400


@dataclass(frozen=True)
class Experiment:
    """One series of experiments."""

    chat: ChatModel
    laboratory: Laboratory
    steps: int = 6
    """Experiments at most."""

    @property
    def settings(self) -> dict[str, object]:
        """JSON of what decides its answers."""
        generator = self.laboratory.generator
        return {
            "prompt": template_hash(PROMPT),
            "stimuli": template_hash(STIMULI),
            "examples": EXAMPLES,
            "steps": self.steps,
            **({"generator": generator.name} if generator else {}),
        }

    async def __call__(self, state: ExplainState) -> Found:
        best, rounds = state["ranking"][0].candidate, state["rounds"] + 1
        series = _Series(self.chat, self.laboratory, state["material"])
        try:
            candidate = await series.run(best.text, self.steps)
        except TransportError as error:
            return {"setback": Setback(error.failure, str(error))}
        except AnswerError as error:
            return {
                "candidates": [],
                "rounds": rounds,
                "facts": {"experiments": series.made, "gave": f"nothing: {error}"},
            }
        return {
            "candidates": [candidate],
            "origin": "experiment",
            "rounds": rounds,
            "facts": {"experiments": series.made, "candidate": candidate.text},
        }


class _Series:
    """One conversation, and the experiments made in it."""

    def __init__(self, chat: ChatModel, laboratory: Laboratory, material: Material) -> None:
        half, self._sees, self._called = material.half, chat.features.pictures, chat.features.tools
        self._chat, self._material = chat, material
        self._active = [e for e in choose(half, EXAMPLES) if self._sees or has_words(e.context)]
        self._silent = [c for c in choose_silent(half, SILENT) if self._sees or has_words(c)]
        contexts = (*(example.context for example in self._active), *self._silent)
        self._menu = Menu(laboratory, material, [context.picture for context in contexts])
        self.made: list[Mapping[str, Any]] = []

    async def run(self, explanation: str, steps: int) -> Candidate:
        """What it ends with. Raises AnswerError where there is none."""
        messages = list(self._prompt(explanation, steps).messages)
        while len(self.made) < steps:
            reply = await self._ask(messages)
            calls = reply.calls if self._called else _call_in(reply.text)
            if not calls:
                return parse(reply.text)
            messages.append(Message("assistant", reply.text, reply.calls))
            room = steps - len(self.made)
            messages += [self._use(call) for call in calls[:room]]
            messages += [Message("tool", "no experiments are left", answers=call.id) for call in calls[room:]]
        messages.append(Message("user", 'No experiments are left. Answer with JSON only: {"explanation": "..."}'))
        return parse((await self._ask(messages, last=True)).text)

    def _prompt(self, explanation: str, steps: int) -> Prompt:
        examples = show(self._active if self._sees else captioned(self._active))
        values = {
            "examples": examples,
            "explanation": explanation,
            "steps": steps,
            "tools": list(self._menu.tools),
            "called": self._called,
        }
        if not are_stimuli(self._material.half):
            return render(PROMPT, **values)
        silent = [Passage.of(c) for c in (self._silent if self._sees else captions(self._silent))]
        return showing(render(STIMULI, silent=silent, **values), [*(e.passage for e in examples), *silent])

    async def _ask(self, messages: Sequence[Message], last: bool = False) -> Reply:
        tools = self._menu.tools if self._called and not last else ()
        schema = SCHEMA if last else None if self._called else _schema([tool.name for tool in self._menu.tools])
        seed = derive_seed(self._material.seed, "experiment", len(self.made))
        return await self._chat.chat(Request(tuple(messages), schema, tools, max_tokens=MAX_TOKENS, seed=seed))

    def _use(self, call: ToolCall) -> Message:
        found = self._menu.use(call)
        self.made.append({"experiment": call.name, "arguments": dict(call.arguments), "found": json.loads(found)})
        if self._called:
            return Message("tool", found, answers=call.id)
        # One string on one line: nothing in it can pass for the prompt.
        return Message("user", f"Found: {quote(found)}")


def _schema(names: Sequence[str]) -> Mapping[str, Any]:
    experiment = {
        "type": "object",
        "properties": {"experiment": {"type": "string", "enum": list(names)}, "arguments": {"type": "object"}},
        "required": ["experiment", "arguments"],
        "additionalProperties": False,
    }
    return {"anyOf": [experiment, dict(SCHEMA)]}


def _call_in(text: str) -> tuple[ToolCall, ...]:
    """The experiment that a structured answer asks for; none where it is an explanation."""
    try:
        answer = read_json(text)
    except ValueError:
        raise UnparseableError(f"expected one JSON object, found {text[:200]!r}") from None
    if not isinstance(answer, dict) or "experiment" not in answer:
        return ()
    arguments = answer.get("arguments")
    return (ToolCall(str(answer["experiment"]), arguments if isinstance(arguments, dict) else {}),)
