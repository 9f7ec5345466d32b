"""What was seen when a unit was raised, or taken out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SteeredText:
    """One prompt, continued by the subject as it is and with the unit raised."""

    prompt: str
    """Empty of images."""
    clean: str
    steered: str


@dataclass(frozen=True, slots=True)
class Steering:
    """What raising a unit does, at a strength set by the KL divergence it causes."""

    strength: float
    """Added along the unit's decoder direction, in units of activation."""
    kl: float
    """Mean KL(clean || steered) of the next token on the tuning prompts, in nats."""
    texts: tuple[SteeredText, ...]


@dataclass(frozen=True, slots=True)
class Ablation:
    """What taking a unit out does."""

    kl: float
    """Mean KL(clean || ablated) of the next token over the prompts and their positions, in nats."""
    texts: tuple[SteeredText, ...]
    """`steered` is the continuation without the unit."""
