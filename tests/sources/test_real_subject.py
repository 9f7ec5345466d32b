"""The packaged SmolLM2, converted once into the user's cache."""

from __future__ import annotations

from typing import Any

import pytest

from neurogloss.ids import UnitId
from neurogloss.settings import DEMO_SUBJECT
from neurogloss.sources.cache import Site
from neurogloss.sources.steering import NEW_TOKENS, PROMPT_TOKENS, LiveSubject
from neurogloss.sources.subject import Subject

pytestmark = pytest.mark.model

TUNING = (
    "The committee met on Thursday to discuss the new bridge over the river, and it agreed on a plan.",
    "Heat the oil in a large pan, add the chopped onions and fry them gently until they are soft.",
)
PROMPTS = (
    "My grandmother kept a small garden behind the house, where she grew tomatoes, beans and flowers.",
    "The function takes a list of numbers and returns their sum, unless the list is empty, in which case",
)


@pytest.fixture(scope="module")
def smollm() -> Subject:
    return Subject.load(DEMO_SUBJECT)


def with_bos(subject: Subject, text: str) -> Any:
    import torch

    return torch.tensor([[subject.bos, *subject.tokenize(text).ids]])


@pytest.mark.parametrize(
    ("text", "next_token"),
    [("The capital of France is", " Paris"), ("Once upon a", " time")],
)
def test_it_answers_sensibly(smollm: Subject, text: str, next_token: str) -> None:
    import torch

    assert smollm.name == DEMO_SUBJECT and smollm.bos is not None
    with torch.no_grad():
        logits = smollm.model(with_bos(smollm, text)).logits[0, -1]
    assert smollm.tokenizer.decode([int(logits.argmax())]) == next_token


def test_its_vectors_are_those_of_a_full_forward_pass(smollm: Subject) -> None:
    import torch

    names = ("layers.4.mlp.down_proj.input", "layers.24.mlp.down_proj.input", "layers.14")
    hookpoints = [smollm.hookpoint(name) for name in names]
    texts = (*TUNING, "Short.")
    found = smollm.vectors([smollm.tokenize(text).ids for text in texts], hookpoints)
    for i, text in enumerate(texts):
        for name, hookpoint, wanted in zip(names, hookpoints, plain_vectors(smollm, text), strict=True):
            assert wanted.abs().max() > 0.1, name
            torch.testing.assert_close(found[hookpoint][i, : len(wanted)], wanted, rtol=1e-3, atol=1e-3)


def plain_vectors(subject: Subject, text: str) -> list[Any]:
    """What enters down_proj of layers 4 and 24, and what leaves layer 14, after BOS."""
    import torch

    found: list[Any] = []
    handles = [
        subject.model.model.layers[n].mlp.down_proj.register_forward_pre_hook(
            lambda _, args: found.append(args[0])
        )
        for n in (4, 24)
    ]
    with torch.no_grad():
        states = subject.model(with_bos(subject, text), output_hidden_states=True).hidden_states
    for handle in handles:
        handle.remove()
    return [value[0, 1:] for value in (*found, states[15])]


@pytest.mark.parametrize(("layer", "index", "sign"), [(4, 100, 1), (24, 1200, -1)])
def test_steering_a_neuron_reaches_its_target(smollm: Subject, layer: int, index: int, sign: int) -> None:
    import torch

    unit = UnitId(DEMO_SUBJECT, f"model.layers.{layer}.mlp.down_proj.input", "neurons", index, sign)
    site = Site(unit.hookpoint, "neurons", "neurons", 1536, True)
    found = LiveSubject(smollm, [site], kl=1.0).steer(unit, PROMPTS, TUNING, seed=0)
    assert abs(found.kl - 1.0) <= 0.1
    module = smollm.modules[f"model.layers.{layer}.mlp.down_proj"]
    ids = torch.cat([with_bos(smollm, text)[:, : PROMPT_TOKENS + 1] for text in TUNING])

    def raise_unit(_: Any, args: tuple[Any]) -> tuple[Any]:
        vectors = args[0].clone()
        vectors[:, -1, index] += sign * found.strength
        return (vectors,)

    with torch.no_grad():
        clean = smollm.model(ids).logits[:, -1].log_softmax(-1)
        handle = module.register_forward_pre_hook(raise_unit)
        steered = smollm.model(ids).logits[:, -1].log_softmax(-1)
        handle.remove()
    kl = float((clean.exp() * (clean - steered)).sum(-1).mean())
    assert kl == pytest.approx(found.kl, rel=1e-2)


def test_clean_continuations_are_greedy_generation(smollm: Subject) -> None:
    import torch

    unit = UnitId(DEMO_SUBJECT, "model.layers.4.mlp.down_proj.input", "neurons", 100)
    site = Site(unit.hookpoint, "neurons", "neurons", 1536, True)
    found = LiveSubject(smollm, [site]).steer(unit, PROMPTS, TUNING)
    for text, prompt in zip(found.texts, PROMPTS, strict=True):
        assert prompt.startswith(text.prompt)
        ids = with_bos(smollm, prompt)[:, : PROMPT_TOKENS + 1]
        whole = smollm.model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=NEW_TOKENS
        )
        assert text.clean == smollm.tokenizer.decode(whole[0, ids.shape[1] :], skip_special_tokens=True)
