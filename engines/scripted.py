"""A chat model that answers from a file of rules: for tests, documents and demonstrations, without a server.

The file holds one rule a line, as JSON; empty lines and lines that start with # are skipped. The first rule
whose `match` is found answers. A rule has `match` and one of `reply`, `words`, `marks`, `call`, `fail`:

    {"match": "Passages:", "reply": {"explanation": "vessels for cooking"}}
    {"match": "Passages:", "marks": 3}
    {"match": "exts:|Pairs:", "words": ["pan", "pot"]}
    {"match": "exts:|Pairs:", "words": "explanation"}
    {"match": "experiment", "call": {"name": "contexts", "arguments": {"quantile": 0.5}}}
    {"match": "kettle", "fail": "transport", "times": 2, "delay_s": 0.5}

match    regular expression, looked for in the last user message; "where": "all": in the whole conversation
reply    the answer: a text as it is, any other JSON value as JSON
marks    an explanation made of the N most frequent words between << and >> in the last user message
words    an answer for each numbered text of the last user message: true where it holds one of the words (a
         marked text: where its marks do); of a pair, the text that holds more. "explanation" stands for the
         words of more than three letters in the explanation that is asked about
call     a call of the tool of that name; only where tools are offered
fail     transport, refusal, empty or unparseable: raised as the error of that name
times    the rule answers that many times and is then skipped
delay_s  seconds before the answer

Asked for one of several choices, `words` gives all probability to the one that its answer for the first text
means (true, yes, 1; false, no, 0; A; B; in any case), and `reply` to the one that it names.

Answers depend on the file and on the order of the requests alone, not on temperature, seed or schema.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from neurogloss.accounts import Usage
from neurogloss.engines.usage import Closeable
from neurogloss.errors import AnswerError, UnparseableError, UserError
from neurogloss.llm import Choice, Features, Message, Reply, Request, ToolCall

_FAILURES: Mapping[str, type[AnswerError]] = {error.failure: error for error in AnswerError.__subclasses__()}
_MEANING: Mapping[str, set[str]] = {"true": {"true", "yes", "1"}, "false": {"false", "no", "0"}}
_STRING = r'("(?:[^"\\]|\\.)*")'
_TEXT = re.compile(rf"^(\d+)[AB]?\. {_STRING}", re.MULTILINE)
_EXPLANATION = re.compile(rf"^Explanation: {_STRING}$", re.MULTILINE)
_MARKED_TEXTS = re.compile(r"^Marked texts:$", re.MULTILINE)
_MARKED = re.compile(r"<<(.*?)>>")
_WORD = re.compile(r"\w+")


class Call(BaseModel):
    """A call of a tool."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    arguments: dict[str, JsonValue] = {}


class Rule(BaseModel):
    """One line of the file; the module says what its fields mean."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    match: re.Pattern[str]
    where: Literal["user", "all"] = "user"
    reply: JsonValue = None
    words: tuple[str, ...] | Literal["explanation"] | None = None
    marks: int | None = Field(default=None, ge=1)
    call: Call | None = None
    fail: Literal["transport", "refusal", "empty", "unparseable"] | None = None
    times: int | None = Field(default=None, ge=1)
    delay_s: float = Field(default=0.0, ge=0.0)

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = ("reply", "words", "marks", "call", "fail")
        if sum(getattr(self, kind) is not None for kind in kinds) != 1:
            raise ValueError(f"a rule has exactly one of {', '.join(kinds)}")
        return self


class ScriptedModel(Closeable):
    """ChatModel over a file of rules."""

    def __init__(self, path: str | Path, name: str | None = None) -> None:
        """
        Args:
            path: the file.
            name: what the ledger calls the model; by default `scripted:` and the file's name.

        Raises:
            UserError: there is no such file, or a line of it is no rule.
        """
        self.path = Path(path)
        self.name = name or f"scripted:{self.path.name}"
        self._rules = _read(self.path)
        self._used = [0] * len(self._rules)

    @property
    def features(self) -> Features:
        """Tools, where a rule calls some; choices, where a rule answers by words."""
        return Features(
            choices=any(rule.words is not None for rule in self._rules),
            tools=any(rule.call is not None for rule in self._rules),
        )

    async def chat(self, request: Request) -> Reply:
        """The answer of the first rule that matches; tokens are counted as words.

        Raises:
            AnswerError: the rule says so.
            UserError: no rule matches.
        """
        rule, asked = await self._rule(request.messages, bool(request.tools))
        text = "" if rule.call else _answer(rule, asked)
        calls = (ToolCall(rule.call.name, rule.call.arguments, "call"),) if rule.call else ()
        return Reply(text, calls, _usage(request.messages, len(text.split())))

    async def choose(self, messages: Sequence[Message], choices: Sequence[str]) -> Choice:
        """All probability on one choice, as the first rule that matches says.

        Raises:
            AnswerError: the rule says so, or means none of the choices.
            UserError: no rule matches.
        """
        rule, asked = await self._rule(messages, tools=False)
        said = _judge(rule.words, asked)[:1] if rule.words is not None else [rule.reply]
        meant = _MEANING.get(str(said[0]).casefold(), {str(said[0]).casefold()}) if said else set()
        chosen = [choice for choice in choices if choice.strip().casefold() in meant]
        if len(chosen) != 1:
            raise UnparseableError(f"expected one of {', '.join(choices)}, found {said} in {self.path}")
        return Choice({choice: float(choice == chosen[0]) for choice in choices}, _usage(messages, 1))

    async def _rule(self, messages: Sequence[Message], tools: bool) -> tuple[Rule, str]:
        """The rule that answers, and the message that it is asked with."""
        conversation = "\n".join(message.content for message in messages)
        asked = next((message.content for message in reversed(messages) if message.role == "user"), "")
        rule = self._take(asked, conversation, tools)
        await asyncio.sleep(rule.delay_s)
        if rule.fail is not None:
            raise _FAILURES[rule.fail](f"{self.path} says so: {rule.match.pattern}")
        return rule, asked

    def _take(self, asked: str, conversation: str, tools: bool) -> Rule:
        for i, rule in enumerate(self._rules):
            spent = rule.times is not None and self._used[i] >= rule.times
            if (
                not spent
                and (tools or rule.call is None)
                and rule.match.search(asked if rule.where == "user" else conversation)
            ):
                self._used[i] += 1
                return rule
        raise UserError(f"No rule of {self.path} answers the prompt that begins {asked[:120]!r}. Add one.")


def _usage(messages: Sequence[Message], answered: int) -> Usage:
    asked = sum(len(message.content.split()) for message in messages)
    return Usage(requests=1, prompt_tokens=asked, completion_tokens=answered)


def _read(path: Path) -> tuple[Rule, ...]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Expected a script of rules, one JSON object a line, at {path}: {error}.") from None
    rules = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            rules.append(Rule.model_validate_json(line))
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, e['loc']))} {e['msg']}".strip() for e in error.errors())
            raise UserError(f"Line {number} of {path} is no rule: {problems}.") from None
    if not rules:
        raise UserError(f"Expected a script of rules, one JSON object a line, at {path}; found no rule.")
    return tuple(rules)


def _answer(rule: Rule, asked: str) -> str:
    if rule.words is not None:
        return json.dumps({"answers": _judge(rule.words, asked)})
    if rule.marks is not None:
        marks = (_marks(string) for _, string in _TEXT.findall(asked))
        marked = (word for mark in marks for word in _WORD.findall(mark.lower()))
        # most_common keeps the order of the first appearance among equals.
        frequent = [word for word, _ in Counter(marked).most_common(rule.marks)]
        return json.dumps({"explanation": "the words " + ", ".join(frequent)}, ensure_ascii=False)
    return rule.reply if isinstance(rule.reply, str) else json.dumps(rule.reply, ensure_ascii=False)


def _judge(words: tuple[str, ...] | Literal["explanation"], asked: str) -> list[bool | str]:
    """An answer for each numbered text, or pair of texts, in the message."""
    if words == "explanation":
        explanation = _EXPLANATION.search(asked)
        text = json.loads(explanation[1]) if explanation else ""
        words = tuple(word for word in _WORD.findall(text) if len(word) > 3)
    marked = _MARKED_TEXTS.search(asked) is not None
    counts: dict[str, list[int]] = {}
    for number, string in _TEXT.findall(asked):
        seen = (marked and _marks(string)) or json.loads(string)
        counts.setdefault(number, []).append(_count(words, seen))
    return [
        found[0] > 0 if len(found) == 1 else ("B" if found[1] > found[0] else "A") for found in counts.values()
    ]


def _marks(string: str) -> str:
    """What stands between marks in a JSON string, a line each; what only looks like a mark is escaped there."""
    return "\n".join(json.loads(f'"{mark}"') for mark in _MARKED.findall(string))


def _count(words: Sequence[str], text: str) -> int:
    """How often `text` holds one of the words, whatever the case."""
    return sum(text.lower().count(word.lower()) for word in words)
