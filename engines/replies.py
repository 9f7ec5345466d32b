"""What a server's answers say, read strictly from their JSON.

`refusal`, content filter               RefusalError
no text, or reasoning alone             EmptyAnswerError
cut off, or prose, where a form was asked for UnparseableError
no completion at all, or broken off      TransportError
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import orjson

from neurogloss.accounts import Usage
from neurogloss.errors import EmptyAnswerError, RefusalError, TransportError, UnparseableError, first_line
from neurogloss.foreign import read_json, shown
from neurogloss.llm import Likelihood, ToolCall

LEAST = 0.05
"""Probability that a model has to give to the choices together for its answer to count as one of them."""
P = ParamSpec("P")
R = TypeVar("R")
MOST_CALLS, MOST_ARGUMENTS = 64, 1 << 16
"""Tool calls in an answer, and bytes of the arguments of one."""
MOST_TOKENS = 1 << 31
"""Counts from here on are no counts."""
ABOVE = 1e-3
"""Log probabilities above 0 by rounding."""
ALTERNATIVES = 20
"""To each token of a prompt; vLLM gives no more unless told to (`--max-logprobs`)."""
Echo = tuple[list[str], list[float | None]]
"""Tokens of a prompt, and the log probability of each after those before it."""
_FENCED = re.compile(r"```(?:json|JSON)?[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)


def strict(read: Callable[P, R]) -> Callable[P, R]:
    """Turns what an answer of another shape makes its reader run into to an UnparseableError."""

    @wraps(read)
    def reader(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return read(*args, **kwargs)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            found = f"{type(error).__name__}: {first_line(error)}, in {shown(args[0])}"
            raise UnparseableError(f"expected an answer as OpenAI's protocol has it, found {found}") from error

    return reader


def usage(*bodies: Mapping[str, Any]) -> Usage:
    """What one answer cost that took these completions, as far as the server counts their tokens."""
    spent = Usage(requests=1)
    for body in bodies:
        counts = _object(body, "usage")
        cached = _count(_object(counts, "prompt_tokens_details"), "cached_tokens")
        spent += Usage(0, 0, _count(counts, "prompt_tokens"), cached, _count(counts, "completion_tokens"))
    return spent


def _object(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = body.get(name)
    return found if isinstance(found, dict) else {}


def _count(body: Mapping[str, Any], name: str) -> int:
    found = body.get(name)
    return found if isinstance(found, int) and 0 < found < MOST_TOKENS else 0


def first_choice(body: Any) -> Mapping[str, Any]:
    """The choice with index 0, or else the first; empty if `body` has none."""
    choices = body.get("choices") if isinstance(body, dict) else None
    found = [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []
    return next((choice for choice in found if choice.get("index") == 0), found[0] if found else {})


def completion(body: Any) -> tuple[Mapping[str, Any], str | None]:
    """The message of a chat completion, and why it ended.

    Raises:
        TransportError: `body` is no chat completion, or the server broke it off.
        RefusalError: the model declined.
    """
    choice = first_choice(body)
    message, finish = choice.get("message"), choice.get("finish_reason")
    if not isinstance(message, dict) or finish == "error":
        said = (body.get("error") if isinstance(body, dict) else None) or body
        raise TransportError(f"expected a chat completion with a choice, found {shown(said)}")
    parts = message.get("content")
    told = [part.get("refusal") for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    said = message.get("refusal") or next(filter(None, told), None)
    if said or finish == "content_filter":
        said = said or answer(message) or "stopped by a content filter"
        raise RefusalError(f"the model declined: {said if isinstance(said, str) else shown(said)}"[:1_000])
    return message, finish if isinstance(finish, str) else None


@strict
def answer(message: Mapping[str, Any]) -> str:
    """The text of a message, without the reasoning before it; empty if there is none."""
    content = message.get("content") or ""
    if isinstance(content, list):  # parts, of which only those with a text are said aloud
        content = "".join(part["text"] for part in content if part.get("type") in ("text", "output_text"))
    text: str = content
    before, end, after = text.partition("</think>")
    if end and not before.lstrip().startswith(("{", "[", '"')):
        return after.strip()
    return "" if text.lstrip().startswith("<think>") else text if text.strip() else ""


def reasoned(message: Mapping[str, Any]) -> bool:
    """Whether a message without an answer has the reasoning for one."""
    found = [message.get(name) for name in ("reasoning", "reasoning_content", "content")]
    return any(each.strip() if isinstance(each, str) else each for each in found)


def empty(message: Mapping[str, Any], finish: str | None) -> EmptyAnswerError:
    found = "nothing"
    if reasoned(message):
        found = "reasoning alone; turn the model's reasoning off, or serve it with a longer context"
    return EmptyAnswerError(f"expected text, found {found} (finish_reason {finish})")


@strict
def calls(message: Mapping[str, Any]) -> tuple[ToolCall, ...]:
    """The tool calls of a message. Raises UnparseableError if the arguments of one are no JSON object."""
    older = message.get("function_call")
    asked = message.get("tool_calls") or ([{"function": older}] if older else [])
    if len(asked) > MOST_CALLS:
        raise ValueError(f"{len(asked)} tool calls")
    return tuple(map(_call, asked))


def _call(call: Any) -> ToolCall:
    try:
        name, given = call["function"]["name"], call["function"]["arguments"] or "{}"
        arguments = given if isinstance(given, dict) else read_json(given)
        # Arguments that are nested too deep cannot be written either.
        size, id = len(orjson.dumps(arguments)), call.get("id")
        if isinstance(arguments, dict) and isinstance(name, str) and name and size < MOST_ARGUMENTS:
            return ToolCall(name[:200], arguments, id[:200] if isinstance(id, str) else "")
    except (KeyError, TypeError, ValueError):
        pass
    raise UnparseableError(f"expected a tool call with a JSON object, found {shown(call)}")


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
            (entry["token"], [(each["token"], probability(each["logprob"])) for each in entry["top_logprobs"]])
            for entry in first_choice(body)["logprobs"]["content"]
        ]
    except (KeyError, TypeError):
        raise UnparseableError(f"expected log probabilities, found {shown(body)}") from None
    folded = {choice.strip().casefold(): choice for choice in choices}
    if len(folded) < len(choices):
        raise AssertionError(f"choices must differ in more than case and space, found {list(choices)}")
    mass: dict[str, float] = defaultdict(float)
    written, share = "", 1.0
    for token, alternatives in positions:
        if math.fsum(given for _, given in alternatives) > 1.1:
            raise UnparseableError(f"expected probabilities, found {shown(alternatives)}")
        followed = 0.0
        for text, given in alternatives:
            begun = (written + text).lstrip().casefold()
            fits = [choice for choice in folded if choice.startswith(begun)]
            if not fits and written in folded:  # the answer was complete, and another could have gone on
                fits = [written]
            if len(fits) == 1:
                mass[fits[0]] += share * given
            elif text == token and fits:
                followed = share * given
        written, share = (written + token).lstrip().casefold(), followed
        if not share:
            break
    total = sum(mass.values())
    if total < LEAST:
        said = "".join(token for token, _ in positions)
        raise UnparseableError(f"expected one of {', '.join(choices)}, found {said[:200]!r}")
    return {choice: mass[key] / total for key, choice in folded.items()}


def probability(logprob: Any) -> float:
    """Of a log probability. Raises ValueError if it is none: not a number, or above 0."""
    if isinstance(logprob, bool) or not isinstance(logprob, (int, float)) or not logprob <= ABOVE:
        raise ValueError(f"a log probability of {shown(logprob)}")
    return min(math.exp(logprob), 1.0)


@strict
def echoed(body: Any, n: int) -> list[Echo]:
    """The tokens of each of `n` prompts. Raises UnparseableError if they are not there."""
    try:
        rows = sorted(body["choices"], key=lambda choice: choice["index"])
        read = [(row["logprobs"]["tokens"], row["logprobs"]["token_logprobs"]) for row in rows]
        good = len(read) == n and all(len(tokens) == len(values) > 0 for tokens, values in read)
    except (KeyError, TypeError):
        good = False
    if not good:
        raise UnparseableError(f"expected the log probabilities of {n} prompts, found {shown(body)}")
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
    if not all(probability(value) >= 0 and math.isfinite(value) for value in added):
        raise ValueError("a log probability that is not finite")
    return Likelihood(math.fsum(added), len(added))


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
    """The probability of each choice right after each mark, from a completion that echoes one prompt.

    The probabilities of a choice's spellings are added up. What is not among the alternatives is 0.

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
