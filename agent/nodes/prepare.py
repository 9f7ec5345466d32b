"""prepare: what the scorers make their questions of; where one asks for it, the subject is steered, once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from neurogloss.agent.state import ScoreState
from neurogloss.ids import derive_seed
from neurogloss.protocols import HeldOut, LiveSubject, Scorer
from neurogloss.records import Context

LONG_ENOUGH = 20
"""Tokens of a context that can be a prompt."""


class Prepare:
    """Steers on silent contexts of the score half; the strength is set on those of the explain half.

    A unit without such contexts is not steered; its interventions then have no questions.
    """

    def __init__(
        self, scorers: Sequence[Scorer], subject: Callable[[], LiveSubject], n_prompts: int, seed: int
    ) -> None:
        self._steers = any(scorer.needs_subject for scorer in scorers)
        self._subject, self._n_prompts, self._seed = subject, n_prompts, seed

    async def __call__(self, state: ScoreState) -> ScoreState:
        unit, half = state["explanation"].unit, state["half"]
        seed = derive_seed(self._seed, str(unit))
        prompts = prompt_texts(half.negatives, self._n_prompts)
        if not (self._steers and prompts and state["tuning_prompts"]):
            return {"held_out": HeldOut(unit, half, (), seed), "effect": {}}
        steering = self._subject().steer(unit, prompts, state["tuning_prompts"], seed)
        effect = {"kl": steering.kl, "strength": steering.strength}
        return {"held_out": HeldOut(unit, half, steering.texts, seed), "effect": effect}


def prompt_texts(contexts: Sequence[Context], n: int) -> tuple[str, ...]:
    """The first n texts that are long enough to be prompts."""
    return tuple(context.text for context in contexts if len(context.tokens) >= LONG_ENOUGH)[:n]
