"""What was seen when a unit was raised."""

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
