"""What a model would have said at places of a prompt, read from the log probabilities of the prompt's own tokens.

1. The places are those right after a mark, one character that a tokenizer ends a token with (a tab, say).
2. The server echoes the prompt with the likeliest alternatives to each of its tokens.
3. At each place the probabilities of a choice's spellings are added up. What is not among the alternatives is 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neurogloss.engines.replies import first_choice, probability, strict
from neurogloss.errors import UnparseableError
from neurogloss.foreign import shown

ALTERNATIVES = 20
"""To each token; vLLM gives no more unless told to (`--max-logprobs`)."""


@dataclass(frozen=True, slots=True)
class Blanks:
    """How likely each choice was at each place of a prompt, and what it cost to say so."""

    probabilities: tuple[tuple[float, ...], ...]
    """A row a place, a column a choice; they sum to 1 at most."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    stored: bool = False


def places(tokens: Sequence[str], mark: str) -> list[int]:
    """The tokens that stand right after a mark.

    Raises:
        UnparseableError: a token goes on after a mark: what would stand there cannot be told.
    """
    found = [i for i, before in enumerate(tokens[:-1], 1) if before.endswith(mark)]
    if len(found) != sum(token.count(mark) for token in tokens):
        raise UnparseableError(
            f"expected tokens that end with {mark!r} where they hold it; some go on, or end the text"
        )
    return found


@strict
def fills(body: Any, mark: str, choices: Sequence[str]) -> tuple[tuple[float, ...], ...]:
    """The rows of `Blanks`, from a completion that echoes one prompt with alternatives.

    Raises:
        UnparseableError: there are no alternatives in it, or as `places`.
    """
    try:
        logprobs = first_choice(body)["logprobs"]
        tokens, alternatives = logprobs["tokens"], logprobs["top_logprobs"]
        good = len(tokens) == len(alternatives) > 0
    except (KeyError, TypeError):
        good = False
    if not good:
        raise UnparseableError(f"expected alternatives to the tokens of a prompt, found {shown(body)}")
    return tuple(_row(alternatives[i] or {}, choices) for i in places(tokens, mark))


def _row(alternatives: Mapping[str, float], choices: Sequence[str]) -> tuple[float, ...]:
    return tuple(
        math.fsum(probability(logprob) for token, logprob in alternatives.items() if token.strip() == choice)
        for choice in choices
    )
