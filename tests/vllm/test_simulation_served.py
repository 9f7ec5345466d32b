"""Simulation through the prompt's log probabilities on a real server, against the same model in this process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from neurogloss.engines import load_chat_model
from neurogloss.engines.server import ServerModel
from neurogloss.ids import UnitId
from neurogloss.prompts.render import render
from neurogloss.protocols import HeldOut, Instruments
from neurogloss.records import Context, EvidenceHalf, Example
from neurogloss.scorers.simulation import BEFORE_DIGITS, DIGITS, Simulation

if TYPE_CHECKING:
    from conftest import VllmServer

# The first test waits for the server.
pytestmark = [pytest.mark.vllm, pytest.mark.model, pytest.mark.timeout(600)]

TOKENS = (" the", " storm", " came", " at", " night", ",", " and", " the", " rain", " fell", " ☕", "\n")


def test_the_server_says_what_the_model_says_in_this_process(vllm_server: VllmServer) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    given, text = render("read/simulation", explanation="words for weather", tokens=TOKENS).messages
    asked = (f"{given.content}\n", text.content, BEFORE_DIGITS, DIGITS)

    async def ask() -> Any:
        async with ServerModel(vllm_server.url) as model:
            return await model.fill(*asked)

    found = asyncio.run(ask())
    tokenizer: Any = AutoTokenizer.from_pretrained(vllm_server.folder)
    model = AutoModelForCausalLM.from_pretrained(vllm_server.folder).eval()
    read = tokenizer(asked[0] + asked[1], return_tensors="pt", add_special_tokens=False)["input_ids"]
    (tab,), *digits = (tokenizer(each, add_special_tokens=False)["input_ids"] for each in (BEFORE_DIGITS, *DIGITS))
    with torch.inference_mode():
        here = model(read).logits[0, read[0] == tab].softmax(-1)[-len(TOKENS) :, [digit for (digit,) in digits]]
    assert len(found.found) == len(TOKENS) and found.usage.prompt_tokens == read.shape[1]
    for row, other in zip(found.found, here.tolist(), strict=True):
        # The server lists twenty alternatives; the least likely digits may not be among them.
        assert row == pytest.approx(other, abs=0.02) and 0 < sum(row) <= 1 + 1e-6


def test_the_scorer_gets_a_number_for_every_token(vllm_server: VllmServer) -> None:
    contexts = [Context(f"{i:016x}", (*TOKENS[i:], *TOKENS[:i])) for i in range(8)]
    active = tuple(Example(c, tuple(float(t in (" storm", " rain")) for t in c.tokens)) for c in contexts[:4])
    held_out = HeldOut(UnitId("tiny", "layer", "sae", 0), EvidenceHalf((), active, tuple(contexts[4:])), (), 0)

    async def ask() -> Any:
        async with load_chat_model(vllm_server.url) as chat:
            return await Simulation(8).answered("words for weather", held_out, Instruments(chat=chat))

    found = asyncio.run(ask())
    assert len(found) == 8 and [answer.reason for _, answer in found if answer.failure] == []
    assert all(len(answer.values) == len(TOKENS) and 0 <= max(answer.values) <= 9 for _, answer in found)
