"""Batched likelihoods after a cached prefix against one plain forward pass a continuation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from neurogloss.engines import embedded
from neurogloss.engines.embedded import EmbeddedModel
from neurogloss.llm import CausalModel, Likelihood

PREFIX = "The cook stirred the soup"
CONTINUATIONS = (
    " and added salt, pepper and a little cream before the guests arrived.",
    " a",
    "",
    " the river rose in the night",
    " a",
    " Ünï ☕",
    ".",
)


def llama(folder: Path) -> Any:
    from transformers import LlamaForCausalLM

    return LlamaForCausalLM.from_pretrained(folder, local_files_only=True)


def gemma(folder: Path) -> Any:
    """Random weights; its logits are capped after the head, and every other layer has a window of four tokens."""
    import torch
    from transformers import Gemma2Config, Gemma2ForCausalLM

    config = Gemma2Config(
        vocab_size=400,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        sliding_window=4,
        final_logit_softcapping=2.0,
        initializer_range=0.3,
        pad_token_id=None,
        bos_token_id=0,
        eos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Gemma2ForCausalLM(config)


@pytest.fixture(scope="module", params=[llama, gemma])
def loaded(request: pytest.FixtureRequest, tiny_subject_folder: Path) -> tuple[Any, Any]:
    """A model and its tokenizer."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(tiny_subject_folder, local_files_only=True)
    return request.param(tiny_subject_folder).eval(), tokenizer


def plain(loaded: tuple[Any, Any], prefix: str, continuation: str) -> Likelihood:
    """One forward pass over prefix and continuation, without a cache."""
    import torch

    model, tokenizer = loaded
    before = [tokenizer.bos_token_id, *tokenizer(prefix, add_special_tokens=False)["input_ids"]]
    after = tokenizer(continuation, add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        log_p = model(torch.tensor([before + after]), use_cache=False).logits[0].double().log_softmax(-1)
    total = sum(float(log_p[len(before) - 1 + i, token]) for i, token in enumerate(after))
    return Likelihood(total, len(after))


def check(found: Sequence[Likelihood], expected: Sequence[Likelihood]) -> None:
    assert [likelihood.n_tokens for likelihood in found] == [likelihood.n_tokens for likelihood in expected]
    assert [likelihood.total for likelihood in found] == pytest.approx(
        [likelihood.total for likelihood in expected], abs=1e-4
    )


def read(model: CausalModel, prefix: str, continuations: Sequence[str]) -> list[Likelihood]:
    return asyncio.run(model.likelihoods(prefix, continuations))


def test_likelihoods_are_those_of_a_plain_pass_in_the_order_asked(loaded: tuple[Any, Any]) -> None:
    found = read(EmbeddedModel(lambda: loaded, "tiny"), PREFIX, CONTINUATIONS)
    expected = [plain(loaded, PREFIX, text) for text in CONTINUATIONS]
    check(found, expected)
    assert found[1] == found[4] and len({likelihood.total for likelihood in expected}) == 6


def test_any_batch_gives_the_same(loaded: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """One token a batch: every continuation is read alone."""
    together = read(EmbeddedModel(lambda: loaded, "tiny"), PREFIX, CONTINUATIONS)
    monkeypatch.setattr(embedded, "ROWS_TOKENS", 1)
    check(read(EmbeddedModel(lambda: loaded, "tiny"), PREFIX, CONTINUATIONS), together)


def test_the_empty_continuation_is_certain_and_has_no_tokens(loaded: tuple[Any, Any]) -> None:
    model = EmbeddedModel(lambda: loaded, "tiny")
    assert read(model, PREFIX, ["", ""]) == [Likelihood(0.0, 0)] * 2
    assert read(model, PREFIX, []) == []
    assert Likelihood(0.0, 0).mean == 0


def test_single_tokens_have_the_probabilities_of_the_next_token(loaded: tuple[Any, Any]) -> None:
    """All tokens of the vocabulary: no probability is lost."""
    import math

    model, tokenizer = loaded
    letters = [chr(code) for code in range(33, 127)]
    found = read(EmbeddedModel(lambda: loaded, "tiny"), PREFIX, letters)
    check(found, [plain(loaded, PREFIX, letter) for letter in letters])
    assert {likelihood.n_tokens for likelihood in found} == {1}
    assert 0 < sum(math.exp(likelihood.total) for likelihood in found) < 1


def test_the_empty_prefix_is_the_bos_alone(loaded: tuple[Any, Any]) -> None:
    texts = [" the", " the river"]
    check(read(EmbeddedModel(lambda: loaded, "tiny"), "", texts), [plain(loaded, "", text) for text in texts])


def test_a_prefix_is_read_once_and_stays_as_it_was(loaded: tuple[Any, Any]) -> None:
    (network, tokenizer), texts = loaded, []

    def watched(text: str, **options: Any) -> Any:
        texts.append(text)
        return tokenizer(text, **options)

    watched.bos_token_id = tokenizer.bos_token_id  # type: ignore[attr-defined]
    model = EmbeddedModel(lambda: (network, watched), "tiny")
    first = read(model, PREFIX, CONTINUATIONS)
    other = read(model, "Dear Ms Ito,", CONTINUATIONS)
    again = read(model, PREFIX, CONTINUATIONS)
    assert first == again != other
    assert texts.count(PREFIX) == 1
    check(other, [plain(loaded, "Dear Ms Ito,", text) for text in CONTINUATIONS])


def test_it_is_loaded_once_and_only_when_asked(loaded: tuple[Any, Any]) -> None:
    loads = []

    def load() -> tuple[Any, Any]:
        loads.append(1)
        return loaded

    model: CausalModel = EmbeddedModel(load, "known")
    assert model.name == "known" and loads == []
    check(read(model, PREFIX, [" a", ""]), [plain(loaded, PREFIX, " a"), Likelihood(0.0, 0)])
    read(model, PREFIX, [" the"])
    assert loads == [1]
