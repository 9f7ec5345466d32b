"""Which optional parameters of a chat completion a server takes, learnt from what it refuses.

1. Look for the parameters that a refusal names. Send `max_tokens` as `max_completion_tokens`, ask for fewer
   `top_logprobs`, leave out the others.
2. Keep the change only if the request then works.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from neurogloss.engines.sdk import refused
from neurogloss.errors import RefusalError

_log = logging.getLogger(__name__)

Body = Mapping[str, Any]
Post = Callable[[Body], Awaitable[Any]]
OPTIONAL = ("max_tokens", "max_completion_tokens", "temperature", "seed", "structured_outputs", "top_logprobs")
FEW = 5
"""Alternatives to a token that servers give if they do not give 20."""


class Dialect:
    """The parameters that a server refuses."""

    def __init__(self) -> None:
        self._refused: frozenset[str] = frozenset()

    @property
    def said(self) -> tuple[str, ...]:
        """What is sent instead, in words."""
        others = [f"{name} is left out" for name in OPTIONAL[1:-1] if name in self._refused]
        renamed = {"max_tokens", "max_completion_tokens"} & self._refused == {"max_tokens"}
        first = ["max_tokens is sent as max_completion_tokens"] if renamed else []
        last = [f"top_logprobs is {FEW}"] if "top_logprobs" in self._refused else []
        return (*first, *others, *last)

    async def ask(self, post: Post, body: Body, unnamed: Collection[str] = ()) -> Any:
        """The answer to a request, which is changed until the server takes it.

        Args:
            unnamed: what to leave out as well if a refusal names no parameter.

        Raises:
            RefusalError: the first one, if no change helps.
        """
        known, first = self._refused, None
        while True:
            sent = _without(known, body)
            try:
                answer = await post(sent)
            except RefusalError as error:
                first = first or error
                more = (_named(error, sent) or set(unnamed)) - known
                if not more or not refused(error):
                    raise first from first.__cause__
                known |= more
            else:
                self._refused |= known
                return answer

    async def learn(self, post: Post, body: Body) -> Any:
        """The answer to a small request; then puts back each parameter that was left out without need.

        Raises:
            RefusalError: as `ask`.
        """
        answer = await self.ask(post, body, OPTIONAL)
        for name in sorted(self._refused, key=OPTIONAL.index):
            fewer = self._refused - {name}
            try:
                if name in body or name == "max_completion_tokens":
                    await post(_without(fewer, body))
            except RefusalError:
                continue
            self._refused = fewer
        for said in self.said:
            _log.warning("The server refuses a parameter: %s", said)
        return answer


def _without(known: frozenset[str], body: Body) -> Body:
    """The request as a server takes it that refuses these parameters."""
    if not known:
        return body
    sent = {name: value for name, value in body.items() if name not in known}
    if "max_tokens" in known & body.keys() and "max_completion_tokens" not in known:
        sent["max_completion_tokens"] = body["max_tokens"]
    if "top_logprobs" in known & body.keys():
        sent["top_logprobs"] = FEW
    return sent


def _named(error: RefusalError, sent: Body) -> set[str]:
    """The optional parameters of a request that its refusal names."""
    answer = refused(error)
    text = f"{answer.param} {answer.response.text[:10_000]}" if answer else ""
    return {name for name in OPTIONAL if name in sent and re.search(rf"\b{name}\b", text)}
