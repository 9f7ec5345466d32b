"""An LLM that answers by rule, from the text of the prompt alone: it never sees which unit is meant.

As an explainer it thinks as a hurried reader does:

1. At temperature 0 it reads the first few passages; otherwise a few drawn by the seed, with noise.
2. It knows the rules of the bank. Each is held against what was read: the F1 of its tokens against the marks in
   active passages, and whether it stays silent in silent ones.
3. It takes the rule that fits best, and rather a simple one; it thinks of one thing at a time. So where the
   strongest passages show only a part, or nothing silent was shown, its first guess is too narrow or too broad.

As a refiner it reads a few passages and all mistakes, and may add a rule to the one that it mends. As an
experimenter it asks about texts on which the rules that fit best disagree. As a judge it goes by the rule that an
explanation names, and errs in a given share of its answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice, repeat
from typing import Any

import numpy as np

from benchmarks.planted.reading import Prompt, Seen, read, unmark
from benchmarks.planted.rules import Rule, either
from benchmarks.planted.units import bank, rule_of
from neurogloss.accounts import Usage
from neurogloss.errors import RefusalError
from neurogloss.ids import hash64
from neurogloss.llm import Choice, Features, Message, Reply, Request

READ = 5
"""Passages that it reads."""
NOISE = 0.03
"""Standard deviation of its judgement of a rule, per unit of temperature."""
SIMPLICITY = 0.04
"""How much fit it gives up for one unit of a rule's cost."""
MARKS = 1 / 2
"""Share of the marks that have to be at what an explanation describes."""
RIVALS = 6
"""Rules that it tells apart by experiments."""
TEXTS = 6
"""Texts in one experiment."""


@dataclass(frozen=True)
class Facts:
    """What was read."""

    active: tuple[Seen, ...]
    silent: tuple[str, ...] = ()


class Oracle:
    """Implements `neurogloss.llm.ChatModel`."""

    def __init__(self, error: float = 0.0, seed: int = 0, memory: Sequence[str] = ()) -> None:
        """
        Args:
            error: share of wrong answers as a judge, in [0, 1).
            seed: decides which.
            memory: texts that it can write.
        """
        self._error, self._seed, self._memory = error, seed, memory

    @property
    def name(self) -> str:
        return "oracle"

    @property
    def features(self) -> Features:
        return Features()

    async def chat(self, request: Request) -> Reply:
        """Answer. Raises RefusalError where the prompt is none that it knows, or an explanation names no rule."""
        answer = json.dumps(self._answer(request, np.random.default_rng(request.seed)), ensure_ascii=False)
        # About four characters a token, as in English.
        asked = sum(len(message.content) for message in request.messages)
        return Reply(answer, usage=Usage(1, 0, asked // 4, 0, len(answer) // 4 + 1))

    async def choose(self, messages: Sequence[Message], choices: Sequence[str]) -> Choice:
        raise NotImplementedError("the oracle gives no probabilities; see its features")

    def _answer(self, request: Request, rng: np.random.Generator) -> dict[str, Any]:
        """The asked conversation begins with the user's last prompt that has a fence; findings follow it."""
        messages = request.messages
        last = max((i for i, message in enumerate(messages) if "\n```" in message.content), default=-1)
        prompt = read(messages[last].content)
        if messages[0].content.startswith("You rate"):
            return {"answers": [2 * yes for yes in self._detect(_named(prompt), prompt.blocks["Texts"])]}
        if messages[0].content.startswith("You write") and prompt.explanation:
            return self._write(_named(prompt), int(messages[-1].content.rpartition("Number: ")[2]))
        if "Explanations" in prompt.blocks:
            return {"answers": self._sort(prompt.blocks["Explanations"], prompt.blocks["Texts"])}
        for heading, answer in (("Texts", self._detect), ("Marked texts", self._detect), ("Pairs", self._compare)):
            if heading in prompt.blocks:
                return {"answers": answer(_named(prompt), prompt.blocks[heading])}
        if not prompt.blocks.get("Passages"):
            raise RefusalError("the oracle knows no such prompt")
        if prompt.explanation is None:
            return {"explanation": self._explain(prompt, request.temperature, rng).words}
        if "experiments" in messages[0].content:
            return self._experiment(prompt, messages[last + 1 :])
        return {"explanation": self._refine(prompt).words}

    def _explain(self, prompt: Prompt, temperature: float, rng: np.random.Generator) -> Rule:
        active, silent = prompt.blocks["Passages"], prompt.blocks.get("Silent passages", [])
        if temperature:
            active = [active[i] for i in rng.permutation(len(active))[:READ]]
        facts = Facts(tuple(active[:READ]), tuple(seen.text for seen in silent))
        noise = rng.normal(0.0, NOISE * temperature, len(bank())).tolist() if temperature else None
        return _ranked(bank().values(), facts, noise)[0]

    def _refine(self, prompt: Prompt) -> Rule:
        """One of the bank, or the present rule with one more."""
        missed = prompt.blocks.get("Missed", [])
        wrong = tuple(seen.text for seen in prompt.blocks.get("Wrong", []))
        facts = Facts((*prompt.blocks["Passages"][:READ], *missed), wrong)
        parts = _named(prompt).parts or (_named(prompt),)
        joined = (either([*parts, rule]) for rule in bank().values() if rule not in parts)
        return _ranked([*bank().values(), *(joined if missed else ())], facts)[0]

    def _experiment(self, prompt: Prompt, found: Sequence[Message]) -> dict[str, Any]:
        """One experiment, then the rule that fits what it found as well."""
        facts = Facts(tuple(prompt.blocks["Passages"][:READ]))
        if found:
            results = json.loads(json.loads(found[-1].content.removeprefix("Found: ")))
            seen = [unmark(json.dumps(result["text"])[1:-1]) for result in results]
            silent = tuple(each.text for each in seen if not each.marks)
            facts = Facts((*facts.active, *(each for each in seen if each.marks)), silent)
        best = _ranked(bank().values(), facts)
        if found:
            return {"explanation": best[0].words}
        return {"experiment": "activations", "arguments": {"texts": self._telling(best[:RIVALS])}}

    def _telling(self, rivals: Sequence[Rule]) -> list[str]:
        """Texts on which the rules disagree most."""
        votes = {text: sum(rule.fires(text) for rule in rivals) for text in self._memory}
        return sorted(votes, key=lambda text: abs(votes[text] - len(rivals) / 2))[:TEXTS]

    def _detect(self, rule: Rule, texts: Sequence[Seen]) -> list[bool]:
        return [_holds(rule, seen) is not self._errs(rule, seen) for seen in texts]

    def _compare(self, rule: Rule, texts: Sequence[Seen]) -> list[str]:
        """Of each pair, the text with more of what is described; the first where both have as much."""
        counts = [len(rule.positions(seen.text)) for seen in texts]
        firsts = [
            (a >= b) is not self._errs(rule, seen)
            for a, b, seen in zip(counts[::2], counts[1::2], texts[::2], strict=True)
        ]
        return ["A" if first else "B" for first in firsts]

    def _sort(self, explanations: Sequence[Seen], texts: Sequence[Seen]) -> list[list[int]]:
        """Of each text, the numbers of the explanations that it fits."""
        rules = [_named(Prompt({}, each.text)) for each in explanations]
        fits = [self._detect(rule, texts) for rule in rules]
        return [[i for i, held in enumerate(each, 1) if held] for each in zip(*fits, strict=True)]

    def _write(self, rule: Rule, n: int) -> dict[str, list[str]]:
        """The first texts that it remembers of both kinds."""
        fires = [rule.fires(text) for text in self._memory]
        kinds = {
            "fitting": [text for text, yes in zip(self._memory, fires, strict=True) if yes],
            "near": [text for text, yes in zip(self._memory, fires, strict=True) if not yes],
        }
        if not all(kinds.values()):
            raise RefusalError(f"the oracle remembers no such texts: {rule.words}")
        return {kind: list(islice(cycle(texts), n)) for kind, texts in kinds.items()}

    def _errs(self, rule: Rule, seen: Seen) -> bool:
        draw = hash64(self._seed, rule.words, seen.text, *sorted(seen.marks))
        return draw / 2**64 < self._error


def _named(prompt: Prompt) -> Rule:
    rule = rule_of(prompt.explanation or "")
    if rule is None:
        raise RefusalError(f"no rule is described by {prompt.explanation!r}")
    return rule


def _holds(rule: Rule, seen: Seen) -> bool:
    found = rule.positions(seen.text)
    return len(found & seen.marks) >= MARKS * len(seen.marks) > 0 if seen.marks else bool(found)


def _ranked(rules: Iterable[Rule], facts: Facts, noise: Sequence[float] | None = None) -> list[Rule]:
    """The rules by fit and simplicity, the best first; ties by their words."""
    values = {
        rule: _fit(rule, facts) - SIMPLICITY * rule.cost + more
        for rule, more in zip(rules, noise or repeat(0.0), strict=False)
    }
    return sorted(values, key=lambda rule: (-values[rule], rule.words))


def _fit(rule: Rule, facts: Facts) -> float:
    """In [0, 1]: the mean F1 at the marks, and the share of silent texts in which the rule is silent."""
    fits = [_f1(rule.positions(seen.text), seen.marks) for seen in facts.active]
    active = sum(fits) / len(fits) if fits else 0.0
    if not facts.silent:
        return active
    return (active + sum(not rule.fires(text) for text in facts.silent) / len(facts.silent)) / 2


def _f1(found: frozenset[int], marks: frozenset[int]) -> float:
    return 2 * len(found & marks) / max(len(found) + len(marks), 1)
