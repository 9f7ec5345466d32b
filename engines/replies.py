"""What a server's answers say, read strictly from their JSON.

`refusal`, content filter               RefusalError
no text, or reasoning alone             EmptyAnswerError
cut off, or prose, where a form was asked for UnparseableError
no completion at all                    TransportError
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from neurogloss.accounts import Usage
from neurogloss.errors import EmptyAnswerError, RefusalError, TransportError, UnparseableError, first_line
from neurogloss.foreign import read_json
from neurogloss.llm import Likelihood, ToolCall

LEAST = 0.05
"""Probability that a model has to give to the choices together for its answer to count as one of them."""
P = ParamSpec("P")
R = TypeVar("R")
Echo = tuple[list[str], list[float | None]]
"""Tokens of a prompt, and the log probability of each after those before it."""
_FENCED = re.compile(r"```(?:json|JSON)?[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)


def strict(read: Callable[P, R]) -> Callable[P, R]:
    """What an answer of another shape makes its reader run into is an UnparseableError."""

    @wraps(read)
    def reader(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return read(*args, **kwargs)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            found = f"{type(error).__name__}: {first_line(error)}, in {str(args[0])[:200]!r}"
            raise UnparseableError(f"expected an answer as OpenAI's protocol has it, found {found}") from error

    return reader


def usage(body: Mapping[str, Any]) -> Usage:
    """Tokens of one completion, as far as the server counts them; the request itself is not counted here."""
    counts = _object(body, "usage")
    return Usage(
        prompt_tokens=_count(counts, "prompt_tokens"),
        cached_tokens=_count(_object(counts, "prompt_tokens_details"), "cached_tokens"),
        completion_tokens=_count(counts, "completion_tokens"),
    )


def _object(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = body.get(name)
    return found if isinstance(found, dict) else {}


def _count(body: Mapping[str, Any], name: str) -> int:
    found = body.get(name)
    return max(found, 0) if isinstance(found, int) else 0


def completion(body: Any) -> tuple[Mapping[str, Any], str | None]:
    """The message of a chat completion, and why it ended. Raises TransportError where `body` is none."""
    try:
        choice = body["choices"][0]
        message, finish = choice["message"], choice.get("finish_reason")
    except (KeyError, IndexError, TypeError, AttributeError):
        message, finish = None, None
    if not isinstance(message, dict):
        raise TransportError(f"expected a chat completion with a choice, found {str(body)[:200]!r}")
    if message.get("refusal") or finish == "content_filter":
        said = message.get("refusal") or message.get("content") or "stopped by a content filter"
        raise RefusalError(f"the model declined: {said}")
    return message, finish


@strict
def answer(message: Mapping[str, Any]) -> str:
    """The text of a message, without the reasoning before it; empty where there is none."""
    text = message.get("content") or ""
    before, end, after = text.partition("</think>")
    if end and not before.lstrip().startswith(("{", "[", '"')):
        return str(after.strip())
    return "" if text.lstrip().startswith("<think>") else text if text.strip() else ""


@strict
def reasoned(message: Mapping[str, Any]) -> bool:
    """Whether a message without an answer holds the reasoning for one."""
    return any((message.get(name) or "").strip() for name in ("reasoning", "reasoning_content", "content"))


def empty(message: Mapping[str, Any], finish: str | None) -> EmptyAnswerError:
    found = "nothing"
    if reasoned(message):
        found = "reasoning alone; turn the model's reasoning off, or serve it with a longer context"
    return EmptyAnswerError(f"expected text, found {found} (finish_reason {finish})")


@strict
def calls(message: Mapping[str, Any]) -> tuple[ToolCall, ...]:
    """The tool calls of a message. Raises UnparseableError where the arguments of one are no JSON object."""
    found = []
    for call in message.get("tool_calls") or ():
        try:
            name, arguments = call["function"]["name"], read_json(call["function"]["arguments"] or "{}")
        except (KeyError, TypeError, ValueError):
            name, arguments = "", None
        if not name or not isinstance(arguments, dict):
            raise UnparseableError(f"expected a tool call with a JSON object, found {str(call)[:200]!r}")
        found.append(ToolCall(str(name), arguments, str(call.get("id") or "")))
    return tuple(found)


def json_in(text: str) -> str:
    """The JSON that an answer consists of, or holds in its only code fence. Raises UnparseableError."""
    fenced = _FENCED.findall(text)
    for candidate in (text, *(fenced if len(fenced) == 1 else ())):
        try:
            read_json(candidate)
        except ValueError:
            continue
        return str(candidate).strip()
    raise UnparseableError(f"expected JSON and nothing else, found {text[:200]!r}")


@strict
def probabilities(body: Any, choices: Sequence[str]) -> dict[str, float]:
    """Probability of each choice, from the log probabilities of an answer's first tokens.

    A choice may be written in several ways (`yes`; `y` and `es`; ` Yes`): the alternatives to each token of the
    answer are added up as soon as one choice alone begins like that. Those that several choices begin like are
    followed along the answer itself.

    Raises:
        UnparseableError: there are none, or the model has less than `LEAST` for the choices together.
    """
    try:
        positions = [
            (entry["token"], [(each["token"], each["logprob"]) for each in entry["top_logprobs"]])
            for entry in body["choices"][0]["logprobs"]["content"]
        ]
    except (KeyError, IndexError, TypeError):
        raise UnparseableError(f"expected log probabilities, found {str(body)[:200]!r}") from None
    folded = {choice.strip().casefold(): choice for choice in choices}
    if len(folded) < len(choices):
        raise AssertionError(f"choices must differ in more than case and space, found {list(choices)}")
    mass: dict[str, float] = defaultdict(float)
    written, share = "", 1.0
    for token, alternatives in positions:
        followed = 0.0
        for text, logprob in alternatives:
            begun = (written + text).lstrip().casefold()
            fits = [choice for choice in folded if choice.startswith(begun)]
            if not fits and written in folded:  # the answer was complete, and another could have gone on
                fits = [written]
            if len(fits) == 1:
                mass[fits[0]] += share * math.exp(logprob)
            elif text == token and fits:
                followed = share * math.exp(logprob)
        written, share = (written + token).lstrip().casefold(), followed
        if not share:
            break
    total = sum(mass.values())
    if total < LEAST:
        said = "".join(token for token, _ in positions)
        raise UnparseableError(f"expected one of {', '.join(choices)}, found {said[:200]!r}")
    return {choice: mass[key] / total for key, choice in folded.items()}


def echoed(body: Any, n: int) -> list[Echo]:
    """The tokens of each of `n` prompts. Raises UnparseableError where there are none."""
    try:
        rows = sorted(body["choices"], key=lambda choice: choice["index"])
        read = [(row["logprobs"]["tokens"], row["logprobs"]["token_logprobs"]) for row in rows]
        good = len(read) == n and all(len(tokens) == len(values) > 0 for tokens, values in read)
    except (KeyError, TypeError):
        good = False
    if not good:
        raise UnparseableError(f"expected the log probabilities of {n} prompts, found {str(body)[:200]!r}")
    return read


@strict
def likelihood(prefix: Echo, whole: Echo) -> Likelihood:
    """Of the tokens of the whole from the first that is not the prefix's own, given those before it.

    That one holds the prefix's end as well where a token spans both. A prompt's first token, which nothing
    precedes, has no log probability.
    """
    own = 0
    for one, other in zip(prefix[0], whole[0], strict=False):
        if one != other:
            break
        own += 1
    added = [value for value in whole[1][own:] if value is not None]
    return Likelihood(math.fsum(added), len(added))
