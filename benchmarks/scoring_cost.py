"""What a score costs: tokens in, how many of them a prefix cache serves, tokens out, requests, a unit and scorer.

    python -m benchmarks.scoring_cost [--units 8] [--llm URL [--model NAME]] [--json]

Units are words: each fires where its word stands in contexts of the demo corpus, 50 active and 50 silent ones a
unit. Tokens are those of SmolLM2's tokenizer and chat template; cacheable is what an earlier request had, in
whole blocks of 16. Beside them stands what Paulo et al. 2024 (arXiv:2410.13928) give for 100 contexts, where their
simulation reads the numbers off the prompt's probabilities and does not write them.

Without --llm a rule answers, and cost alone is measured. With it the model that is served there does, and the two
ways of asking a judge, several questions a prompt and one, are compared in AUROC and in how often they agree.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.table import Row, report
from neurogloss.engines import load_chat_model
from neurogloss.ids import UnitId, derive_seed
from neurogloss.protocols import ChatModel, Choice, Features, HeldOut, Instruments, Message, Reply, Scorer
from neurogloss.records import Context, EvidenceHalf, Example
from neurogloss.scorers import answering
from neurogloss.scorers.detection import Detection
from neurogloss.scorers.fuzzing import Fuzzing
from neurogloss.scorers.intruder import Intruder
from neurogloss.scorers.judges.llm import LLMJudge
from neurogloss.scorers.metrics import auroc
from neurogloss.scorers.rated import Responsiveness
from neurogloss.scorers.resampling import mean_interval
from neurogloss.scorers.simulation import Simulation
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
_STRING = re.compile(r'^\d+\. "((?:[^"\\]|\\.)*)"$', re.MULTILINE)


@dataclass
class Tally:
    """What went through a model."""

    requests: int = 0
    tokens_in: int = 0
    cacheable: int = 0
    tokens_out: int = 0
    seen: set[tuple[int, ...]] = field(default_factory=set)
    """Prefixes of whole blocks."""


class Counted:
    """A ChatModel that counts the tokens of another, or of the rule that answers where there is none."""

    def __init__(self, tokenizer: Any, chat: ChatModel | None) -> None:
        self._tokenizer, self._chat = tokenizer, chat
        self.name = chat.name if chat else "rule"
        self.features = chat.features if chat else Features(choices=True)
        self.served = chat is not None
        self.tally = Tally()

    async def chat(self, messages: Sequence[Message], **options: Any) -> Reply:
        reply = (
            await self._chat.chat(messages, **options) if self._chat else Reply(_rule(messages, options["schema"]))
        )
        self._count(messages, reply.text)
        return reply

    async def choose(self, messages: Sequence[Message], choices: Sequence[str]) -> Choice:
        self._count(messages, choices[0])
        if self._chat:
            return await self._chat.choose(messages, choices)
        said = _holds(messages, _STRING.findall(messages[-1].content)[0])
        return Choice({choices[0]: 0.9 if said else 0.1, choices[1]: 0.1 if said else 0.9})

    def _count(self, messages: Sequence[Message], answer: str) -> None:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        text = self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
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
    found = re.search(r'^Explanation: "the word (\w+)"$', messages[-1].content, re.MULTILINE)
    return found is not None and found[1] in ("".join(re.findall(r"<<(.*?)>>", text)) or text).lower()


def _rule(messages: Sequence[Message], schema: Mapping[str, Any]) -> str:
    answers = schema["properties"]["answers"]
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


async def costs(chat: Counted, held: Mapping[str, HeldOut]) -> list[Row]:
    """Rows of every scorer that asks a chat model about texts alone."""
    several, one = LLMJudge(chat), LLMJudge(chat, probabilities=True) if chat.features.choices else None
    instruments = Instruments(chat=chat)
    asked: list[tuple[str, Scorer, LLMJudge]] = [
        ("detection, 5 a prompt", Detection(), several),
        ("fuzzing, 5 a prompt", Fuzzing(), several),
    ]
    if one:
        asked += [("detection, 1 a prompt", Detection(), one), ("fuzzing, 1 a prompt", Fuzzing(), one)]
    asked += [(s.name, s, several) for s in (Simulation(100), Responsiveness(), Intruder())]
    rows = []
    for title, scorer, judge in asked:
        tallies = []
        for word, held_out in held.items():
            # A prefix cache serves instructions to all, so that the first unit's are the same as the next one's.
            chat.tally = Tally(seen=tallies[-1].seen if tallies else set())
            await answering.ask(scorer, f"the word {word}", held_out, judge, instruments)
            tallies.append(chat.tally)
        rows += _rows(title, scorer.name, tallies)
    if one and chat.served:
        rows += await _agreement(several, one, held)
    return rows


def _rows(title: str, name: str, tallies: Sequence[Tally]) -> list[Row]:
    paper = PAPER.get(name, (float("nan"),) * 3)
    kinds = ("tokens_in", "cacheable", "tokens_out")
    means = [float(np.mean([getattr(tally, kind) for tally in tallies])) for kind in kinds]
    titles = ("tokens in", "of them cacheable", "tokens out")
    rows = [
        Row(f"{title}: {kind}", mean, beside, ratio=mean / beside)
        for kind, mean, beside in zip(titles, means, paper, strict=True)
    ]
    return [*rows, Row(f"{title}: requests", float(np.mean([tally.requests for tally in tallies])))]


async def _agreement(several: LLMJudge, one: LLMJudge, held: Mapping[str, HeldOut]) -> list[Row]:
    """AUROC of both ways, over the units, and the share of questions in which they say the same."""
    rows = []
    for scorer in (Detection(), Fuzzing()):
        values: dict[LLMJudge, list[float]] = {several: [], one: []}
        same: list[bool] = []
        for word, held_out in held.items():
            questions = scorer.questions(held_out)
            both = [await judge.ask(scorer.task, f"the word {word}", questions) for judge in (several, one)]
            kept = [(q.truth, a.probability, b.probability) for q, a, b in zip(questions, *both, strict=True)]
            answered = [(t, a, b) for t, a, b in kept if a is not None and b is not None]
            for judge, place in ((several, 1), (one, 2)):
                values[judge].append(auroc([k[0] for k in answered], [k[place] for k in answered]))
            same += [(a > 0.5) == (b > 0.5) for _, a, b in answered]
        gain = mean_interval(np.subtract(values[one], values[several]).tolist(), np.random.default_rng(0))
        rows.append(
            Row(
                f"{scorer.name}: AUROC with 1 a prompt, beside 5",
                float(np.mean(values[one])),
                float(np.mean(values[several])),
                difference=gain.value,
                low=gain.low,
                high=gain.high,
            )
        )
        rows.append(Row(f"{scorer.name}: share of answers that agree", float(np.mean(same))))
    return rows


async def _measured(arguments: argparse.Namespace) -> int:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(packaged_folder())
    held = units(tokenizer, arguments.units)
    async with AsyncExitStack() as stack:
        served = None
        if arguments.llm:
            served = await stack.enter_async_context(load_chat_model(arguments.llm, arguments.model))
        chat = Counted(tokenizer, served)
        rows = await costs(chat, held)
    return report(f"cost of a score, mean over {len(held)} units, one explanation each", rows, arguments.json)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, default=8)
    parser.add_argument("--llm", help="URL of an OpenAI-compatible server")
    parser.add_argument("--model")
    parser.add_argument("--json", action="store_true")
    return asyncio.run(_measured(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
