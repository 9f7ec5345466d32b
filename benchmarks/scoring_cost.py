"""What a score costs: tokens in, how many of them a prefix cache serves, tokens out, requests, a unit and scorer.

    python -m benchmarks.scoring_cost [--units 8] [--questions 100] [--scorers detection,fuzzing,…]
                                      [--llm URL [--model NAME]] [--json]

Units are words: each fires where its word stands in contexts of the demo corpus, 50 active and 50 silent ones a
unit. Tokens are those of SmolLM2's tokenizer and chat template; cacheable is what an earlier request had, in
whole blocks of 16. Beside them stands what Paulo et al. 2024 (arXiv:2410.13928) give for 100 contexts.

Without --llm a rule answers, and cost alone is measured. With it the model that is served there does, and the two
ways of asking a judge, several questions a prompt and one, are compared in AUROC and in how often they agree; what
the server says it had cached is counted, too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.table import Row, report
from neurogloss.engines import load_chat_model
from neurogloss.engines.usage import RecordedModel
from neurogloss.ids import UnitId, derive_seed
from neurogloss.llm import Choice, Features, Message, Reply, Request
from neurogloss.protocols import Answered, HeldOut, Instruments, Scorer
from neurogloss.records import Context, EvidenceHalf, Example
from neurogloss.scorers import answering
from neurogloss.scorers.choosing import Intruder
from neurogloss.scorers.detection import Detection, Fuzzing
from neurogloss.scorers.judges.llm import LLMJudge
from neurogloss.scorers.metrics import auroc, mean_interval
from neurogloss.scorers.rated import Responsiveness
from neurogloss.scorers.simulation import Simulation, WrittenSimulation
from neurogloss.sources.corpus import cut, read_documents
from neurogloss.sources.loading import packaged_folder

WORDS = ("time", "people", "work", "water", "first", "school", "power", "world", "house", "money", "food", "light")
BLOCK = 16
"""Tokens in a block of vLLM's prefix cache."""
CHARACTERS = 140
"""Of a context: about 32 tokens."""
EACH = 50
"""Active contexts a unit, and silent ones."""
PAPER: Mapping[str, tuple[float, float, float]] = {
    "detection": (17_000, 11_900, 240),
    "fuzzing": (19_600, 14_200, 249),
    "simulation": (104_900, 87_500, 5),
}
"""Tokens in, cacheable and out."""
_WORD = re.compile(r'"the word (\w+)"')
_STRING = re.compile(r'^\d+\. "((?:[^"\\]|\\.)*)"$', re.MULTILINE)


@dataclass
class Tally:
    """What went through a model."""

    requests: int = 0
    tokens_in: int = 0
    cacheable: int = 0
    tokens_out: int = 0
    cached: int = 0
    """Of the tokens in, as the server says."""
    seen: set[tuple[int, ...]] = field(default_factory=set)
    """Prefixes of whole blocks."""


class Counted:
    """A ChatModel that counts the tokens of another, or of the rule that answers where there is none."""

    def __init__(self, tokenizer: Any, chat: RecordedModel | None) -> None:
        self._tokenizer, self._chat = tokenizer, chat
        self.name = chat.name if chat else "rule"
        self.features = chat.features if chat else Features(choices=True, prompt_logprobs=True)
        self.served = chat is not None
        self.tally = Tally()

    async def chat(self, request: Request) -> Reply:
        reply = await self._chat.chat(request) if self._chat else Reply(_rule(request))
        self._count(self._conversation(request.messages), reply.text)
        self.tally.cached += reply.usage.cached_tokens
        return reply

    async def choose(self, messages: Sequence[Message], choices: Sequence[str]) -> Choice:
        self._count(self._conversation(messages), choices[0])
        if self._chat:
            choice = await self._chat.choose(messages, choices)
            self.tally.cached += choice.usage.cached_tokens
            return choice
        said = _holds(messages, _STRING.findall(messages[-1].content)[0])
        return Choice({choices[0]: 0.9 if said else 0.1, choices[1]: 0.1 if said else 0.9})

    async def blanks(self, prefix: str, text: str, mark: str, choices: Sequence[str]) -> Sequence[Sequence[float]]:
        self._count(prefix + text, "")
        if self._chat:
            return await self._chat.blanks(prefix, text, mark, choices)
        holds = [_WORD.findall(prefix)[-1] in line.lower() for line in text.splitlines() if mark in line]
        return [tuple(float(choice == choices[-1 if held else 0]) for choice in choices) for held in holds]

    def _conversation(self, messages: Sequence[Message]) -> str:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        return str(self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))

    def _count(self, text: str, answer: str) -> None:
        ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        tally, shared = self.tally, 0
        for end in range(BLOCK, len(ids) + 1, BLOCK):
            prefix = tuple(ids[:end])
            shared += BLOCK * (prefix in tally.seen and shared == end - BLOCK)
            tally.seen.add(prefix)
        tally.requests += 1
        tally.tokens_in += len(ids)
        tally.cacheable += shared
        tally.tokens_out += len(self._tokenizer(answer)["input_ids"])


def _holds(messages: Sequence[Message], text: str) -> bool:
    found = _WORD.search(messages[-1].content)
    return found is not None and found[1] in ("".join(re.findall(r"<<(.*?)>>", text)) or text).lower()


def _rule(request: Request) -> str:
    assert request.schema is not None
    messages, answers = request.messages, request.schema["properties"]["answers"]
    yes: Any = True if answers["items"]["type"] == "boolean" else answers["items"]["maximum"]
    texts = _STRING.findall(messages[-1].content)[: answers["maxItems"]]
    return json.dumps(
        {"answers": [yes if _holds(messages, t) else type(yes)(answers["items"].get("minimum", 0)) for t in texts]}
    )


def units(tokenizer: Any, n: int) -> dict[str, HeldOut]:
    """Held-out evidence of the first n words of which the corpus has enough."""
    contexts: list[tuple[str, ...]] = []
    for document in read_documents("demo"):
        for start, end in cut(document.text, CHARACTERS):
            text = document.text[start:end]
            spans = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
            ends = [after for _, after in spans]
            contexts.append(
                tuple(text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=False) if a < b)
            )
        if len(contexts) >= 20_000:
            break
    found = {}
    for index, word in enumerate(WORDS):
        fires = [[float(token.strip().lower() == word) for token in tokens] for tokens in contexts]
        made = [Context(f"{i:016x}", tokens) for i, tokens in enumerate(contexts)]
        active = [Example(c, tuple(f)) for c, f in zip(made, fires, strict=True) if any(f)][:EACH]
        silent = [c for c in made if word not in c.text.lower()][index * EACH :][:EACH]
        if len(active) == len(silent) == EACH and len(found) < n:
            unit = UnitId("corpus", "text", "words", index)
            found[word] = HeldOut(unit, EvidenceHalf((), tuple(active), tuple(silent)), (), derive_seed(0, word))
    return found


Answers = dict[str, list[list[Answered]]]
"""By the title of a way of asking: questions and answers of each unit."""


async def costs(
    chat: Counted, held: Mapping[str, HeldOut], questions: int = 100, names: Collection[str] = ()
) -> list[Row]:
    """Rows of the scorers that ask an LLM about texts alone; of those of these names, where any are given."""
    several, one = LLMJudge(chat), LLMJudge(chat, probabilities=True) if chat.features.choices else None
    asked: list[tuple[str, Scorer, LLMJudge]] = []
    for scorer in (Detection(questions), Fuzzing(questions)):
        asked += [(_title(scorer.name, size), scorer, judge) for size, judge in ((5, several), (1, one)) if judge]
    reads = [Simulation(questions)] if chat.features.prompt_logprobs else []
    others: list[Scorer] = [*reads, WrittenSimulation(questions), Responsiveness(questions), Intruder()]
    asked += [(scorer.name, scorer, several) for scorer in others]
    rows, answers = [], Answers()
    instruments = Instruments(chat=chat)
    asked = [each for each in asked if not names or each[1].name in names]
    for title, scorer, judge in asked:
        tallies, answers[title] = [], []
        for word, held_out in held.items():
            # A prefix cache serves instructions to all, so that the first unit's are the same as the next one's.
            chat.tally = Tally(seen=tallies[-1].seen if tallies else set())
            answers[title].append(await answering.ask(scorer, f"the word {word}", held_out, judge, instruments))
            tallies.append(chat.tally)
        # The paper's figures are for 100 contexts.
        paper = PAPER.get(scorer.name, ()) if questions == 100 else ()
        rows += _rows(title, paper or (math.nan,) * 3, tallies, chat.served)
    if one and chat.served:
        rows += [
            row
            for name in ("detection", "fuzzing")
            if _title(name, 1) in answers
            for row in _agreement(name, answers)
        ]
    return rows


def _title(scorer: str, per_prompt: int) -> str:
    return f"{scorer}, {per_prompt} a prompt"


def _rows(title: str, paper: Sequence[float], tallies: Sequence[Tally], served: bool) -> list[Row]:
    def mean(kind: str) -> float:
        return float(np.mean([getattr(tally, kind) for tally in tallies]))

    titles = {"tokens_in": "tokens in", "cacheable": "of them cacheable", "tokens_out": "tokens out"}
    rows = [
        Row(f"{title}: {words}", mean(kind), beside, ratio=mean(kind) / beside)
        for (kind, words), beside in zip(titles.items(), paper, strict=True)
    ]
    cached = [Row(f"{title}: cached by the server", mean("cached"))] if served else []
    return [*rows, *cached, Row(f"{title}: requests", mean("requests"))]


def _agreement(scorer: str, answers: Answers) -> list[Row]:
    """AUROC of one a prompt beside several, over the units; how often they say the same; what was not answered."""
    several, one = (answers[_title(scorer, size)] for size in (5, 1))
    values, same, missed = [], [], [0, 0]
    for unit in zip(several, one, strict=True):
        both = [(a[0].truth, a[1].probability, b[1].probability) for a, b in zip(*unit, strict=True)]
        missed = [
            n + sum(each[1].probability is None for each in way) for n, way in zip(missed, unit, strict=True)
        ]
        kept = [(t, a, b) for t, a, b in both if a is not None and b is not None]
        truths = [t for t, _, _ in kept]
        values.append((auroc(truths, [a for _, a, _ in kept]), auroc(truths, [b for _, _, b in kept])))
        same += [(a > 0.5) == (b > 0.5) for _, a, b in kept]
    of_several, of_one = zip(*values, strict=True)
    gain = mean_interval(np.subtract(of_one, of_several).tolist(), np.random.default_rng(0))
    return [
        Row(
            f"{scorer}: AUROC with 1 a prompt, beside 5",
            float(np.mean(of_one)),
            float(np.mean(of_several)),
            difference=gain.value,
            low=gain.low,
            high=gain.high,
        ),
        Row(f"{scorer}: share of answers that agree", float(np.mean(same))),
        Row(f"{scorer}: unanswered with 1 a prompt, beside 5", missed[1], missed[0]),
    ]


async def _measured(arguments: argparse.Namespace) -> int:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(packaged_folder())
    held = units(tokenizer, arguments.units)
    async with AsyncExitStack() as stack:
        served = None
        if arguments.llm:
            served = await stack.enter_async_context(load_chat_model(arguments.llm, arguments.model))
        chat = Counted(tokenizer, served)
        names = arguments.scorers.split(",") if arguments.scorers else ()
        rows = await costs(chat, held, arguments.questions, names)
    return report(f"cost of a score, mean over {len(held)} units, one explanation each", rows, arguments.json)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, default=8)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--scorers", help="names, by default all")
    parser.add_argument("--llm", help="URL of an OpenAI-compatible server")
    parser.add_argument("--model")
    parser.add_argument("--json", action="store_true")
    return asyncio.run(_measured(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
