"""prepare: what the scorers measure on; where one asks for it, the subject is steered, once a unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Protocol

from neurogloss.agent.state import ScoreState
from neurogloss.ids import UnitId, derive_seed
from neurogloss.interventions import Steering
from neurogloss.protocols import HeldOut, Scorer
from neurogloss.records import Context
from neurogloss.scorers.answering import needs

LONG_ENOUGH = 20
"""Tokens of a context that can be a prompt."""


class Steered(Protocol):
    """A live subject that says something of texts or images, with a unit raised or without."""

    def steer(
        self, unit: UnitId, prompts: Sequence[str], tuning_prompts: Sequence[str], seed: int
    ) -> Steering: ...


class Prepare:
    """Steers on silent contexts of the score half; the strength is set on those of the explain half.

    A unit without such contexts is not steered; its interventions then have no questions.
    """

    def __init__(
        self,
        scorers: Sequence[Scorer],
        subject: Callable[[], Steered],
        n_prompts: int,
        seed: int,
        rivals: Callable[[UnitId], Sequence[UnitId]] | None = None,
    ) -> None:
        """`rivals`: other units of the same dictionary, for scorers that compare a unit with them."""
        needed = frozenset[str]().union(*map(needs, scorers))
        self._steers = bool(needed & {"steered", "rivals"})
        self._rivals = rivals if "rivals" in needed else None
        self._subject, self._n_prompts, self._seed = subject, n_prompts, seed

    async def __call__(self, state: ScoreState) -> ScoreState:
        unit, half = state["explanation"].unit, state["half"]
        seed = derive_seed(self._seed, str(unit))
        prompts = prompt_texts(half.negatives, self._n_prompts)
        if not (self._steers and prompts and state["tuning_prompts"]):
            return {"held_out": HeldOut(unit, half, (), seed), "effect": {}}
        tuning = state["tuning_prompts"]
        subject = self._subject()
        steering = subject.steer(unit, prompts, tuning, seed)
        others = self._rivals(unit) if self._rivals else ()
        rivals = tuple(subject.steer(other, prompts, tuning, seed).texts for other in others)
        effect = {"kl": steering.kl, "strength": steering.strength}
        return {"held_out": HeldOut(unit, half, steering.texts, seed, rivals), "effect": effect}


def prompt_texts(contexts: Sequence[Context], n: int) -> tuple[str, ...]:
    """The first n texts that are long enough to be prompts; of images their paths."""
    fit = (context for context in contexts if context.picture or len(context.tokens) >= LONG_ENOUGH)
    return tuple(context.content for context in islice(fit, n))
