"""refine: the explainer sees what its best explanation got wrong, and writes another.

1. The judge answers for the leading candidate on the practice slice.
2. Mistakes are the active passages that it finds least fitting and the silent ones that it finds most fitting,
   of those on the wrong side of 0.5.
3. The explainer is shown examples, explanation and mistakes, images as pictures or as captions. What it writes has
   to win on the validation slice, which holds none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from neurogloss.agent.explainers.llm import SCHEMA, parse
from neurogloss.agent.explainers.show import are_stimuli, choose, in_words, show
from neurogloss.agent.state import ExplainState, Found, Setback
from neurogloss.errors import AnswerError, TransportError
from neurogloss.ids import derive_seed
from neurogloss.llm import ChatModel, Request
from neurogloss.prompts.pictures import showing
from neurogloss.prompts.render import Prompt, render, template_hash
from neurogloss.protocols import HeldOut, Judge, Material
from neurogloss.records import Candidate, Passage, Side
from neurogloss.scorers.detection import Detection

PROMPT, STIMULI = "refine/mistakes", "refine/mistakes-pictures"
"""The second one where contexts are images or whole stimuli."""
EXAMPLES = 12
"""Shown beside the mistakes."""
MAX_TOKENS = 160


@dataclass(frozen=True, slots=True)
class Mistakes:
    """What an explanation got wrong, the worst first."""

    missed: tuple[Passage, ...]
    """Active, with marks."""
    wrong: tuple[Passage, ...]
    """Silent."""


@dataclass(frozen=True)
class Refine:
    """One round of refinement."""

    chat: ChatModel
    judge: Judge
    n: int = 5
    """Mistakes of each kind shown at most."""

    @property
    def settings(self) -> dict[str, object]:
        """JSON of what decides its answers."""
        return {
            "prompt": template_hash(PROMPT),
            "stimuli": template_hash(STIMULI),
            "examples": EXAMPLES,
            "mistakes": self.n,
        }

    async def __call__(self, state: ExplainState) -> Found:
        best, rounds = state["ranking"][0].candidate, state["rounds"] + 1
        try:
            mistakes = await self._mistakes(best.text, state)
            if not mistakes.missed and not mistakes.wrong:
                return {"candidates": [], "rounds": rounds, "stopped": "no mistakes left to learn from"}
            candidates = [await self._mend(best, mistakes, state)]
        except TransportError as error:
            return {"setback": Setback(error.failure, str(error))}
        except AnswerError as error:
            return {"candidates": [], "rounds": rounds, "stopped": f"refining gave nothing: {error}"}
        return {
            "candidates": candidates,
            "origin": "refine",
            "rounds": rounds,
            "facts": {
                "missed": [passage.marked() or passage.picture for passage in mistakes.missed],
                "wrong": [passage.text or passage.picture for passage in mistakes.wrong],
                "candidate": candidates[0].text,
            },
        }

    async def _mistakes(self, text: str, state: ExplainState) -> Mistakes:
        practice = state["practice"]
        questions = Detection().questions(HeldOut(state["unit"], practice, (), state["material"].seed))
        answers = await self.judge.ask("detection", text, questions)
        active = {example.context.content: example for example in practice.uniform}
        found: dict[bool, list[tuple[float, Passage]]] = {True: [], False: []}
        for question, answer in zip(questions, answers, strict=True):
            (passage,) = question.passages
            if answer.probability is not None and (answer.probability > 0.5) is not question.truth:
                found[question.truth].append((abs(answer.probability - 0.5), passage))
        missed, wrong = (_worst(found[truth], self.n) for truth in (True, False))
        marks = [active[p.content].active_positions() for p in missed]
        return Mistakes(tuple(replace(p, marks=m) for p, m in zip(missed, marks, strict=True)), tuple(wrong))

    async def _mend(self, best: Candidate, mistakes: Mistakes, state: ExplainState) -> Candidate:
        material = state["material"]
        prompt = self._prompt(best, mistakes, material)
        seed = derive_seed(material.seed, "refine", state["rounds"])
        reply = await self.chat.chat(Request(prompt.messages, SCHEMA, max_tokens=MAX_TOKENS, seed=seed))
        return parse(reply.text, Side.INPUT if best.side is Side.UNCLEAR else best.side)

    def _prompt(self, best: Candidate, mistakes: Mistakes, material: Material) -> Prompt:
        sees = self.chat.features.pictures
        half = (material if sees else in_words(material)).half
        examples = show(choose(half, EXAMPLES))
        missed, wrong = (
            found if sees else [replace(p, picture="", marks=(), grid=None) if p.picture else p for p in found]
            for found in (mistakes.missed, mistakes.wrong)
        )
        values = {"examples": examples, "explanation": best.text, "missed": list(missed), "wrong": list(wrong)}
        if not are_stimuli(half):
            return render(PROMPT, promoted=list(material.promoted), **values)
        return showing(render(STIMULI, **values), [*(each.passage for each in examples), *missed, *wrong])


def _worst(found: Sequence[tuple[float, Passage]], n: int) -> list[Passage]:
    return [passage for _, passage in sorted(found, key=lambda item: -item[0])[:n]]
